//! Who is measured, how it is set up, and what each promises of a message that it has acknowledged.
//!
//! Settings, the same for all as far as there is one:
//! - dockgate: its defaults, but that no queue is ever full.
//! - Mosquitto: `persistence true` with its own `autosave_interval` of 1800 s, after which (and at a SIGTERM) it writes
//!   everything it has to one file; a crash takes what has come since. As in the throughput bench, no limit of its
//!   queues, `max_inflight_messages 512`, `set_tcp_nodelay true` and no log.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::daemon;

/// A broker with its way to keep things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    DockgateOff,
    DockgateInterval,
    DockgateAlways,
    Mosquitto,
}

/// How a broker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By SIGKILL, as in a crash.
    Kill,
    /// By SIGTERM, as an operator ends it.
    Term,
}

impl Contestant {
    pub(crate) const ALL: [Self; 4] =
        [Self::DockgateAlways, Self::DockgateInterval, Self::DockgateOff, Self::Mosquitto];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DockgateOff => "dockgate off",
            Self::DockgateInterval => "dockgate interval",
            Self::DockgateAlways => "dockgate always",
            Self::Mosquitto => "mosquitto",
        }
    }

    /// Its name as an option.
    pub(crate) fn option(self) -> String {
        self.name().replace(' ', "-")
    }

    /// How much of what was acknowledged a crash may take.
    pub(crate) fn loss_window(self) -> &'static str {
        match self {
            Self::DockgateOff => "everything",
            Self::DockgateInterval => "1 s",
            Self::DockgateAlways => "none",
            Self::Mosquitto => "up to 1800 s",
        }
    }

    /// Whether what it has acknowledged a while ago is there after such an ending.
    pub(crate) fn keeps_over(self, ending: Ending) -> bool {
        match self {
            Self::DockgateOff => false,
            Self::DockgateInterval | Self::DockgateAlways => true,
            Self::Mosquitto => ending == Ending::Term,
        }
    }

    /// How long it may go on writing what it has acknowledged.
    pub(crate) fn lag(self) -> Duration {
        match self {
            Self::DockgateInterval => Duration::from_millis(1500), // it commits once a second
            // Nobody waits for the commit of what a subscriber has acknowledged.
            Self::DockgateAlways => Duration::from_millis(500),
            Self::DockgateOff | Self::Mosquitto => Duration::ZERO,
        }
    }

    /// The command that starts it on a folder. Only dockgate has an HTTP listener.
    pub(crate) fn command(self, folder: &Path, mqtt: SocketAddr, http: SocketAddr) -> std::io::Result<Command> {
        match self {
            Self::DockgateOff => Ok(dockgate(folder, mqtt, http, &[("DOCKGATE_PERSISTENCE__ENABLED", "false")])),
            Self::DockgateInterval => Ok(dockgate(folder, mqtt, http, &kept("interval"))),
            Self::DockgateAlways => Ok(dockgate(folder, mqtt, http, &kept("always"))),
            Self::Mosquitto => mosquitto(folder, mqtt),
        }
    }
}

fn kept(sync: &str) -> [(&'static str, &str); 2] {
    [("DOCKGATE_PERSISTENCE__ENABLED", "true"), ("DOCKGATE_PERSISTENCE__SYNC", sync)]
}

/// Where a broker puts what it keeps.
pub(crate) fn data(folder: &Path) -> std::path::PathBuf {
    folder.join("data")
}

fn dockgate(folder: &Path, mqtt: SocketAddr, http: SocketAddr, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOCKGATE_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .env("DOCKGATE_LISTENERS", format!(r#"[{{protocol="mqtt",bind="{mqtt}"}}]"#))
        .env("DOCKGATE_HTTP__BIND", http.to_string())
        .env("DOCKGATE_LIMITS__QUEUE_MESSAGES", "100000000")
        .env("DOCKGATE_LIMITS__QUEUE_BYTES", "64 GiB")
        .env("DOCKGATE_LIMITS__QUEUE_BYTES_TOTAL", "64 GiB")
        .env("DOCKGATE_DATA_DIR", data(folder))
        .envs(settings.iter().copied());
    command
}

fn mosquitto(folder: &Path, mqtt: SocketAddr) -> std::io::Result<Command> {
    let data = data(folder);
    fs::create_dir_all(&data)?;
    let configuration = folder.join("mosquitto.conf");
    // Started by root it becomes the user `mosquitto`, who may not write here, unless it is told not to.
    let settings = format!(
        "listener {} {}\n\
         allow_anonymous true\n\
         set_tcp_nodelay true\n\
         max_inflight_messages 512\n\
         max_queued_messages 0\n\
         persistence true\n\
         persistence_location {}/\n\
         user root\n\
         log_type none\n",
        mqtt.port(),
        mqtt.ip(),
        data.display(),
    );
    fs::write(&configuration, settings)?;
    let mut command = Command::new(daemon::mosquitto());
    command.arg("-c").arg(configuration);
    Ok(command)
}
