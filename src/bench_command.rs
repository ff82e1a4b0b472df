//! `dockgate bench`: measures brokers.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use dockgate::bench::{
    Address, Amount, EXAMPLES, Login, Matrix, Plan, Report, SMALLEST_PAYLOAD, Scenario, Step, Target, Version,
    alternate, trusting, trusting_anyone,
};
use dockgate::config::Log;
use dockgate::logging;

/// The target without one.
const USUAL_TARGET: &str = "mqtt://127.0.0.1:1883";

#[derive(Debug, Args)]
#[command(after_help = "\
Scenarios by the clock, whose latencies count from when a message was due; the last number is deliveries a second:
  p2p-1K-1K-1K-1K        publishers, subscribers, topics
  fanout-1-1K-1-1K       every message to every subscriber of its topic
  sharedsub-1K-5-1K-1K   one shared subscription to all topics
  conn-10K[-1K]          connections, and connects a second
  dji-100                docks in flight, with their QoS and payloads (--qos, --protocol: other ones); latencies count
                         from the write, and how late that was is told
At full speed, without latencies:
  fanin                  100 publishers, one subscriber with a wildcard
  fanout, fanoutw        1 publisher, 100 subscribers with its topic or a wildcard
  pairs                  50 publishers, each with a subscriber
  hook-off, hook-on, hook-uploads
                         pairs on topics that dockgate's upload guard passes over, reads, and follows
Connections that say nothing:
  idle-2K                docks with their six subscriptions

CPU time and memory are those of the broker's process, on this machine and Linux only.

Exit code: 0 if every target answered and nothing that was acknowledged was lost, 1 otherwise, 2 for wrong arguments.")]
pub(super) struct Arguments {
    /// A broker, [NAME=]mqtt://HOST[:PORT][#PID] or mqtts://…; may be given again, and then all run in turn [default: mqtt://127.0.0.1:1883]
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<Address>,
    /// What to measure; may be given again, or as a list.
    #[arg(long = "scenario", value_name = "NAME", value_delimiter = ',', default_value = EXAMPLES[0])]
    scenarios: Vec<Scenario>,
    /// Times that every target runs everything.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// How long each run publishes.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    duration: Duration,
    /// By the clock: how long before latencies count.
    #[arg(long, value_name = "TIME", value_parser = parse_pause, default_value = "1s")]
    warm_up: Duration,
    /// At full speed: that many messages of each publisher instead, however long it takes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// By the clock: deliveries a second, instead of the last number of the scenario's name.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Connects a second, where the scenario's name does not say it.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    connect_rate: u32,
    /// The QoS of all messages, a list for one after the other [default: 1].
    #[arg(long, value_name = "0|1|2", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: Vec<u8>,
    /// Bytes of payload, or a list [default: 256].
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = parse_payload)]
    payload: Vec<usize>,
    /// At full speed: messages that a publisher puts into one write, or a list [default: 1].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = parse_batch)]
    batch: Vec<usize>,
    /// The MQTT version of all clients, or a list [default: 5].
    #[arg(long, value_name = "3.1.1|5", value_delimiter = ',', value_parser = parse_version)]
    protocol: Vec<Version>,
    /// Messages that a publisher may have unacknowledged at QoS 1 and 2.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// Threads of the generator; what goes by the clock has one more for that.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// What topics begin with.
    #[arg(long, value_name = "TOPIC", default_value = "bench", value_parser = parse_prefix)]
    prefix: String,
    /// The user name of all clients.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// A file whose first line is the password of all clients.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// mqtts: the authorities to trust, in a PEM file.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// mqtts: trust any certificate.
    #[arg(long)]
    insecure: bool,
    /// Write every run with its settings to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let within = Duration::from_millis(100)..=Duration::from_secs(600);
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if within.contains(&duration) { Ok(duration) } else { Err("not from 100ms to 10m".to_owned()) }
}

fn parse_pause(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration <= Duration::from_secs(600) { Ok(duration) } else { Err("not up to 10m".to_owned()) }
}

