//! The binary as a process of its own: what it survives, it survives as a whole.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::broker::other_broker;
use super::wire::DEADLINE;

/// A running broker; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct BrokerProcess {
    /// Where it takes MQTT, by its first listener.
    pub(crate) mqtt: SocketAddr,
    /// Protocol and address of each listener, in the order of the settings.
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    /// Where it serves metrics and the API.
    pub(crate) http: SocketAddr,
    child: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
    /// Where it keeps its data, unless the test says where.
    _data: TempDir,
}

impl BrokerProcess {
    /// Starts the binary with free ports and these further environment variables.
    #[track_caller]
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_dockgate")), settings)
    }

    /// The same, with no file of it growing beyond so many bytes until [`BrokerProcess::unlimit_files`]: as on a full disk.
    #[track_caller]
    pub(crate) fn start_with_files_up_to(bytes: u64, settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        // The signal would end it; ignored, the write fails. It is inherited.
        let limit = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\"", bytes / 512);
        shell.args(["-c", &limit, env!("CARGO_BIN_EXE_dockgate")]);
        Self::spawn(shell, settings)
    }

    #[track_caller]
    fn spawn(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let data = tempfile::tempdir().expect("a folder for its data");
        if let Some(mqtt) = other_broker() {
            return Self { mqtt, listeners: Vec::new(), http: mqtt, child: None, log, _data: data };
        }
        for (name, _) in std::env::vars_os() {
            // What the tests or their user set for themselves is no setting of this broker.
            if name.to_string_lossy().starts_with("DOCKGATE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .env("DOCKGATE_LISTENERS", r#"[{protocol="mqtt",bind="127.0.0.1:0"}]"#)
            .env("DOCKGATE_HTTP__BIND", "127.0.0.1:0")
            .env("DOCKGATE_DATA_DIR", data.path())
            .env("DOCKGATE_LOG__FORMAT", "json")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let errors = child.stderr.take().expect("it is piped");
        let (tell, addresses) = channel();
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if let Some(address) = listening(&line) {
                    tell.send(address).ok();
                }
                lines.lock().expect("nobody panics with it").push(line);
            }
        });
        // Before anything can fail, so that the process ends in any case.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut broker =
            Self { mqtt: nowhere, listeners: Vec::new(), http: nowhere, child: Some(child), log, _data: data };
        (broker.listeners, broker.http) = learn(&addresses, &broker.log);
        broker.mqtt = broker.listeners[0].1;
        broker
    }

    /// Fails when the process is gone.
    #[track_caller]
    pub(crate) fn expect_alive(&mut self) {
        if let Some(child) = &mut self.child {
            let status = child.try_wait().expect("it is our child");
            assert!(status.is_none(), "the broker is gone ({status:?}):\n{}", self.log());
        }
    }

    /// All that it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").join("\n")
    }

    /// Resident memory in KiB; none when the process is not ours.
    pub(crate) fn resident_kib(&self) -> Option<u64> {
        let pid = self.child.as_ref()?.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Kills it: it gets no chance to do anything.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        let child = self.child.as_mut().expect("our own process");
        child.kill().expect("SIGKILL is sent");
        child.wait().expect("it is our child");
    }

    /// Lets its files grow from now on.
    #[track_caller]
    pub(crate) fn unlimit_files(&self) {
        self.limit_files(u64::MAX);
    }

    /// Lets its files grow up to so many bytes from now on.
    #[track_caller]
    pub(crate) fn limit_files(&self, bytes: u64) {
        let pid = self.child.as_ref().expect("our own process").id();
        let pid = pid.try_into().expect("a process id");
        let limit = Some((bytes, u64::MAX));
        rlimit::prlimit(pid, rlimit::Resource::FSIZE, limit, None).expect("the limit is set");
    }

    /// Sends SIGTERM.
    #[track_caller]
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends SIGHUP.
    #[track_caller]
    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Stops it as a whole, until [`BrokerProcess::resume`].
    #[track_caller]
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    #[track_caller]
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    #[track_caller]
    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("our own process").id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("kill runs").success(), "SIG{name} was not sent");
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub(crate) fn expect_exit(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("our own process");
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < until, "the broker does not exit");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// The protocol and the address of a "listening" line.
fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    if fields.get("message")?.as_str()? != "listening" {
        return None;
    }
    let address = fields.get("address")?.as_str()?.parse().ok()?;
    Some((fields.get("protocol")?.as_str()?.to_owned(), address))
}

/// The listeners, and where HTTP is: its line is the last.
#[track_caller]
fn learn(
    addresses: &Receiver<(String, SocketAddr)>,
    log: &Mutex<Vec<String>>,
) -> (Vec<(String, SocketAddr)>, SocketAddr) {
    let mut listeners = Vec::new();
    loop {
        let Ok((protocol, address)) = addresses.recv_timeout(DEADLINE) else {
            let log = log.lock().expect("nobody panics with it").join("\n");
            panic!("the broker does not say where it listens:\n{log}");
        };
        if protocol == "http" {
            return (listeners, address);
        }
        listeners.push((protocol, address));
    }
}
