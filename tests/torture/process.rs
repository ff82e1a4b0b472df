//! The binary, which is killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::listening;

/// Lines of all lives that are kept.
const KEPT: usize = 5000;

/// What all lives have logged.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// A running broker; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    addresses: Receiver<(String, SocketAddr)>,
}

impl Process {
    /// Starts the broker on this folder.
    pub(crate) fn start(folder: &Path, log: &Log) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
        for (name, _) in std::env::vars_os() {
            // What the tests or their user set for themselves is no setting of this broker, but for how it keeps things.
            let name = name.to_string_lossy();
            if name.starts_with("DOCKGATE_") && !name.starts_with("DOCKGATE_PERSISTENCE__") {
                command.env_remove(&*name);
            }
        }
        let mut child = command
            .env("DOCKGATE_DATA_DIR", folder)
            .env("DOCKGATE_LISTENERS", r#"[{protocol="mqtt",bind="127.0.0.1:0"}]"#)
            .env("DOCKGATE_HTTP__BIND", "127.0.0.1:0")
            .env("DOCKGATE_LOG__FORMAT", "json")
            .env("RUST_BACKTRACE", "1")
            // Nothing ends because time passes.
            .env("DOCKGATE_UPLOADS__REPLY_TIMEOUT", "1h")
            .env("DOCKGATE_UPLOADS__CANCEL_TIMEOUT", "1h")
            .env("DOCKGATE_UPLOADS__STALL_TIMEOUT", "1h")
            .env("DOCKGATE_UPLOADS__OFFLINE_GRACE", "1h")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let errors = child.stderr.take().expect("it is piped");
        let (tell, addresses) = channel();
        let log = Arc::clone(log);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if let Some(address) = listening(&line) {
                    tell.send(address).ok();
                }
                let mut log = log.lock().expect("nobody panics with it");
                if log.len() == KEPT {
                    log.drain(..KEPT / 2);
                }
                log.push(line);
            }
        });
        Self { child, addresses }
    }

    /// Where it takes MQTT and HTTP, if it says so in time.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<(SocketAddr, SocketAddr), String> {
        let until = Instant::now() + patience;
        let mut mqtt = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match (self.addresses.recv_timeout(left), mqtt) {
                (Ok((protocol, http)), Some(mqtt)) if protocol == "http" => return Ok((mqtt, http)),
                (Ok((protocol, address)), _) if protocol == "mqtt" => mqtt = Some(address),
                (Ok(_), _) => {}
                (Err(RecvTimeoutError::Timeout), _) => return Err(format!("it does not listen after {patience:?}")),
                (Err(RecvTimeoutError::Disconnected), _) => return Err("it ended before it listened".to_owned()),
            }
        }
    }

    /// Fails if it has ended by itself.
    pub(crate) fn expect_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait().expect("it is our child") {
            None => Ok(()),
            Some(status) => Err(format!("the broker ended by itself: {status}")),
        }
    }

    /// Ends it without a chance to do anything more.
    pub(crate) fn kill(mut self) -> Result<(), String> {
        self.expect_alive()?;
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