fn parse_payload(text: &str) -> Result<usize, String> {
    let within = SMALLEST_PAYLOAD..=16 << 20;
    let bytes = text.parse().ok().filter(|bytes| within.contains(bytes));
    bytes.ok_or_else(|| format!("not a number from {SMALLEST_PAYLOAD}, the number of a message, to {}", within.end()))
}

fn parse_batch(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=1000).contains(number));
    number.ok_or_else(|| "not a number from 1 to 1000".to_owned())
}

fn parse_version(text: &str) -> Result<Version, String> {
    match text {
        "3.1.1" | "4" => Ok(Version::V311),
        "5" | "5.0" => Ok(Version::V5),
        _ => Err("neither 3.1.1 nor 5".to_owned()),
    }
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let is_good =
        !text.is_empty() && text.len() <= 1000 && !text.contains(['+', '#', '\0', '$']) && !text.ends_with('/');
    if is_good { Ok(text.to_owned()) } else { Err("not a topic, such as bench or test/bench".to_owned()) }
}

/// Measures and reports.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let targets = match arguments.targets() {
        Ok(targets) => targets,
        Err(error) => {
            eprintln!("dockgate: {error:#}");
            return ExitCode::from(super::WRONG_SETTINGS);
        }
    };
    match bench(arguments, &targets) {
        Ok(report) if report.is_well() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => super::finish(Err(error)),
    }
}

fn bench(arguments: &Arguments, targets: &[Target]) -> anyhow::Result<Report> {
    // What it has to say it says itself.
    logging::init(&Log { level: "error".to_owned(), ..Log::default() })?;
    let Arguments { qos, payload, batch, protocol, .. } = arguments;
    let matrix =
        Matrix { qos: qos.clone(), payload: payload.clone(), batch: batch.clone(), protocol: protocol.clone() };
    let cases = matrix.cases(&arguments.scenarios);
    let report = alternate(targets, &cases, &arguments.plan(), arguments.rounds.into(), tell);
    io::stdout().write_all(report.to_string().as_bytes()).context("the report cannot be written")?;
    if let Some(file) = &arguments.json {
        let json = serde_json::to_vec_pretty(&report)?;
        fs::write(file, json).with_context(|| format!("--json {} cannot be written", file.display()))?;
    }
    Ok(report)
}

fn tell(step: Step<'_>) {
    match step {
        Step::Done(run) => {
            let (figures, round) = (&run.figures, run.round);
            let latency = figures.latency_ms.map_or_else(String::new, |q| format!("  p99 {:.2} ms", q.p99));
            eprintln!(
                "round {round}  {:<44}  {:<16}  {:>10.0}/s{latency}",
                run.case.to_string(),
                run.target,
                figures.rate
            );
        }
        Step::Failed(failure) => {
            eprintln!("round {}  {}  {}: {}", failure.round, failure.case, failure.target, failure.error)
        }
    }
}

impl Arguments {
    fn plan(&self) -> Plan {
        Plan {
            amount: self.messages.map_or(Amount::Time(self.duration), Amount::Messages),
            warm_up: self.warm_up,
            window: self.window.into(),
            rate: self.rate,
            connect_rate: self.connect_rate,
            threads: self.threads.into(),
            prefix: self.prefix.clone(),
        }
    }

    fn targets(&self) -> anyhow::Result<Vec<Target>> {
        let tls = match (&self.ca, self.insecure) {
            (Some(file), _) => Some(trusting(file).context("--ca")?),
            (None, true) => Some(trusting_anyone()?),
            (None, false) => None,
        };
        let password = self.password_file.as_deref().map(super::simulate::read_password).transpose()?;
        let login = Login { user: self.username.clone(), password, tls };
        let usual = [USUAL_TARGET.parse().map_err(anyhow::Error::msg)?];
        let given = if self.targets.is_empty() { &usual[..] } else { &self.targets };
        let names: Vec<&str> = given.iter().map(|address| address.name.as_str()).collect();
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            bail!("two targets are called {:?}: name them, as in a=mqtt://… and b=mqtt://…", twice.1);
        }
        given.iter().map(|address| Target::resolve(address, &login).context("--target")).collect()
    }
}
