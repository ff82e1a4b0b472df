//! What durability costs: dockgate without a store, with one that is written once a second and with one that is written
//! before anything is acknowledged, beside Mosquitto with `persistence true`.
//!
//! Rounds alternate the brokers, so that a noisy machine is noisy for all of them. What a broker has acknowledged is
//! counted when its subscriber gets it: what is missing then is a fault, and the bench fails.
//!
//! ```text
//! cargo bench --bench durability                                   all scenarios, three rounds, about six minutes
//! cargo bench --bench durability -- --quick                        one small round
//! cargo bench --bench durability -- --scenario offline,paced --only dockgate-always,mosquitto --rounds 5
//! cargo bench --bench durability -- --folder /mnt/ssd              on another disk
//! ```
//!
//! - `offline`: publishers at QoS 1, each with a window, to sessions that are kept and whose clients are away;
//! - `offline1`: one publisher, one message at a time: the latency of a commit;
//! - `paced`: publishes by the clock, latencies from when they were due;
//! - `online`: as `offline`, but the clients are there and acknowledge at once;
//! - `clean`: the same to sessions that are not kept, which must cost nothing;
//! - `restart`: sessions with messages, through SIGKILL and through SIGTERM;
//! - `drain`: subscribers come back to what waits for them.
//!
//! Linux only: CPU time, memory and bytes written are read from `/proc`.

mod arrivals;
mod backlog;
#[allow(dead_code, reason = "these clients say little")]
#[path = "../client/mod.rs"]
mod client;
mod closed;
mod contestant;
#[path = "../throughput/daemon.rs"]
mod daemon;
mod disk;
mod figures;
mod fleet;
mod host;
mod load;
mod message;
mod paced;
mod publishing;
mod report;
mod scenario;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use dockgate::bench::{process, spread};
use tokio::runtime::Runtime;

use contestant::{Contestant, Ending};
use figures::Measured;
use host::Host;
use report::{Report, Run};
use scenario::{Backlog, Scale, Scenario};

/// Measures what durability costs.
#[derive(Debug, Parser)]
#[command(name = "durability")]
struct Options {
    /// Which scenarios: offline, offline1, paced, online, clean, restart, drain [default: all]
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Which brokers: dockgate-off, dockgate-interval, dockgate-always, mosquitto [default: all]
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Times that every broker runs every scenario
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Seconds of publishing in each run
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Publishers, and sessions that they publish to
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    publishers: u16,
    /// Messages that a publisher may have unacknowledged
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500))]
    window: u16,
    /// Bytes of payload
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(8..=1_000_000))]
    payload: u32,
    /// Publishes a second in all, in `paced`
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Sessions in `restart`, which share 100,000 messages
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// Where the brokers keep what they keep [default: cargo's folder for tests]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// One small round: shows that it works, not how fast
    #[arg(long)]
    quick: bool,
    /// Write every run to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
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
    if !options.bench {
        // `cargo test --benches` runs this too, and must not wait minutes for it.
        println!("nothing measured: run it with `cargo bench --bench durability`");
        return Ok(());
    }
    let scenarios = chosen(&options.scenario, "--scenario", Scenario::ALL.map(|(name, of)| (name.to_owned(), of)))?;
    let contestants = chosen(&options.only, "--only", Contestant::ALL.map(|of| (of.option(), of)))?;
    let scale = scale(options);
    let rounds = if options.quick { 1 } else { options.rounds };
    let folder = options.folder.as_deref().unwrap_or(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;

    let mut report = Report { settings: settings(&scale, rounds, folder)?, ..Report::default() };
    for round in 1..=rounds {
        let times = disk::sync_times(folder)?;
        report.device_ms.extend(times.get(times.len() / 2).map(|time| time.as_secs_f64() * 1000.0));
        for (name, scenario) in &scenarios {
            for (_, contestant) in &contestants {
                for (name, measured) in measure(&runtime, name, *scenario, &scale, *contestant, folder) {
                    take(&mut report, name, *contestant, round, measured);
                }
            }
        }
    }
    println!("{}", report.to_text());
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    match report.faults().count() {
        0 if report.runs.is_empty() => bail!("no broker answered"),
        0 => Ok(()),
        faults => bail!("{faults} fault(s)"),
    }
}

