//! The brokers that are measured: each is a fresh process of its own for each run, on free loopback ports, so that
//! peaks of memory, leftovers of the run before and the generator's own CPU time stay apart.
//!
//! Settings, chosen to be comparable and no worse than each broker's defaults:
//! - dockgate: its defaults.
//! - Mosquitto: `max_inflight_messages 512` (default 20) and `max_queued_messages 0`, which is no limit (default 1000):
//!   with the defaults it loses almost all of a fan-in at QoS 1, with 100,000 still a fifth. `set_tcp_nodelay true`; no log.
//! - rumqttd: its sample configuration, 3.1.1 listener only, for more connections. No tracing subscriber is installed,
//!   which spares it the spans that its own binary opens for every event: it runs a little faster here than there.
//! - RMQTT: see `benches/rmqtt`, its own package, which is built when it is first asked for.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, anyhow, ensure};

use crate::daemon::{self, Daemon};

/// A broker that can be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broker {
    Dockgate,
    Mosquitto,
    Rumqttd,
    Rmqtt,
    /// One that somebody else runs.
    External {
        name: String,
        address: SocketAddr,
        /// Without it there are no figures for CPU and memory.
        pid: Option<u32>,
    },
}

impl Broker {
    /// The brokers that the bench starts itself.
    pub(crate) fn local() -> Vec<Self> {
        vec![Self::Dockgate, Self::Mosquitto, Self::Rumqttd, Self::Rmqtt]
    }

    /// Those of [`Broker::local`] and of `others` that are named, or all if none is.
    ///
    /// # Errors
    /// A name that none of them has.
    pub(crate) fn chosen(names: &[String], others: &[Self]) -> anyhow::Result<Vec<Self>> {
        let mut brokers = Self::local();
        brokers.extend(others.iter().cloned());
        if names.is_empty() {
            return Ok(brokers);
        }
        let named = |name: &String| {
            let found = brokers.iter().find(|broker| broker.name() == name);
            found.cloned().with_context(|| {
                let known: Vec<&str> = brokers.iter().map(Self::name).collect();
                format!("--only: `{name}` is not one of {}", known.join(", "))
            })
        };
        names.iter().map(named).collect()
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Dockgate => "dockgate",
            Self::Mosquitto => "mosquitto",
            Self::Rumqttd => "rumqttd",
            Self::Rmqtt => "rmqtt",
            Self::External { name, .. } => name,
        }
    }

    /// Parses `NAME=HOST:PORT[:PID]`.
    pub(crate) fn parse_external(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not NAME=HOST:PORT[:PID]");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (address, pid) = match rest.splitn(3, ':').collect::<Vec<_>>()[..] {
            [host, port] => (format!("{host}:{port}"), None),
            [host, port, pid] => (format!("{host}:{port}"), Some(pid.parse().map_err(|_| wrong())?)),
            _ => return Err(wrong()),
        };
        let address = std::net::ToSocketAddrs::to_socket_addrs(&address)
            .map_err(|error| format!("{address}: {error}"))?
            .next()
            .ok_or_else(wrong)?;
        Ok(Self::External { name: name.to_owned(), address, pid })
    }

    /// Starts the broker and waits until it accepts connections.
    pub(crate) fn start(&self) -> anyhow::Result<Running> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let port = daemon::free_port()?;
        let command = match self {
            Self::External { address, pid, .. } => {
                return Ok(Running { address: *address, pid: *pid, daemon: None });
            }
            Self::Dockgate => dockgate(port, directory.path())?,
            Self::Mosquitto => mosquitto(port, directory.path())?,
            Self::Rumqttd => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--host-rumqttd", &port.to_string()]);
                command
            }
            Self::Rmqtt => {
                let mut command = Command::new(rmqtt()?);
                command.arg(port.to_string());
                command
            }
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut daemon = Daemon::spawn(command, address, directory.into())?;
        daemon.wait_until_it_accepts()?;
        Ok(Running { address, pid: Some(daemon.pid()), daemon: Some(daemon) })
    }
}

fn dockgate(port: u16, directory: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    command
        .current_dir(directory)
        .env("DOCKGATE_LISTENERS", format!(r#"[{{protocol="mqtt",bind="127.0.0.1:{port}"}}]"#))
        .env("DOCKGATE_HTTP__BIND", format!("127.0.0.1:{}", daemon::free_port()?))
        // The others keep nothing either.
        .env("DOCKGATE_PERSISTENCE__ENABLED", "false");
    Ok(command)
}

fn mosquitto(port: u16, directory: &Path) -> anyhow::Result<Command> {
    let configuration = directory.join("mosquitto.conf");
    let settings = format!(
        "listener {port} 127.0.0.1\n\
         allow_anonymous true\n\
         set_tcp_nodelay true\n\
         max_inflight_messages 512\n\
         max_queued_messages 0\n\
         persistence false\n\
         log_type none\n"
    );
    fs::write(&configuration, settings)?;
    let mut command = Command::new(daemon::mosquitto());
    command.arg("-c").arg(configuration);
    Ok(command)
}

/// RMQTT's program, built by the first call of a process: cargo knows whether there is anything to build.
fn rmqtt() -> anyhow::Result<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PROGRAM.get_or_init(|| build_rmqtt().map_err(|error| format!("{error:#}"))) {
        Ok(program) => Ok(program),
        Err(error) => Err(anyhow!("{error}; leave it out with --only")),
    }
}

fn build_rmqtt() -> anyhow::Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("rmqtt");
    let program = target.join("release/rmqtt-host");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rmqtt/Cargo.toml");
    if !program.exists() {
        eprintln!("building RMQTT into {}, which takes minutes the first time", target.display());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
    build.arg("--target-dir").arg(&target).stdin(Stdio::null()).stdout(Stdio::null());
    let status = build.status().with_context(|| format!("cannot start {build:?}"))?;
    ensure!(status.success(), "RMQTT cannot be built: {build:?} ended with {status}");
    Ok(program)
}

/// A broker while it is measured; a process of ours ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) pid: Option<u32>,
    daemon: Option<Daemon>,
}

impl Running {
    /// How a process of ours ended, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.daemon.as_mut()?.ended()
    }
}

/// Runs stock rumqttd in this process, for ever.
pub(crate) fn host_rumqttd(port: u16) -> anyhow::Result<()> {
    let connections = rumqttd::ConnectionSettings {
        connection_timeout_ms: 60_000,
        max_payload_size: 1 << 20, // the sample's 20 KiB would refuse larger payloads; nothing else depends on it
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let listener = rumqttd::ServerSettings {
        name: "v4-1".to_owned(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let configuration = rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: 20_000, // the sample's 10,010 have no place for 10,000 docks and the bench's other clients
            max_outgoing_packet_count: 200,
            max_segment_size: 104_857_600,
            max_segment_count: 10,
            ..Default::default()
        },
        v4: Some(HashMap::from([("1".to_owned(), listener)])),
        ..Default::default()
    };
    rumqttd::Broker::new(configuration).start().context("rumqttd does not start")
}
