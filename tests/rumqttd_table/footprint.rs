//! Memory, the log, and what else runs beside the router.

use std::time::{Duration, Instant};

use crate::common::{BrokerProcess, Publish, V5, V311, Wire, get};
use crate::expect_sound;

#[test]
fn filters_that_nobody_has_any_more_hold_no_messages() {
    let mut broker = BrokerProcess::start(&[]);
    let mut subscriber = Wire::clean(broker.mqtt, V311, "sub");
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let payload = vec![b'x'; 250_000];
    let before = broker.resident_kib();
    for number in 0..100 {
        let filter = format!("dead/{number}/#");
        subscriber.subscribe(&[(&filter, 1)]);
        let topic = format!("dead/{number}/x");
        for pid in 1..=4 {
            publisher.publish(&Publish::new(&topic, &payload).qos(1, pid));
            let message = subscriber.expect_publish();
            subscriber.complete(&message);
        }
        subscriber.unsubscribe(&[&filter]);
    }
    if let (Some(before), Some(after)) = (before, broker.resident_kib()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 50 * 1024, "{grown} KiB more after 100 MB went through dead filters");
    }
    expect_sound(&mut broker);
}

#[test]
fn topics_and_client_identifiers_are_not_kept_for_ever() {
    let mut broker = BrokerProcess::start(&[]);
    let _wild = Wire::subscriber(broker.mqtt, "wild", &[("never/+/matches", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for number in 0..300 {
        Wire::clean(broker.mqtt, V311, &format!("id-{number}")).leave();
    }
    let before = broker.resident_kib();
    let padding = "x".repeat(500);
    for number in 0..20_000 {
        publisher.push(&Publish::new(&format!("topic/{number}/{padding}"), "x"));
    }
    publisher.expect_alive();
    for number in 0..1_000 {
        Wire::clean(broker.mqtt, V311, &format!("other-{number}-{}", &padding[..200])).leave();
    }
    if let (Some(before), Some(after)) = (before, broker.resident_kib()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 10 * 1024, "{grown} KiB more after 20,000 topics and 1,000 identifiers");
    }
    expect_sound(&mut broker);
}

#[test]
fn a_connection_without_wildcards_is_small() {
    let mut broker = BrokerProcess::start(&[]);
    let warm: Vec<Wire> = (0..50).map(|number| idle_dock(&broker, 1000 + number)).collect();
    let before = broker.resident_kib();
    let idle: Vec<Wire> = (0..400).map(|number| idle_dock(&broker, number)).collect();
    if let (Some(before), Some(after)) = (before, broker.resident_kib()) {
        let each = after.saturating_sub(before) / 400;
        assert!(each < 30, "{each} KiB for a connection with six exact subscriptions");
    }
    drop((warm, idle));
    expect_sound(&mut broker);
}

/// A dock with the six subscriptions that it has.
fn idle_dock(broker: &BrokerProcess, number: u32) -> Wire {
    let sn = format!("8UUXN{number:09}");
    let topics = ["services", "events_reply", "requests_reply", "property/set", "drc/down", "status_reply"]
        .map(|kind| format!("thing/product/{sn}/{kind}"));
    let filters: Vec<(&str, u8)> = topics.iter().map(|topic| (topic.as_str(), 1)).collect();
    Wire::subscriber(broker.mqtt, &sn, &filters)
}

#[test]
fn rumqttd_does_not_write_to_the_log() {
    let mut broker = BrokerProcess::start(&[("DOCKGATE_LOG__LEVEL", "debug")]);
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("log/+", 1)]);
    Wire::clean(broker.mqtt, V5, "pub").publish(&Publish::new("log/x", "x").qos(1, 1));
    subscriber.expect_message("x");
    subscriber.vanish();
    expect_sound(&mut broker);
    let log = broker.log();
    assert!(!log.contains(r#""target":"rumqttd"#), "{log}");
}

#[test]
fn http_answers_while_the_router_is_saturated() {
    let mut broker = BrokerProcess::start(&[]);
    if crate::common::other_broker().is_some() {
        return;
    }
    let _stalled = Wire::subscriber(broker.mqtt, "stalled", &[("full/#", 1)]);
    let address = broker.mqtt;
    let flood: Vec<_> = (0..4)
        .map(|number| {
            std::thread::spawn(move || {
                let mut publisher = Wire::clean(address, V311, &format!("pub-{number}"));
                let batch: Vec<u8> = (0..1000).flat_map(|_| Publish::new("full/x", [b'x'; 50]).bytes(V311)).collect();
                for _ in 0..20 {
                    publisher.send(&batch);
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let begin = Instant::now();
        get(broker.http, "/healthz");
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
    for thread in flood {
        thread.join().unwrap();
    }
    expect_sound(&mut broker);
}
