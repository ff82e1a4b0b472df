//! `dockgate simulate`, as a user runs it, against the real broker and against Mosquitto.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

mod common;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use common::{BrokerProcess, eventually, metric};
use serde_json::Value;
use tempfile::TempDir;

/// A short run in which every fault is seen, two backends want the same docks, and the broker refuses.
const ALL_FAULTS: [&str; 22] = [
    "--docks",
    "14",
    "--flying",
    "5",
    "--backends",
    "2",
    "--ramp",
    "100",
    "--uploads",
    "7",
    "--upload-every",
    "3s",
    "--duration",
    "8s",
    "--report",
    "json",
    "--fault",
    "stall=5%",
    "--fault",
    "reboot=5%",
    "--fault",
    "typo=5%",
];
const MORE_FAULTS: [&str; 8] =
    ["--fault", "reject=5%", "--fault", "busy=5%", "--fault", "duplicate=5%", "--fault", "late=5%"];

fn simulate(broker: SocketAddr, arguments: &[&str]) -> Output {
    let broker = broker.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .args(["simulate", "--broker", &broker])
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    output.unwrap()
}

/// The report of a run that must be a good one.
fn good_report(broker: SocketAddr, arguments: &[&str]) -> Value {
    let output = simulate(broker, arguments);
    let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    serde_json::from_str(&text).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The sum of a field over a list.
fn sum(list: &Value, field: &str) -> u64 {
    list.as_array().unwrap().iter().map(|item| number(&item[field])).sum()
}

fn starts(report: &Value) -> &Value {
    let commands = report["commands"].as_array().unwrap();
    commands.iter().find(|commands| commands["method"] == "fileupload_start").unwrap()
}

#[test]
fn what_the_fleet_says_is_what_the_broker_says() {
    let mut broker = BrokerProcess::start(&[]);
    let report = good_report(broker.mqtt, &[&ALL_FAULTS[..], &MORE_FAULTS[..]].concat());
    broker.expect_alive();
    let of_broker = |name: &str, label: &str| metric(broker.http, name, label) as u64;

    assert_eq!(number(&report["published"]["messages"]), of_broker("dockgate_messages_received_total", ""));
    assert_eq!(number(&report["published"]["bytes"]), of_broker("dockgate_message_bytes_received_total", ""));
    assert_eq!(number(&report["heard"]["messages"]), of_broker("dockgate_messages_sent_total", ""));
    assert_eq!(number(&report["connections"]["accepted"]), of_broker("dockgate_connections_total", ""));

    let data = &report["data"];
    assert_eq!(sum(data, "received"), 2 * sum(data, "sent"));
    assert_eq!((sum(data, "lost"), sum(data, "duplicated"), sum(data, "out_of_order")), (0, 0, 0));
    assert!(sum(data, "sent_twice") > 0, "the dock that sends everything twice was there");

    let refused = number(&starts(&report)["refused"]);
    assert!(refused > 0, "two backends wanted the same docks: {report}");
    assert_eq!(refused, of_broker("dockgate_uploads_refused_total", ""));
    assert_eq!(number(&starts(&report)["sent"]), refused + of_broker("dockgate_uploads_started_total", ""));

    let connections = &report["connections"];
    // A run may end while the dock that restarts is away.
    let (cut, reconnects) = (number(&connections["cut"]), number(&connections["reconnects"]));
    assert!(reconnects >= 1 && (reconnects..=reconnects + 1).contains(&cut), "{connections}");
    let uploads = &report["uploads"];
    assert!(number(&uploads["failed"]["324021"]) >= 1, "{uploads}");
    assert!(number(&uploads["rejected"]["314000"]) >= 1, "{uploads}");
    for (outcome, label) in [("ok", "ok"), ("canceled", "canceled")] {
        let ended = of_broker("dockgate_uploads_ended_total", &format!("outcome=\"{label}\""));
        assert_eq!(number(&uploads[outcome]), ended, "{outcome}");
    }
    assert!(number(&uploads["ok"]) > 0 && number(&uploads["late_events"]) > 0, "{uploads}");
}

/// A broker that knows nothing of uploads; it is killed when this is dropped.
struct Mosquitto {
    address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Mosquitto {
    /// None where it is not installed.
    fn start() -> Option<Self> {
        let binary =
            ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|path| fs::exists(path).unwrap())?;
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = folder.path().join("mosquitto.conf");
        fs::write(&settings, format!("listener {} 127.0.0.1\nallow_anonymous true\n", address.port())).unwrap();
        let child = Command::new(binary).arg("-c").arg(&settings).stderr(Stdio::null()).spawn().unwrap();
        let mosquitto = Self { address, child, _folder: folder };
        eventually("Mosquitto listens", || TcpStream::connect(address).is_ok());
        Some(mosquitto)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn another_broker_refuses_nothing_and_the_dock_gets_both_starts() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let few = ["--docks", "4", "--uploads", "4", "--upload-every", "20s", "--duration", "5s", "--report", "json"];
    let report = good_report(mosquitto.address, &few);
    let starts = starts(&report);
    assert_eq!((number(&report["uploads"]["wanted"]), number(&starts["sent"])), (6, 6));
    assert_eq!(number(&starts["refused"]), 0);
    // The second start reached a dock that was uploading.
    assert!(number(&starts["failed"]["314000"]) >= 1, "{starts}");
    assert_eq!((number(&report["lost"]["qos0"]), number(&report["lost"]["qos1"])), (0, 0));
}

#[test]
fn without_a_broker_it_says_so_and_how_to_help_it() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = simulate(nobody, &["--duration", "1s"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&nobody.to_string()) && errors.contains("--broker"), "{errors}");
}

#[test]
fn wrong_arguments_exit_with_2_and_say_what_is_wrong() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    for (arguments, said) in [
        (&["--docks", "0"][..], "--docks = 0"),
        (&["--fault", "sleep"], "stall, reboot, reject"),
        (&["--fault", "stall=2"], "is not a share"),
        (&["--flying", "some"], "neither a number nor a share"),
        (&["--docks", "2", "--fault", "late=1", "--fault", "busy"], "the faults need 3 docks"),
        (&["--user", "u", "--password-file", "/nowhere"], "/nowhere"),
        (&["--broker", "nowhere"], "HOST:PORT"),
    ] {
        let output = match arguments {
            ["--broker", _] => {
                Command::new(env!("CARGO_BIN_EXE_dockgate")).arg("simulate").args(arguments).output().unwrap()
            }
            _ => simulate(nobody, arguments),
        };
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_in_order_with_a_report() {
    let broker = BrokerProcess::start(&[]);
    let address = broker.mqtt.to_string();
    let child = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .args(["simulate", "--broker", &address, "--docks", "3", "--uploads", "0", "--report", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("all are there", || metric(broker.http, "dockgate_connections", "") as u64 == 5);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["flaws"], Value::Array(Vec::new()));
    eventually("all have left with a DISCONNECT", || {
        let left = |label: &str| metric(broker.http, "dockgate_disconnects_total", label) as u64;
        left("") == 5 && left("reason=\"client\"") == 5
    });
}
