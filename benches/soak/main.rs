//! Whether memory stays where it is: one broker for an hour and longer, under clients that come and go with names, topics
//! and filters that nobody had before.
//!
//! ```text
//! cargo bench --bench soak                                  an hour of dockgate
//! cargo bench --bench soak -- --minutes 600 --rate 2000     longer, and twice as hard
//! cargo bench --bench soak -- --only mosquitto              another broker
//! cargo bench --bench soak -- --quick                       some seconds: shows that it works
//! cargo bench --bench soak -- --sessions                    all brokers: memory of an idle connection and of a full queue
//! ```
//!
//! Sessions are kept and not, of MQTT 3.1.1 and 5, at QoS 0, 1 and 2; subscriptions are exact, with wildcards and shared;
//! there are retained messages that are set and cleared, wills, and queues of those who are away. At the end all leave, and
//! what dockgate then still has of them is said. The verdict is the slope of the resident memory over the last third of the
//! time: a leak is a slope that stays, however small.
//!
//! Linux only: memory is read from `/proc`.

#[path = "../throughput/brokers.rs"]
mod brokers;
mod churn;
#[path = "../client/mod.rs"]
mod client;
#[path = "../throughput/daemon.rs"]
mod daemon;
mod life;
#[path = "../plot/mod.rs"]
mod plot;
#[allow(dead_code, reason = "memory is looked at in another way")]
mod report;
mod sessions;
mod slope;
mod subject;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;

use brokers::Broker;
use churn::Pace;
use subject::{Subject, Sync};
use watch::Watch;

/// Watches a broker's memory under clients that come and go.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Options {
    /// How long
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Which broker; with --sessions which ones [default: dockgate; with --sessions all]
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One more broker, which already runs: NAME=HOST:PORT:PID
    #[arg(long, value_parser = Broker::parse_external)]
    broker: Vec<Broker>,
    /// Publishes a second in all
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Clients at one time
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Seconds that a client is there, on average
    #[arg(long, default_value_t = 10.0)]
    life: f64,
    /// When dockgate has on disk what it acknowledges
    #[arg(long, value_enum, default_value_t = Sync::Always)]
    sync: Sync,
    /// Another dockgate than the one that was built with this
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_dockgate"))]
    program: PathBuf,
    /// Measure the memory of idle connections and of full queues instead
    #[arg(long)]
    sessions: bool,
    /// Some seconds only
    #[arg(long)]
    quick: bool,
    /// Write every sample to this file as JSON, every minute anew
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the memory into this file, every minute anew
    #[arg(long, value_name = "FILE")]
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
        // `cargo test --benches` runs this too, and must not wait an hour for it.
        println!("nothing measured: run it with `cargo bench --bench soak`");
        return Ok(());
    }
    rlimit::increase_nofile_limit(u64::MAX).context("the limit on open files cannot be raised")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if options.sessions {
        return runtime.block_on(sessions::measure(
            &Broker::chosen(&options.only, &options.broker)?,
            options.quick,
            options.svg.as_deref(),
        ));
    }
    let broker = match &options.only[..] {
        [] => Broker::Dockgate,
        _ => {
            let mut brokers = Broker::chosen(&options.only, &options.broker)?;
            ensure!(brokers.len() == 1, "--only: one broker at a time is watched");
            brokers.remove(0)
        }
    };
    let subject = match broker {
        Broker::Dockgate => Subject::dockgate(&options.program, options.sync)?,
        other => Subject::peer(&other)?,
    };
    let (time, every) = match options.quick {
        true => (Duration::from_secs(4), Duration::from_millis(250)),
        false => (Duration::from_secs_f64(options.minutes.clamp(0.1, 100_000.0) * 60.0), Duration::from_secs(10)),
    };
    let life = Duration::from_secs_f64(options.life.clamp(0.1, 3600.0).min(time.as_secs_f64() / 4.0));
    // Longer than anybody is away, and short enough that the last sessions are soon forgotten.
    let expiry = if options.quick { 2 } else { 15 };
    let watch = Watch {
        pace: Pace { clients: options.clients, rate: options.rate, life, expiry },
        time,
        every,
        json: options.json.clone(),
        svg: options.svg.clone(),
    };
    let report = runtime.block_on(watch.run(subject))?;
    println!("{}", report.text());
    ensure!(report.faults.is_empty(), "{} fault(s)", report.faults.len());
    Ok(())
}
