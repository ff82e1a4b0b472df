//! One run from its first connection to its figures, and many of them in turn.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::crowd::Crowd;
use super::meter::{Meter, quantiles};
use super::report::{Failure, Figures, Report, Run};
use super::scenario::Scenario;
use super::shape::Shape;
use super::tally::Tally;
use super::target::Target;
use super::{Amount, BenchError, Case, Plan, closed, connections, docks, open};

/// Files that the process has open besides its connections.
const OWN_FILES: u64 = 64;
/// How long what goes by the clock takes if the plan counts messages.
const USUAL_TIME: Duration = Duration::from_secs(10);
/// Between two runs, so that a broker has seen the clients of the one leave before those of the next come.
const PAUSE: Duration = Duration::from_millis(100);

/// What [`alternate`] tells as it goes.
#[derive(Debug)]
pub enum Step<'a> {
    /// A run has its figures.
    Done(&'a Run),
    /// A run did not come about.
    Failed(&'a Failure),
}

/// Runs all cases with all targets, the targets in turn, so that what disturbs the machine disturbs all of them.
pub fn alternate(
    targets: &[Target],
    cases: &[Case],
    plan: &Plan,
    rounds: usize,
    mut tell: impl FnMut(Step<'_>),
) -> Report {
    let mut report = Report { settings: plan.clone(), rounds, ..Report::default() };
    for round in 1..=rounds {
        for case in cases {
            // Another one begins in each round: none always follows the same.
            for target in targets.iter().cycle().skip((round - 1) % targets.len().max(1)).take(targets.len()) {
                report.take(case, &target.name, round, measure(target, case, plan), &mut tell);
                std::thread::sleep(PAUSE);
            }
        }
    }
    report
}

/// Runs one case with one target, in a runtime of its own.
///
/// # Errors
/// If the clients are not all accepted and subscribed, or the process may not have as many connections.
pub fn measure(target: &Target, case: &Case, plan: &Plan) -> Result<Run, BenchError> {
    let runtime = runtime(plan.threads)?;
    let measured = runtime.block_on(run(target, case, plan));
    // Connections of a run that failed need not be waited for.
    runtime.shutdown_background();
    measured
}

fn runtime(threads: usize) -> Result<Runtime, BenchError> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(threads.max(1)).enable_all().thread_name("bench").build();
    runtime.map_err(|error| BenchError::Own(error.to_string()))
}

async fn run(target: &Target, case: &Case, plan: &Plan) -> Result<Run, BenchError> {
    // Tells this run's clients and topics from those of every other one, in a place of five digits.
    let run = format!("{:05}", uuid::Uuid::new_v4().as_u128() % 100_000);
    let root = format!("{}/{run}", plan.prefix);
    let load = case.load();
    let mut meter = Meter::new(target.pid);
    let time = match plan.amount {
        Amount::Time(time) => time,
        Amount::Messages(_) => USUAL_TIME,
    };
    match case.scenario {
        Scenario::Connections(count, rate) => {
            allow_files(count.into())?;
            let pace = (count, rate.unwrap_or(plan.connect_rate));
            let begin = || meter.begin();
            let connected = connections::by_the_clock(target, load.version, &run, pace, begin).await?;
            Ok(of_connections(target, case, count, &connected, &meter))
        }
        Scenario::Idle(count) => {
            allow_files(count.into())?;
            let begin = || meter.begin();
            let connected = connections::idle_docks(target, load.version, &run, count, begin).await?;
            Ok(of_connections(target, case, count, &connected, &meter))
        }
        Scenario::Docks(count) => {
            allow_files(count.into())?;
            meter.begin();
            let began = Instant::now();
            let report = docks::run(target, case, count, &run, time).await?;
            let (broker, mut generator) = meter.end(began.elapsed(), None);
            let summary = report.summary();
            generator.is_behind |= summary.late * 100 > summary.sent;
            let figures = Figures {
                sent: summary.sent,
                acknowledged: 0,
                expected: summary.expected,
                received: summary.received,
                lost_acknowledged: summary.lost_qos1,
                duplicates: summary.duplicated,
                seconds: summary.seconds,
                latency_ms: summary.latency_ms,
                ..Figures::default()
            };
            Ok(Run::new(target, case, figures.with_rate(), broker, generator, summary.flaws))
        }
        Scenario::PointToPoint(sizes) | Scenario::FanOut(sizes) | Scenario::SharedSub(sizes) => {
            let crowd = connect(target, case, &root, &run).await?;
            meter.begin();
            let copies = crowd.shape.copies;
            let rate = f64::from(plan.rate.unwrap_or(sizes.rate)) / f64::from(copies);
            let kept = open::run(crowd, &load, plan, rate, time).await?;
            let (broker, generator) = meter.end(kept.tally.elapsed(), Some(&kept.lateness));
            let latency_ms = quantiles(&kept.tally.latencies.lock());
            let figures = figures(&kept.tally, kept.due, copies);
            // The last message need not be due at the very end.
            let seconds = figures.seconds.max((plan.warm_up + time).as_secs_f64());
            let figures = Figures { latency_ms, seconds, ..figures }.with_rate();
            Ok(Run::new(target, case, figures, broker, generator, kept.tally.faults()))
        }
        Scenario::Flood(_) | Scenario::Hook(_) => {
            let crowd = connect(target, case, &root, &run).await?;
            let copies = crowd.shape.copies;
            let done = closed::run(crowd, &load, plan, || meter.begin()).await?;
            let tally = &done.tally;
            let (broker, generator) = meter.end(tally.elapsed(), None);
            let figures = figures(tally, tally.sent.load(SeqCst), copies);
            let mut run = Run::new(target, case, figures, broker, generator, tally.faults());
            run.faults.extend(done.leave().await.err().map(|error| error.to_string()));
            Ok(run)
        }
    }
}

async fn connect(target: &Target, case: &Case, root: &str, run: &str) -> Result<Crowd, BenchError> {
    let load = case.load();
    let shape = Shape::of(case.scenario, load.payload, root, run)
        .ok_or_else(|| BenchError::Own(format!("{} has no topics", case.scenario)))?;
    allow_files((shape.publishers.len() + shape.subscribers.len()) as u64)?;
    Crowd::connect(target, &load, shape, run).await
}

/// Says whether so many connections may be open, after raising the limit as far as it goes.
fn allow_files(connections: u64) -> Result<(), BenchError> {
    let needed = connections + OWN_FILES;
    let allowed = rlimit::increase_nofile_limit(u64::MAX).map_err(|error| BenchError::Own(error.to_string()))?;
    if allowed < needed { Err(BenchError::Files { needed, allowed }) } else { Ok(()) }
}

/// The figures of messages, of which so many were due.
fn figures(tally: &Tally, due: u64, copies: u32) -> Figures {
    let copies = u64::from(copies);
    let (received, acknowledged) = (tally.received(), tally.acknowledged.load(SeqCst));
    let figures = Figures {
        sent: tally.sent.load(SeqCst),
        acknowledged,
        expected: due * copies,
        received,
        lost_acknowledged: (acknowledged * copies).saturating_sub(received),
        duplicates: tally.duplicates.load(SeqCst),
        seconds: tally.elapsed().as_secs_f64(),
        ..Figures::default()
    };
    figures.with_rate()
}

/// The figures of connections.
fn of_connections(target: &Target, case: &Case, count: u32, connected: &connections::Connected, meter: &Meter) -> Run {
    let (broker, generator) = meter.end(connected.elapsed, connected.lateness.as_ref());
    let figures = Figures {
        expected: count.into(),
        received: connected.tally.received(),
        seconds: connected.elapsed.as_secs_f64(),
        latency_ms: quantiles(&connected.tally.latencies.lock()),
        kib_per_connection: connected.grown_kib.map(|kib| kib as f64 / f64::from(count)),
        ..Figures::default()
    };
    Run::new(target, case, figures.with_rate(), broker, generator, connected.tally.faults())
}
