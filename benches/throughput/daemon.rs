//! A broker's process: started in a folder of its own, watched, and ended with the value that stands for it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

/// How long a broker may take from its start to the first accepted connection.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// A running process; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    address: SocketAddr,
    child: Child,
    /// Holds the configuration and the log; whoever starts the broker again keeps it, too.
    directory: Arc<TempDir>,
}

impl Daemon {
    /// Starts a command that will listen at this address. Its output goes to the folder's `log`.
    pub(crate) fn spawn(mut command: Command, address: SocketAddr, directory: Arc<TempDir>) -> anyhow::Result<Self> {
        let log = File::create(directory.path().join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { address, child, directory })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait_until_it_accepts(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(how) = self.ended() {
                bail!("{how} before it accepted a connection");
            }
            if TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("accepts no connection within {START_DEADLINE:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How the process ended, with the last lines of its log, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.trim().lines().collect();
        let tail = lines[lines.len().saturating_sub(5)..].join(" | ");
        Some(format!("ended with {status} ({tail})"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of the loopback address that nobody has at the moment.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Mosquitto's program. Debian installs it where only root's PATH looks.
pub(crate) fn mosquitto() -> PathBuf {
    ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("mosquitto"))
}
