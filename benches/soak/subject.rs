//! The broker that is watched.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::brokers::{Broker, Running};
use crate::daemon::{Daemon, free_port};

/// When dockgate has on disk what it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sync {
    Always,
    Interval,
    /// It keeps nothing.
    Off,
}

/// A running broker.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    /// Only dockgate has one.
    http: Option<SocketAddr>,
    process: Process,
}

#[derive(Debug)]
enum Process {
    Dockgate(Daemon),
    Peer(Running),
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Memory {
    /// All that is resident.
    pub(crate) resident: u64,
    /// Of it, what is not from files: heap and stacks.
    pub(crate) anonymous: u64,
}

/// What there is in dockgate at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Live {
    pub(crate) connections: u64,
    pub(crate) sessions: u64,
    pub(crate) subscriptions: u64,
    pub(crate) retained: u64,
    pub(crate) queued: u64,
}

impl Subject {
    /// Starts dockgate, from this file, in a folder of its own.
    pub(crate) fn dockgate(program: &Path, sync: Sync) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary directory")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let program = fs::canonicalize(program).with_context(|| format!("no {}", program.display()))?;
        let mut command = Command::new(program);
        command
            .current_dir(folder.path())
            .env("DOCKGATE_LISTENERS", format!(r#"[{{protocol="mqtt",bind="{address}"}}]"#))
            .env("DOCKGATE_HTTP__BIND", http.to_string());
        match sync {
            Sync::Always => command.env("DOCKGATE_PERSISTENCE__SYNC", "always"),
            Sync::Interval => command.env("DOCKGATE_PERSISTENCE__SYNC", "interval"),
            Sync::Off => command.env("DOCKGATE_PERSISTENCE__ENABLED", "false"),
        };
        let mut daemon = Daemon::spawn(command, address, Arc::new(folder))?;
        daemon.wait_until_it_accepts()?;
        Ok(Self { address, pid: daemon.pid(), http: Some(http), process: Process::Dockgate(daemon) })
    }

    /// Starts another broker, as the other benches do.
    pub(crate) fn peer(broker: &Broker) -> anyhow::Result<Self> {
        let running = broker.start()?;
        let pid = running.pid.context("no process to look at")?;
        Ok(Self { address: running.address, pid, http: None, process: Process::Peer(running) })
    }

    /// How the process ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match &mut self.process {
            Process::Dockgate(daemon) => daemon.ended(),
            Process::Peer(running) => running.ended(),
        }
    }

    /// What is resident now.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let kib = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key))?;
            value.split_whitespace().next()?.parse().ok()
        };
        match (kib("VmRSS:"), kib("RssAnon:")) {
            (Some(resident), Some(anonymous)) => Ok(Memory { resident, anonymous }),
            _ => bail!("{path} does not say what is resident"),
        }
    }

    /// What there is now, as `/metrics` says.
    pub(crate) fn live(&self) -> anyhow::Result<Option<Live>> {
        let Some(http) = self.http else { return Ok(None) };
        let text = get_metrics(http).context("no /metrics")?;
        let sum = |name: &str| {
            let values = text.lines().filter_map(|line| {
                let rest = line.strip_prefix(name)?;
                let is_series = rest.starts_with(['{', ' ']);
                rest.rsplit(' ').next().filter(|_| is_series)?.parse::<f64>().ok()
            });
            values.sum::<f64>() as u64
        };
        Ok(Some(Live {
            connections: sum("dockgate_connections"),
            sessions: sum("dockgate_sessions"),
            subscriptions: sum("dockgate_subscriptions"),
            retained: sum("dockgate_retained_messages"),
            queued: sum("dockgate_queued_messages"),
        }))
    }
}

fn get_metrics(http: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(http)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // HTTP/1.0 knows no chunks.
    write!(stream, "GET /metrics HTTP/1.0\r\nhost: {http}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.") || !answer.contains(" 200 ") {
        bail!("{}", answer.lines().next().unwrap_or("nothing"));
    }
    Ok(answer)
}
