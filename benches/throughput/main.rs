//! Throughput, CPU time and memory of MQTT 3.1.1 brokers, measured side by side.
//!
//! One generator speaks raw TCP to dockgate, to Mosquitto and to stock rumqttd, or to any other broker by address. Rounds
//! alternate the brokers, so that a noisy machine is noisy for all of them; compare ratios, not absolute figures.
//!
//! ```text
//! cargo bench --bench throughput                                    every scenario, three rounds, about 5 minutes
//! cargo bench --bench throughput -- --quick                         one short round
//! cargo bench --bench throughput -- --scenario fanin0,pairs1 --only dockgate,mosquitto --rounds 5
//! cargo bench --bench throughput -- --batch 1                       one message a write
//! cargo bench --bench throughput -- --scenario idle --clients 2000  memory of idle docks
//! cargo bench --bench throughput -- --broker emqx=127.0.0.1:1883:4711 --only emqx
//! ```
//!
//! Linux only: CPU time and memory are read from `/proc`.

mod batch;
mod brokers;
mod daemon;
mod idle;
mod load;
mod process;
mod report;
mod scenario;
mod spread;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use tokio::runtime::Runtime;

use brokers::Broker;
use load::{Amount, Plan};
use report::{IdleRun, Report, Run};
use scenario::{SHAPES, Scenario};

/// The scenario that measures memory instead of throughput.
const IDLE: &str = "idle";

/// Measures MQTT 3.1.1 brokers side by side.
#[derive(Debug, Parser)]
#[command(name = "throughput")]
struct Options {
    /// Which scenarios: fanin, fanout, fanoutw or pairs with the QoS (fanin0), or idle [default: all but idle]
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
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
    /// Publish that many messages a publisher instead, however long it takes
    #[arg(long)]
    messages: Option<u64>,
    /// Bytes of payload
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    payload: u32,
    /// Messages that a publisher puts into one write
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Messages that a QoS 1 publisher may have unacknowledged
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    window: u16,
    /// Docks of the idle scenario
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Threads of the generator
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// One round of half a second each: shows that it works, not how fast
    #[arg(long)]
    quick: bool,
    /// Write every run to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
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
    let brokers = chosen_brokers(options)?;
    let (scenarios, idle) = chosen_scenarios(options)?;
    let runtime = runtime(options.threads)?;
    let rounds = if options.quick { 1 } else { options.rounds };
    let plan = plan(options);

    let mut report = Report { settings: settings(options, rounds, plan), ..Report::default() };
    for round in 1..=usize::from(rounds) {
        for scenario in &scenarios {
            for broker in &brokers {
                measure_load(&runtime, scenario, plan, broker, round, &mut report);
            }
        }
        for broker in brokers.iter().filter(|_| idle) {
            measure_idle(&runtime, options.clients as usize, broker, round, &mut report);
        }
    }
    println!("{}", report.to_text());
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if report.runs.is_empty() && report.idle.is_empty() {
        bail!("no broker answered");
    }
    Ok(())
}

fn measure_load(
    runtime: &Runtime,
    scenario: &Scenario,
    plan: Plan,
    broker: &Broker,
    round: usize,
    report: &mut Report,
) {
    let outcome = broker.start().and_then(|mut running| runtime.block_on(load::run(scenario, plan, &mut running)));
    match outcome {
        Ok(outcome) => {
            let run = Run::new(&scenario.name, broker.name(), round, outcome);
            eprintln!("round {round}  {scenario:<8}  {:<10}  {:>9.0}/s", run.broker, run.rate);
            report.runs.push(run);
        }
        Err(error) => skip(report, &scenario.name, broker, round, &error),
    }
}

fn measure_idle(runtime: &Runtime, clients: usize, broker: &Broker, round: usize, report: &mut Report) {
    let idle = broker.start().and_then(|mut running| runtime.block_on(idle::run(clients, &mut running)));
    match idle {
        Ok(idle) => {
            eprintln!("round {round}  {IDLE:<8}  {:<10}", broker.name());
            report.idle.push(IdleRun { broker: broker.name().to_owned(), round, idle });
        }
        Err(error) => skip(report, IDLE, broker, round, &error),
    }
}

fn skip(report: &mut Report, scenario: &str, broker: &Broker, round: usize, error: &anyhow::Error) {
    let note = format!("{scenario}, {}, round {round}: {error:#}", broker.name());
    eprintln!("skipped: {note}");
    report.notes.push(note);
}

fn chosen_brokers(options: &Options) -> anyhow::Result<Vec<Broker>> {
    let mut brokers = Broker::local();
    brokers.extend(options.broker.iter().cloned());
    if options.only.is_empty() {
        return Ok(brokers);
    }
    let named = |name: &String| {
        let found = brokers.iter().find(|broker| broker.name() == name);
        found.cloned().with_context(|| format!("--only: no broker is called `{name}`"))
    };
    options.only.iter().map(named).collect()
}

/// The scenarios to run, and whether `idle` is among them.
fn chosen_scenarios(options: &Options) -> anyhow::Result<(Vec<Scenario>, bool)> {
    if options.scenario.is_empty() {
        return Ok((Scenario::all(), false));
    }
    let idle = options.scenario.iter().any(|name| name == IDLE);
    let named = |name: &String| {
        Scenario::named(name).with_context(|| {
            let shapes = SHAPES.join(", ");
            format!("--scenario: `{name}` is not one of {shapes} with 0 or 1, nor {IDLE}")
        })
    };
    let loads = options.scenario.iter().filter(|name| *name != IDLE);
    Ok((loads.map(named).collect::<anyhow::Result<_>>()?, idle))
}

fn plan(options: &Options) -> Plan {
    let seconds = if options.quick { 0.5 } else { options.seconds };
    let window = usize::from(options.window);
    Plan {
        payload_bytes: options.payload as usize,
        batch: usize::from(options.batch).min(window),
        window,
        amount: match options.messages {
            Some(messages) => Amount::Messages(messages),
            None => Amount::Time(Duration::from_secs_f64(seconds.clamp(0.1, 600.0))),
        },
    }
}

fn settings(options: &Options, rounds: u16, plan: Plan) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let amount = match plan.amount {
        Amount::Time(time) => format!("{time:?}"),
        Amount::Messages(messages) => format!("{messages} messages a publisher"),
    };
    format!(
        "{rounds} round(s) of {amount}, {} B payload, {} message(s) a write, QoS 1 window {}, \
         generator with {} thread(s), {cores} cores",
        plan.payload_bytes, plan.batch, plan.window, options.threads
    )
}

fn runtime(threads: u16) -> anyhow::Result<Runtime> {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    Ok(builder.worker_threads(usize::from(threads)).enable_all().build()?)
}
