//! A real Prometheus scrapes a real broker to which real things happen, until the alerts fire that tell of them.

use serde_json::json;

use crate::common::{BrokerProcess, Connect, Publish, V5, Wire, eventually};
use crate::dashboard::{filled_in, queries};
use crate::prometheus::Prometheus;
use crate::text;

const GATEWAY: &str = "4TADK7E0000003";
/// More than the thresholds of DockgateDenied (20) and DockgateRefusalStorm (30), with room for what increase() estimates.
const TIMES: usize = 60;
/// Often, so that the test need not wait.
const INTERVAL: &str = "200ms";

/// The shipped configuration for this broker.
fn configuration(broker: &BrokerProcess) -> String {
    let mut text = text("prometheus/prometheus.yml");
    for (shipped, here) in [
        ("scrape_interval: 15s", format!("scrape_interval: {INTERVAL}")),
        ("evaluation_interval: 15s", format!("evaluation_interval: {INTERVAL}")),
        ("127.0.0.1:9641", broker.http.to_string()),
    ] {
        assert_eq!(text.matches(shipped).count(), 1, "{shipped} in\n{text}");
        text = text.replace(shipped, &here);
    }
    text
}

/// The shipped rules, which wait for nothing.
fn impatient_rules() -> String {
    let lines: Vec<_> = text("prometheus/alerts.yml")
        .lines()
        .map(|line| match line.split_once("for: ") {
            Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 0s"),
            _ => line.to_owned(),
        })
        .collect();
    lines.join("\n")
}

fn is_firing(prometheus: &Prometheus, name: &str) -> bool {
    prometheus.alerts().iter().any(|alert| alert["labels"]["alertname"] == name && alert["state"] == "firing")
}

/// `fileupload_start` of another object each time.
fn start(number: usize) -> Publish {
    let message = json!({
        "tid": format!("tid-{number}"), "bid": format!("bid-{number}"), "timestamp": 1_659_429_523_120_i64,
        "method": "fileupload_start",
        "data": {"bucket": "logs", "params": {"files": [
            {"module": "3", "object_key": format!("{number}/3.tar"), "list": [{"boot_index": number}]}
        ]}}
    });
    Publish::new(&format!("thing/product/{GATEWAY}/services"), message.to_string()).qos(1, 1)
}

#[test]
fn what_happens_to_a_broker_makes_the_alerts_fire_that_tell_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let acl = folder.path().join("acl");
    std::fs::write(&acl, "topic readwrite #\ntopic deny secret/#\n").unwrap();
    let mut broker = BrokerProcess::start(&[("DOCKGATE_ACCESS__ACL_FILE", acl.to_str().unwrap())]);
    let prometheus = Prometheus::start(&configuration(&broker), &impatient_rules());
    // An increase is one over what has been seen before.
    eventually("the first scrapes", || prometheus.query("count_over_time(up{job=\"dockgate\"}[1m]) > 2").len() == 1);
    eventually("nothing fires, and nothing is missed any more", || prometheus.alerts().is_empty());

    let mut client = Wire::connect(broker.mqtt, &Connect::new(V5, "backend"));
    for number in 0..TIMES {
        let denied = client.publish(&Publish::new("secret/plan", "x").qos(1, 1));
        assert_eq!(denied, 0x87, "not authorized");
        let refused = client.publish(&start(number));
        assert_eq!(refused >= 0x80, number > 0, "start {number}: {refused:#04x}");
    }
    for alert in ["DockgateDenied", "DockgateRefusalStorm"] {
        eventually(alert, || is_firing(&prometheus, alert));
    }
    let fired = prometheus.alerts();
    let names: Vec<_> = fired.iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2, "and no other: {names:?}");
    for alert in &fired {
        assert_eq!(alert["labels"]["instance"], broker.http.to_string(), "{alert}");
        for part in ["summary", "description"] {
            let text = alert["annotations"][part].as_str().unwrap();
            assert!(!text.contains("{{") && !text.contains("error expanding"), "{text}");
        }
    }

    let mut without_series = Vec::new();
    for (panel, query) in queries() {
        // What is filtered by its value may have nothing to show.
        if prometheus.query(&filled_in(&query)).is_empty() && !query.ends_with(" > 0") {
            without_series.push(format!("{panel}: {query}"));
        }
    }
    assert!(without_series.is_empty(), "nothing to show in {without_series:#?}");
    for rule in prometheus.rules() {
        assert_eq!(rule["health"], "ok", "{rule}");
    }

    broker.kill();
    eventually("DockgateDown", || is_firing(&prometheus, "DockgateDown"));
}
