//! How the tests run it, and what it runs against.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::eventually;

/// What `dockgate bench` says and does with these arguments.
pub(crate) fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dockgate")).arg("bench").args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The address as a target.
pub(crate) fn mqtt(address: SocketAddr) -> String {
    format!("mqtt://{address}")
}

/// Its table and its JSON, whatever its exit code.
pub(crate) fn report(arguments: &[&str]) -> (Output, Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let output = bench(&[arguments, &["--json", file.to_str().unwrap()]].concat());
    let json = fs::read(&file).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    (output, serde_json::from_slice(&json).unwrap())
}

/// The runs of a report that must be a good one: nothing lost, nothing twice.
pub(crate) fn good_runs(arguments: &[&str]) -> Vec<Value> {
    let (output, report) = report(arguments);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(report["failures"], Value::Array(Vec::new()));
    let runs = report["runs"].as_array().unwrap().clone();
    assert!(!runs.is_empty());
    for run in &runs {
        let figure = |name: &str| number(&run[name]);
        assert!(figure("expected") > 0 && figure("received") == figure("expected"), "{run:#}");
        assert_eq!((figure("duplicates"), figure("lost_acknowledged")), (0, 0), "{run:#}");
        assert_eq!(run["faults"], Value::Array(Vec::new()));
    }
    runs
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

pub(crate) fn real(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// All that it has said.
pub(crate) fn said(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    format!("{}\n{}", output.status, text.concat())
}

/// Mosquitto; it is killed when this is dropped.
pub(crate) struct Mosquitto {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Mosquitto {
    /// None where it is not installed, which CI does not let pass.
    pub(crate) fn start() -> Option<Self> {
        let installed =
            ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|path| fs::exists(path).unwrap());
        assert!(installed.is_some() || std::env::var_os("CI").is_none(), "mosquitto is not installed");
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = folder.path().join("mosquitto.conf");
        fs::write(&settings, format!("listener {} 127.0.0.1\nallow_anonymous true\n", address.port())).unwrap();
        let child = Command::new(installed?).arg("-c").arg(&settings).stderr(Stdio::null()).spawn().unwrap();
        let mosquitto = Self { address, child, _folder: folder };
        eventually("Mosquitto listens", || TcpStream::connect(address).is_ok());
        Some(mosquitto)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
