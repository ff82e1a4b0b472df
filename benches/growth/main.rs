//! How brokers grow: with their fleet, with the number of topics and of wildcard filters, and over a restart.
//!
//! ```text
//! cargo bench --bench growth                                     all curves, one round, about ten minutes
//! cargo bench --bench growth -- --quick                          small sizes: shows that it works, not how it grows
//! cargo bench --bench growth -- --curve fleet --only dockgate,mosquitto --rounds 3
//! cargo bench --bench growth -- --json growth.json --svg benches/plots
//! ```
//!
//! - `fleet`: docks with six exact subscriptions each and a backend with six wildcards: how long until all are there, the
//!   memory of each, all of them back at once after their connections broke, and the traffic that they have with one
//!   backend and with ten that share a group;
//! - `topics`: messages over many topics to one wildcard subscriber;
//! - `filters`: messages of which each matches one of many wildcard filters, which a hundred subscribers share;
//! - `restart`: sessions with six subscriptions each, on a broker that ends and starts again.
//!
//! What takes longer than a minute is given up, and said. Linux only: CPU time and memory are read from `/proc`.

mod breadth;
#[path = "../throughput/brokers.rs"]
mod brokers;
mod charts;
#[allow(dead_code, reason = "these clients say little")]
#[path = "../client/mod.rs"]
mod client;
mod crowd;
#[path = "../throughput/daemon.rs"]
mod daemon;
mod figures;
mod fleet;
#[path = "../plot/mod.rs"]
mod plot;
mod pour;
#[allow(dead_code, reason = "no peaks are looked at")]
mod restart;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use tokio::runtime::Runtime;

use brokers::Broker;
use figures::{Measured, Point};

/// What takes longer than this is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures how brokers grow.
#[derive(Debug, Parser)]
#[command(name = "growth")]
struct Options {
    /// Which curves [default: all]
    #[arg(long, value_delimiter = ',')]
    curve: Vec<Curve>,
    /// Which brokers, by name [default: dockgate, mosquitto, rumqttd, rmqtt and every --broker]
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One more broker, which already runs: NAME=HOST:PORT:PID
    #[arg(long, value_parser = Broker::parse_external)]
    broker: Vec<Broker>,
    /// Times that every broker runs every size
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// The largest size of a curve that is run; the curves end at 10,000 or 100,000
    #[arg(long, default_value_t = 100_000)]
    largest: usize,
    /// One round of small sizes: shows that it works, not how it grows
    #[arg(long)]
    quick: bool,
    /// Write every figure to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the curves into this folder
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Be rumqttd on this port: how the bench starts it as a process of its own
    #[arg(long, hide = true)]
    host_rumqttd: Option<u16>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Curve {
    Fleet,
    Topics,
    Filters,
    Restart,
}

impl Curve {
    const ALL: [Self; 4] = [Self::Fleet, Self::Topics, Self::Filters, Self::Restart];

    fn name(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Topics => "topics",
            Self::Filters => "filters",
            Self::Restart => "restart",
        }
    }

    fn sizes(self, quick: bool) -> &'static [usize] {
        match (self, quick) {
            (Self::Fleet | Self::Restart, false) => &[100, 1000, 10_000],
            (Self::Topics, false) => &[1, 10, 100, 1000, 10_000, 100_000],
            (Self::Filters, false) => &[1, 10, 100, 1000, 10_000],
            (Self::Fleet | Self::Restart, true) => &[50],
            (Self::Topics | Self::Filters, true) => &[1, 100],
        }
    }

    async fn measure(self, broker: &Broker, size: usize, times: Times) -> anyhow::Result<Measured> {
        match self {
            Self::Fleet => fleet::measure(broker, size, times).await,
            Self::Topics => breadth::topics(broker, size, times).await,
            Self::Filters => breadth::filters(broker, size, times).await,
            Self::Restart => restart::measure(broker, size).await,
        }
    }
}

/// How long things are looked at.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Publishing as fast as possible.
    load: Duration,
    /// Publishing by the clock.
    traffic: Duration,
    /// Allocators and timers come to rest in this time before memory is read.
    settle: Duration,
}

impl Times {
    const FULL: Self =
        Self { load: Duration::from_secs(2), traffic: Duration::from_secs(6), settle: Duration::from_secs(1) };
    const QUICK: Self = Self {
        load: Duration::from_millis(100),
        traffic: Duration::from_millis(1200),
        settle: Duration::from_millis(100),
    };
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
struct Report {
    settings: String,
    points: Vec<Point>,
    /// What gave no figures, or lost something, and why.
    notes: Vec<String>,
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
        println!("nothing measured: run it with `cargo bench --bench growth`");
        return Ok(());
    }
    rlimit::increase_nofile_limit(u64::MAX).context("the limit on open files cannot be raised")?;
    let brokers = Broker::chosen(&options.only, &options.broker)?;
    let curves = if options.curve.is_empty() { &Curve::ALL[..] } else { &options.curve };
    let (rounds, times) = if options.quick { (1, Times::QUICK) } else { (options.rounds, Times::FULL) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut report = Report {
        settings: format!("{rounds} round(s), generator with one thread, {cores} cores"),
        ..Report::default()
    };
    for round in 1..=rounds {
        for curve in curves {
            for size in curve.sizes(options.quick).iter().filter(|size| **size <= options.largest) {
                for broker in brokers.iter().filter(|broker| *curve != Curve::Restart || restart::can(broker)) {
                    measure(&runtime, *curve, *size, broker, round, times, &mut report);
                }
            }
        }
    }
    println!("{}", table::text(&report));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(folder) = &options.svg {
        charts::draw(folder, &report.points)?;
    }
    if report.points.is_empty() {
        bail!("no broker answered");
    }
    Ok(())
}

fn measure(
    runtime: &Runtime,
    curve: Curve,
    size: usize,
    broker: &Broker,
    round: u16,
    times: Times,
    report: &mut Report,
) {
    let (name, who) = (curve.name(), broker.name());
    match runtime.block_on(curve.measure(broker, size, times)) {
        Ok(Measured { figures, notes }) => {
            eprintln!("round {round}  {name:<8}  {size:>6}  {who}");
            for note in notes {
                eprintln!("note: {note}");
                report.notes.push(format!("{name} {size}, {who}, round {round}: {note}"));
            }
            report.points.push(Point { curve: name, broker: who.to_owned(), round, size, figures });
        }
        Err(error) => {
            let note = format!("{name} {size}, {who}, round {round}: {error:#}");
            eprintln!("skipped: {note}");
            report.notes.push(note);
        }
    }
}

/// Gives up after [`PATIENCE`].
async fn bounded<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.with_context(|| format!("given up after {PATIENCE:?}"))?
}
