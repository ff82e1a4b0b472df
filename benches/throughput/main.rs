//! Throughput, CPU time and memory of MQTT brokers, measured side by side: each is started afresh for each run, and
//! [`dockgate::bench`] is the load. Rounds alternate the brokers, so that a noisy machine is noisy for all of them; compare
//! ratios, not absolute figures.
//!
//! ```text
//! cargo bench --bench throughput                                     full speed at QoS 0 and 1, three rounds, about seven minutes
//! cargo bench --bench throughput -- --quick                          one short round
//! cargo bench --bench throughput -- --scenario fanin,pairs --qos 2 --only dockgate,mosquitto --rounds 5
//! cargo bench --bench throughput -- --batch 1,10                     messages a write
//! cargo bench --bench throughput -- --scenario idle-2K               memory of idle docks
//! cargo bench --bench throughput -- --scenario p2p-1K-1K-1K-1K       latencies by the clock
//! cargo bench --bench throughput -- --broker emqx=127.0.0.1:1883:4711 --only emqx
//! ```
//!
//! Linux only: CPU time and memory are read from `/proc`.

mod brokers;
mod chart;
mod daemon;
#[path = "../plot/mod.rs"]
mod plot;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use dockgate::bench::{Amount, Case, Matrix, Plan, Report, Run, Scenario, Step, Target, Version, measure};

use brokers::Broker;

/// Measures MQTT brokers side by side.
#[derive(Debug, Parser)]
#[command(name = "throughput")]
struct Options {
    /// Which scenarios, by the names of `dockgate bench`
    #[arg(long, value_delimiter = ',', default_values = ["fanin", "fanout", "fanoutw", "pairs"])]
    scenario: Vec<Scenario>,
    /// Which brokers, by name [default: dockgate, mosquitto, rumqttd, rmqtt and every --broker]
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One more broker, which already runs: NAME=HOST:PORT[:PID]
    #[arg(long, value_parser = Broker::parse_external)]
    broker: Vec<Broker>,
    /// Times that every broker runs every scenario
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Seconds of publishing in each run
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// At full speed: publish that many messages a publisher instead, however long it takes
    #[arg(long)]
    messages: Option<u64>,
    /// The QoS of all messages
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1], value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: Vec<u8>,
    /// Bytes of payload
    #[arg(long, value_delimiter = ',', default_values_t = [256])]
    payload: Vec<usize>,
    /// At full speed: messages that a publisher puts into one write
    #[arg(long, value_delimiter = ',', default_values_t = [10])]
    batch: Vec<usize>,
    /// MQTT 5 instead of 3.1.1
    #[arg(long)]
    v5: bool,
    /// Messages that a publisher may have unacknowledged
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    window: u16,
    /// Threads of the generator
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// One round of half a second each: shows that it works, not how fast
    #[arg(long)]
    quick: bool,
    /// Write every run to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw what a message cost into this folder
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Be rumqttd on this port: how the bench starts it as a process of its own
    #[arg(long, hide = true)]
    host_rumqttd: Option<u16>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(port) = options.host_rumqttd {
        return brokers::host_rumqttd(port);
    }
    if !options.bench {
        // `cargo test --benches` runs this too, and must not wait minutes for it.
        println!("nothing measured: run it with `cargo bench --bench throughput`");
        return Ok(());
    }
    let brokers = Broker::chosen(&options.only, &options.broker)?;
    let cases = matrix(options).cases(&options.scenario);
    let rounds = if options.quick { 1 } else { usize::from(options.rounds) };
    let plan = plan(options);

    let mut report = Report { settings: plan.clone(), rounds, ..Report::default() };
    for round in 1..=rounds {
        for case in &cases {
            for broker in &brokers {
                match run_once(broker, case, &plan) {
                    Ok(measured) => report.take(case, broker.name(), round, measured, tell),
                    Err(error) => eprintln!("skipped: {}, round {round}: {error:#}", broker.name()),
                }
            }
        }
    }
    println!("{report}\n{}", table::of_brokers(&report));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(folder) = &options.svg {
        chart::draw(&report, folder)?;
    }
    if report.runs.is_empty() {
        bail!("no broker answered");
    }
    Ok(())
}

/// Starts a broker, has the load on it, and ends it.
///
/// # Errors
/// If the broker does not start, which is no failure of the load.
fn run_once(broker: &Broker, case: &Case, plan: &Plan) -> anyhow::Result<Result<Run, dockgate::bench::BenchError>> {
    let mut running = broker.start()?;
    let target = Target::plain(broker.name(), running.address, running.pid);
    let mut measured = measure(&target, case, plan);
    if let Some(how) = running.ended() {
        match &mut measured {
            Ok(run) => run.faults.push(format!("the broker {how}")),
            Err(error) => bail!("the broker {how}: {error}"),
        }
    }
    Ok(measured)
}

fn tell(step: Step<'_>) {
    match step {
        Step::Done(run) => eprintln!(
            "round {}  {:<40}  {:<10}  {:>9.0}/s",
            run.round,
            run.case.to_string(),
            run.target,
            run.figures.rate
        ),
        Step::Failed(failure) => {
            eprintln!("round {}  {}  {}: {}", failure.round, failure.case, failure.target, failure.error);
        }
    }
}

fn matrix(options: &Options) -> Matrix {
    let protocol = vec![if options.v5 { Version::V5 } else { Version::V311 }];
    let (qos, payload, batch) = (options.qos.clone(), options.payload.clone(), options.batch.clone());
    Matrix { qos, payload, batch, protocol }
}

fn plan(options: &Options) -> Plan {
    let seconds = if options.quick { 0.5 } else { options.seconds };
    Plan {
        amount: match options.messages {
            Some(messages) => Amount::Messages(messages),
            None => Amount::Time(Duration::from_secs_f64(seconds.clamp(0.1, 600.0))),
        },
        window: options.window.into(),
        threads: options.threads.into(),
        ..Plan::default()
    }
}
