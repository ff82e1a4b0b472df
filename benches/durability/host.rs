//! A contestant that runs on a folder of its own and can be ended and started again on it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::client::Client;
use crate::contestant::{Contestant, Ending, data};
use crate::daemon::{Daemon, free_port};
use crate::{disk, process};

/// How long a broker may take to end, or to take a CONNECT after its start.
const DEADLINE: Duration = Duration::from_secs(300);

/// A running contestant.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) contestant: Contestant,
    pub(crate) mqtt: SocketAddr,
    http: SocketAddr,
    folder: Arc<TempDir>,
    daemon: Daemon,
}

/// What a broker has used since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    /// Bytes that its writes will bring to the disk.
    pub(crate) written: Option<u64>,
    /// Commits of dockgate's store.
    pub(crate) commits: Option<u64>,
}

impl Host {
    /// Starts a contestant on a new folder within `parent`.
    pub(crate) fn start(contestant: Contestant, parent: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(parent).with_context(|| format!("no folder in {}", parent.display()))?;
        let mqtt = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let command = contestant.command(folder.path(), mqtt, http)?;
        let folder = Arc::new(folder);
        let mut daemon = Daemon::spawn(command, mqtt, Arc::clone(&folder))?;
        daemon.wait_until_it_accepts()?;
        Ok(Self { contestant, mqtt, http, folder, daemon })
    }

    /// Ends the broker. Says how long that took.
    pub(crate) fn end(&mut self, ending: Ending) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let signal = match ending {
            Ending::Kill => "-KILL",
            Ending::Term => "-TERM",
        };
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status()?;
        anyhow::ensure!(sent.success(), "kill {signal} failed");
        while self.daemon.ended().is_none() {
            anyhow::ensure!(start.elapsed() < DEADLINE, "does not end within {DEADLINE:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(start.elapsed())
    }

    /// Starts the broker again and says how long it took until it accepted a CONNECT.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let command = self.contestant.command(self.folder.path(), self.mqtt, self.http)?;
        self.daemon = Daemon::spawn(command, self.mqtt, Arc::clone(&self.folder))?;
        while start.elapsed() < DEADLINE {
            if let Some(how) = self.ended() {
                bail!("{how} when it was started again");
            }
            let probe = Client::open_clean(self.mqtt, "probe", 64);
            if let Ok(Ok(_)) = tokio::time::timeout(DEADLINE, probe).await {
                return Ok(start.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("accepts no CONNECT within {DEADLINE:?}")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// How the broker ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.daemon.ended()
    }

    /// The folder of what it keeps.
    pub(crate) fn data(&self) -> PathBuf {
        data(self.folder.path())
    }

    pub(crate) fn used(&self) -> anyhow::Result<Used> {
        Ok(Used {
            cpu: process::cpu_time(self.pid())?,
            written: disk::written(self.pid()),
            commits: self.metric("dockgate_store_commits_total"),
        })
    }

    /// A counter of dockgate; none if there is no such metric.
    fn metric(&self, name: &str) -> Option<u64> {
        if self.contestant == Contestant::Mosquitto {
            return None;
        }
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        // HTTP/1.0 knows no chunks.
        write!(stream, "GET /metrics HTTP/1.0\r\nhost: {}\r\n\r\n", self.http).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        value.map(|value| value as u64)
    }
}
