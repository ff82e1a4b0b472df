//! Brokers that stop in the middle: the run ends, its figures are kept, and what was wrong is said.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use memchr::memmem;
use serde_json::Value;

use crate::common::BrokerProcess;
use crate::ground::{mqtt, number, report, said};
use crate::proxy::{self, Fate};

const UPLOADS: [&str; 6] = ["--scenario", "hook-uploads", "--qos", "1", "--duration", "200ms"];

/// A proxy to this broker that lets clients write until one of them writes this.
fn until(broker: SocketAddr, text: &'static str, fate: Fate) -> SocketAddr {
    proxy::start(broker, move |bytes| if memmem::find(bytes, text.as_bytes()).is_some() { fate } else { Fate::Carried })
}

/// The report of a load that must fail.
fn failed(target: SocketAddr, load: &[&str]) -> Value {
    let (output, report) = report(&[&["--target", &mqtt(target)][..], load].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    report
}

#[test]
fn a_broker_that_stops_at_full_speed_ends_the_run_and_is_a_fault() {
    let broker = BrokerProcess::start(&[]);
    let carried = AtomicUsize::new(0);
    let stalled = proxy::start(broker.mqtt, move |bytes| {
        let before = carried.fetch_add(bytes.len(), Ordering::SeqCst);
        if before > 4_000_000 { Fate::Held } else { Fate::Carried }
    });
    let report = failed(stalled, &["--scenario", "fanin", "--qos", "1", "--duration", "30s"]);
    let run = &report["runs"][0];
    assert!(number(&run["received"]) > 0, "{run:#}");
    let faults = run["faults"].to_string();
    assert!(faults.contains("more messages, though more were published"), "{faults}");
}

#[test]
fn an_upload_whose_start_is_never_acknowledged_is_a_failure() {
    let broker = BrokerProcess::start(&[]);
    let report = failed(until(broker.mqtt, "fileupload_start", Fate::Held), &UPLOADS);
    let failures = report["failures"].to_string();
    assert!(failures.contains("the PUBACK for a message of an upload"), "{report:#}");
    assert_eq!(report["runs"], Value::Array(Vec::new()));
}

#[test]
fn a_run_whose_uploads_cannot_be_ended_keeps_its_figures() {
    let broker = BrokerProcess::start(&[]);
    let report = failed(until(broker.mqtt, r#""status":"ok""#, Fate::Cut), &UPLOADS);
    let run = &report["runs"][0];
    assert!(number(&run["received"]) > 0 && run["received"] == run["expected"], "{run:#}");
    assert_eq!(run["faults"].as_array().unwrap().len(), 1, "{run:#}");
}
