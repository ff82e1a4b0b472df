//! Several brokers, over TLS, with passwords, by their processes.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{BrokerProcess, metric};
use crate::ground::{Mosquitto, bench, good_runs, mqtt, number, real, report, said};

const SHORT: [&str; 6] = ["--scenario", "p2p-2-2-2-100", "--duration", "200ms", "--warm-up", "0s"];

#[test]
fn targets_run_in_turn() {
    let [a, b] = [BrokerProcess::start(&[]), BrokerProcess::start(&[])];
    let (first, second) = (format!("a={}", mqtt(a.mqtt)), format!("b={}", mqtt(b.mqtt)));
    let runs = good_runs(&[&["--target", &first, "--target", &second, "--rounds", "2"][..], &SHORT].concat());
    let order: Vec<_> = runs.iter().map(|run| (run["target"].as_str().unwrap(), number(&run["round"]))).collect();
    // Another one begins in each round.
    assert_eq!(order, [("a", 1), ("b", 1), ("b", 2), ("a", 2)]);
    for broker in [a, b] {
        assert_eq!(metric(broker.http, "dockgate_messages_received_total", ""), 40.0);
    }
}

#[test]
fn mosquitto_takes_the_same_load_and_its_process_is_found() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let scenarios = "p2p-5-5-5-100,fanout-1-5-1-100,sharedsub-5-2-5-100,hook-uploads,pairs,idle-20";
    let target = mqtt(mosquitto.address);
    let rest = ["--qos", "2", "--protocol", "5,3.1.1", "--duration", "200ms", "--warm-up", "0s", "--window", "20"];
    let runs = good_runs(&[&["--target", &target, "--scenario", scenarios][..], &rest].concat());
    let named = format!("{target}#{}", mosquitto.pid());
    let by_name = good_runs(&[&["--target", &named][..], &SHORT].concat());
    for run in runs.iter().chain(&by_name) {
        let usage = &run["broker"];
        assert!(real(&usage["peak_mib"]) >= 1.0 && usage["cpu_seconds"].is_number(), "{run:#}");
    }
}

#[test]
fn tls_and_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("cert.pem"), certified.cert.pem()).unwrap();
    fs::write(path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    fs::write(path("secret"), "a password\nand more\n").unwrap();
    let hashed = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .args(["passwd", &path("users"), "loader"])
        .stdin(fs::File::open(path("secret")).unwrap())
        .output()
        .unwrap();
    assert!(hashed.status.success(), "{}", said(&hashed));
    let listeners = format!(
        r#"[{{protocol="mqtts",bind="127.0.0.1:0",tls_cert="{}",tls_key="{}"}}]"#,
        path("cert.pem"),
        path("key.pem")
    );
    let broker =
        BrokerProcess::start(&[("DOCKGATE_LISTENERS", &listeners), ("DOCKGATE_ACCESS__PASSWORD_FILE", &path("users"))]);
    let target = format!("tls=mqtts://localhost:{}", broker.mqtt.port());
    let (secret, cert) = (path("secret"), path("cert.pem"));
    let login = ["--target", &target, "--username", "loader", "--password-file", &secret];
    let loads = ["--scenario", "p2p-5-5-5-100,pairs", "--qos", "1,2", "--payload", "20000"];
    let time = ["--duration", "300ms", "--warm-up", "0s"];
    assert_eq!(good_runs(&[&login[..], &["--ca", &cert], &loads, &time].concat()).len(), 4);
    good_runs(&[&login[..], &["--insecure"], &SHORT].concat());

    let (output, wrong) = report(&[&login[..2], &["--username", "loader", "--insecure"], &SHORT].concat());
    assert_eq!(output.status.code(), Some(1));
    let why = wrong["failures"][0]["error"].as_str().unwrap();
    assert!(why.contains("was refused with CONNACK 0x8"), "{why}");
    let output = bench(&[&login[..], &SHORT].concat());
    assert!(output.status.code() == Some(2) && said(&output).contains("--ca FILE"), "{}", said(&output));
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("other.pem"), other.cert.pem()).unwrap();
    let output = bench(&[&login[..], &["--ca", &path("other.pem")], &SHORT].concat());
    assert!(
        output.status.code() == Some(1) && said(&output).contains("an authority that --ca names"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_dead_target_fails_and_the_others_are_measured_all_the_same() {
    let broker = BrokerProcess::start(&[]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (dead, alive) = (format!("dead={}", mqtt(nobody)), format!("alive={}", mqtt(broker.mqtt)));
    let (output, report) = report(&[&["--target", &dead, "--target", &alive][..], &SHORT].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(
        (&report["runs"][0]["target"], &report["failures"][0]["target"]),
        (&Value::from("alive"), &"dead".into())
    );
    assert!(said(&output).contains(&nobody.to_string()), "{}", said(&output));
    assert_eq!((&report["settings"]["amount"]["time"], &report["settings"]["window"]), (&"200ms".into(), &100.into()));
}

/// A broker that dies takes what it has acknowledged with it.
#[test]
fn what_was_acknowledged_and_is_lost_makes_it_fail() {
    let mut broker = BrokerProcess::start(&[]);
    let target = mqtt(broker.mqtt);
    let began = Instant::now();
    let running = std::thread::spawn(move || {
        report(&["--target", &target, "--scenario", "pairs", "--duration", "5s", "--warm-up", "0s"])
    });
    std::thread::sleep(Duration::from_millis(400));
    broker.kill();
    let (output, report) = running.join().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(began.elapsed() < Duration::from_secs(10), "it waits for nobody who is gone");
    let faults = report["runs"][0]["faults"].as_array().unwrap();
    assert!(faults.iter().any(|fault| fault.as_str().unwrap().contains("broke")), "{faults:?}");
}
