//! `dockgate simulate`: docks and backends that load a broker and judge it.

use std::fs;
use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use dockgate::access::Secret;
use dockgate::config::Log;
use dockgate::logging;
use dockgate::sim::fault::Fault;
use dockgate::sim::fleet::{self, Report, Settings, Version};

/// Files that the process has open besides its connections.
const OWN_FILES: u64 = 32;

#[derive(Debug, Args)]
#[command(after_help = "\
Everything is by the clock and from the seed, so that a run can be repeated. Lines of progress go to standard error,
the report to standard output.

Exit code: 0 if nothing of QoS 1 was lost and nothing happened that should not have, 1 otherwise, 2 for wrong arguments.")]
pub(super) struct Arguments {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    broker: String,
    /// The user name of all; {sn} in it stands for a dock's serial number, or a backend's name.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A file whose first line is the password of all.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// How many docks.
    #[arg(long, value_name = "N", default_value_t = 10)]
    docks: u32,
    /// The number in the first dock's serial number, so that several fleets fit on one broker.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first: u32,
    /// How many docks are in flight: a number, or a share such as 10% or 0.1.
    #[arg(long, value_name = "SHARE", value_parser = parse_portion, default_value = "50%")]
    flying: Portion,
    /// How many backends, each with the six wildcard subscriptions that a backend has.
    #[arg(long, value_name = "N", default_value_t = 2)]
    backends: u32,
    /// The backends share one group instead of hearing everything each.
    #[arg(long)]
    shared: bool,
    /// How many uploads begin at once; every other one has a rival that wants the same dock.
    #[arg(long, value_name = "N", default_value_t = 1)]
    uploads: u32,
    /// The time from one beginning to the next.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    upload_every: Duration,
    /// A fault that some docks have: stall, reboot, reject, busy, typo, duplicate or late; the share of docks is 10%
    /// unless it says another. May be given again.
    #[arg(long = "fault", value_name = "KIND[=SHARE]", value_parser = parse_fault)]
    faults: Vec<(Fault, f64)>,
    /// Where everything comes from that differs from dock to dock.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// How long, from when the last dock connects; 0 is until Ctrl-C.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    duration: Duration,
    /// The time from one line of progress to the next.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    every: Duration,
    /// Docks that connect a second.
    #[arg(long, value_name = "N", default_value_t = 200)]
    ramp: u32,
    /// The QoS of all that is published [default: as docks and backends do it].
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: Option<u8>,
    /// The MQTT version of all [default: docks 5, backends 3.1.1].
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    report: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protocol {
    #[value(name = "3.1.1")]
    V311,
    #[value(name = "5")]
    V5,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// A table.
    #[default]
    Text,
    /// A JSON document.
    Json,
}

/// Some docks of them all.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Portion {
    Number(u32),
    Share(f64),
}

fn parse_portion(text: &str) -> Result<Portion, String> {
    if text.ends_with('%') || text.contains('.') {
        return parse_share(text).map(Portion::Share);
    }
    text.parse()
        .map(Portion::Number)
        .map_err(|_| format!("{text:?} is neither a number nor a share such as 10% or 0.1"))
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is not a share: say a percentage such as 10% or a number from 0 to 1"))
}

fn parse_fault(text: &str) -> Result<(Fault, f64), String> {
    let (name, share) = match text.split_once('=') {
        Some((name, share)) => (name, parse_share(share)?),
        None => (text, 0.1),
    };
    Ok((name.parse().map_err(|unknown| format!("{unknown}"))?, share))
}

/// Runs the fleet and reports.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    let format = arguments.report;
    let settings = match arguments.settings() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("dockgate: {error:#}");
            return ExitCode::from(super::WRONG_SETTINGS);
        }
    };
    match simulate(settings).and_then(|report| print(&report, format)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => super::finish(Err(error)),
    }
}

fn simulate(settings: Settings) -> anyhow::Result<Report> {
    // What it has to say it says itself.
    logging::init(&Log { level: "error".to_owned(), ..Log::default() })?;
    let needed = u64::from(settings.docks) + u64::from(settings.backends) + OWN_FILES;
    let files = rlimit::increase_nofile_limit(u64::MAX).context("the limit on open files cannot be raised")?;
    if files < needed {
        bail!("{needed} connections and files are more than the {files} that may be open: raise ulimit -n");
    }
    super::block_on(async {
        let stop = super::stop_signal()?;
        Ok(fleet::run(settings, stop, |line| eprintln!("{line}")).await?)
    })
}

/// Prints the report; false if it is not a good one.
fn print(report: &Report, format: Format) -> anyhow::Result<bool> {
    let text = match format {
        Format::Text => report.to_string(),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(report)?),
    };
    io::stdout().write_all(text.as_bytes()).context("the report cannot be written")?;
    Ok(report.is_well())
}

impl Arguments {
    fn settings(self) -> anyhow::Result<Settings> {
        let version = |protocol: Option<Protocol>, usual| match protocol {
            None => usual,
            Some(Protocol::V311) => Version::V311,
            Some(Protocol::V5) => Version::V5,
        };
        let settings = Settings {
            broker: resolve(&self.broker)?,
            user: self.user,
            password: self.password_file.as_deref().map(read_password).transpose()?,
            docks: self.docks,
            first: self.first,
            flying: match self.flying {
                Portion::Number(number) => number,
                // Not more than there are docks.
                Portion::Share(share) => (f64::from(self.docks) * share).round() as u32,
            },
            backends: self.backends,
            shared: self.shared,
            uploads: self.uploads,
            upload_every: self.upload_every,
            faults: self.faults,
            seed: self.seed,
            duration: Some(self.duration).filter(|duration| !duration.is_zero()),
            every: self.every,
            ramp: self.ramp,
            qos: self.qos,
            docks_speak: version(self.protocol, Version::V5),
            backends_speak: version(self.protocol, Version::V311),
        };
        settings.check()?;
        Ok(settings)
    }
}

fn resolve(broker: &str) -> anyhow::Result<SocketAddr> {
    let mut addresses = broker
        .to_socket_addrs()
        .with_context(|| format!("--broker {broker:?} is no address: say HOST:PORT, such as 127.0.0.1:1883"))?;
    addresses.next().ok_or_else(|| anyhow!("--broker {broker:?} has no address"))
}

pub(super) fn read_password(file: &Path) -> anyhow::Result<Secret> {
    let text = fs::read(file).with_context(|| format!("--password-file {} cannot be read", file.display()))?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() || line.len() > usize::from(u16::MAX) {
        bail!("--password-file {}: the first line must be the password, of 1 to 65535 bytes", file.display());
    }
    Ok(Secret::new(line.to_vec()))
}