/// Runs a scenario with a broker of its own; `restart` twice, once for each ending.
fn measure(
    runtime: &Runtime,
    name: &str,
    scenario: Scenario,
    scale: &Scale,
    contestant: Contestant,
    folder: &Path,
) -> Vec<(String, anyhow::Result<Measured>)> {
    let run = |name: String, ending: Option<Ending>| {
        let measured = Host::start(contestant, folder).and_then(|mut host| {
            let measured = runtime.block_on(async {
                match (scenario, ending) {
                    (Scenario::Publish(shape), _) => load::run(shape, scale, &mut host).await,
                    (Scenario::Drain, _) => backlog::drain(scale, &mut host).await,
                    (Scenario::Restart, ending) => {
                        backlog::restart(ending.unwrap_or(Ending::Kill), scale, &mut host).await
                    }
                }
            });
            match host.ended() {
                Some(how) => Err(measured.err().unwrap_or_else(|| anyhow::anyhow!("then")).context(how)),
                None => measured,
            }
        });
        (name, measured)
    };
    match scenario {
        // There is nothing to come back to.
        Scenario::Restart if contestant == Contestant::DockgateOff => Vec::new(),
        Scenario::Restart => {
            vec![run(format!("{name} KILL"), Some(Ending::Kill)), run(format!("{name} TERM"), Some(Ending::Term))]
        }
        _ => vec![run(name.to_owned(), None)],
    }
}

fn take(report: &mut Report, scenario: String, contestant: Contestant, round: u16, measured: anyhow::Result<Measured>) {
    let broker = contestant.name();
    match measured {
        Ok(measured) => {
            let first = measured.figures.first().map(|figure| format!("{:>9.2} {}", figure.value, figure.name));
            eprintln!("round {round}  {scenario:<12}  {broker:<17}  {}", first.unwrap_or_default());
            let loss_window = contestant.loss_window();
            report.runs.push(Run { scenario, broker, loss_window, round, measured });
        }
        Err(error) => {
            let what = format!("{scenario}, {broker}, round {round}: {error:#}");
            eprintln!("skipped: {what}");
            // Mosquitto need not be installed.
            match contestant {
                Contestant::Mosquitto => report.notes.push(what),
                _ => report.failures.push(what),
            }
        }
    }
}

/// The named ones of all there are, or all.
fn chosen<T: Clone, const N: usize>(
    names: &[String],
    option: &str,
    all: [(String, T); N],
) -> anyhow::Result<Vec<(String, T)>> {
    if names.is_empty() {
        return Ok(all.to_vec());
    }
    let named = |name: &String| {
        let found = all.iter().find(|(candidate, _)| candidate == name).cloned();
        found.with_context(|| {
            let known: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            format!("{option}: `{name}` is not one of {}", known.join(", "))
        })
    };
    names.iter().map(named).collect()
}

fn scale(options: &Options) -> Scale {
    let full = Scale {
        time: Duration::from_secs_f64(options.seconds.clamp(0.1, 600.0)),
        publishers: usize::from(options.publishers),
        window: usize::from(options.window),
        payload_bytes: options.payload as usize,
        rate: options.rate,
        restart: Backlog {
            sessions: options.sessions as usize,
            messages: (100_000 / u64::from(options.sessions)).max(1),
        },
        drain: Backlog { sessions: 50, messages: 2000 },
        exact: true,
    };
    match options.quick {
        true => Scale {
            time: Duration::from_millis(200),
            publishers: full.publishers.min(20),
            restart: Backlog { sessions: 200, messages: 5 },
            drain: Backlog { sessions: 10, messages: 100 },
            exact: false,
            ..full
        },
        false => full,
    }
}

fn settings(scale: &Scale, rounds: u16, folder: &Path) -> anyhow::Result<String> {
    let Scale { time, publishers, window, payload_bytes, rate, restart, drain, .. } = scale;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let file_system = disk::file_system(folder)?;
    let warning = if disk::is_memory(&file_system) { " (MEMORY: an fsync costs nothing there)" } else { "" };
    Ok(format!(
        "{rounds} round(s) of {time:?}, {publishers} publishers with a window of {window}, {payload_bytes} B payload, \
         {rate}/s paced, restart with {} sessions of {} messages, drain with {} of {}, {cores} cores, {file_system}{warning}",
        restart.sessions, restart.messages, drain.sessions, drain.messages
    ))
}
