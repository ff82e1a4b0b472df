//! promtool and Prometheus, as Debian packages them.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{DEADLINE, get};

fn missing(program: &str, error: &std::io::Error) -> ! {
    match error.kind() {
        ErrorKind::NotFound => panic!("{program} is not installed: apt-get install prometheus"),
        _ => panic!("{program} does not start: {error}"),
    }
}

/// Runs promtool on a file, which it must find right.
#[track_caller]
pub(crate) fn promtool(arguments: &[&str], file: &Path) {
    let output = Command::new("promtool").args(arguments).arg(file).output();
    let output = output.unwrap_or_else(|error| missing("promtool", &error));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?} {}:\n{said}", file.display());
}

/// A running Prometheus; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// With this configuration and these rules, on a free port of loopback.
    #[track_caller]
    pub(crate) fn start(configuration: &str, rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for its data");
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, configuration).unwrap();
        std::fs::write(folder.path().join("alerts.yml"), rules).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|error| missing("prometheus", &error));
        let log = child.stderr.take().expect("it is piped");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        // Before anything can fail, so that the process ends in any case.
        let mut prometheus = Self { address: nowhere, child, _folder: folder };
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                tell.send(line).ok();
            }
        });
        let mut said = String::new();
        loop {
            let Ok(line) = lines.recv_timeout(DEADLINE) else { panic!("Prometheus does not start:\n{said}") };
            said += &format!("{line}\n");
            if let Some(address) = line.split_whitespace().find_map(|word| word.strip_prefix("address=")?.parse().ok())
                && address != nowhere
            {
                prometheus.address = address;
            }
            if line.contains("Server is ready to receive web requests") {
                assert_ne!(prometheus.address, nowhere, "where it listens:\n{said}");
                return prometheus;
            }
        }
    }

    /// `data` of an answer of its API, which must be a success.
    #[track_caller]
    fn api(&self, path: &str) -> Value {
        let mut answer: Value = serde_json::from_str(&get(self.address, path)).expect("the API speaks JSON");
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].take()
    }

    /// What an expression is now: one entry a series.
    #[track_caller]
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let data = self.api(&format!("/api/v1/query?query={encoded}"));
        data["result"].as_array().expect("a vector").clone()
    }

    /// The alerts that are pending or firing.
    #[track_caller]
    pub(crate) fn alerts(&self) -> Vec<Value> {
        self.api("/api/v1/alerts")["alerts"].as_array().expect("a list").clone()
    }

    /// The rules, with how their evaluation went.
    #[track_caller]
    pub(crate) fn rules(&self) -> Vec<Value> {
        let data = self.api("/api/v1/rules");
        let groups = data["groups"].as_array().expect("groups").iter();
        groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
