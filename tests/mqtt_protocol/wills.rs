//! Wills: when they are published and when not.

use std::time::{Duration, Instant};

use crate::common::property::{PAYLOAD_FORMAT, WILL_DELAY, session_expiry, text, user};
use crate::common::{Broker, Connect, Publish, V5, V311, VERSIONS, Value, Version, Wire, disconnect, property};

/// A subscriber to all wills.
fn watcher(broker: &Broker) -> Wire {
    Wire::subscriber(broker.mqtt, "watcher", &[("will/#", 2)])
}

/// Proves that no will came to `will/x`: what is published there now is what comes next.
#[track_caller]
fn expect_no_will(broker: &Broker, watcher: &mut Wire) {
    Wire::clean(broker.mqtt, V311, "sentinel").push(&Publish::new("will/x", "none"));
    watcher.expect_message("none");
}

/// CONNECT of MQTT 5 with a will that waits this long, and a session that lasts a minute.
fn delayed(id: &str, seconds: u32) -> Connect {
    Connect::new(V5, id)
        .property(session_expiry(60))
        .will("will/x", "delayed")
        .change_will(|will| will.properties.push((WILL_DELAY, Value::Four(seconds))))
}

#[test]
fn a_broken_connection_fires_the_will() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    for version in VERSIONS {
        for qos in 0..=2 {
            let connect = Connect::new(version, "falls").will("will/broken", "gone").change_will(|will| will.qos = qos);
            Wire::connect(broker.mqtt, &connect).vanish();
            let message = watcher.expect_message("gone");
            assert_eq!((message.topic.as_str(), message.qos), ("will/broken", qos));
            assert!(!message.retain);
        }
    }
}

#[test]
fn a_will_reaches_an_exact_subscription() {
    let broker = Broker::start(|_| {});
    let mut watcher = Wire::subscriber(broker.mqtt, "watcher", &[("will", 1)]);
    Wire::connect(broker.mqtt, &Connect::new(V311, "falls").will("will", "gone")).vanish();
    watcher.expect_message("gone");
}

#[test]
fn a_proper_disconnect_fires_no_will() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    for version in VERSIONS {
        Wire::connect(broker.mqtt, &Connect::new(version, "polite").will("will/x", "gone")).leave();
        expect_no_will(&broker, &mut watcher);
    }
}

#[test]
fn disconnect_with_will_fires_it() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    let mut wire = Wire::connect(broker.mqtt, &Connect::new(V5, "asks").will("will/x", "asked for"));
    wire.send(&disconnect(0x04, &[]));
    watcher.expect_message("asked for");
    assert_eq!(wire.expect_closed(), None);
}

#[test]
fn a_keep_alive_that_ends_fires_the_will() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    let connect = Connect::new(V311, "silent").keep_alive(1).will("will/x", "silent");
    let _silent = Wire::connect(broker.mqtt, &connect);
    watcher.expect_message("silent");
}

#[test]
fn take_over_fires_the_will_of_the_old_connection_only() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    for version in VERSIONS {
        let mut old = Wire::connect(broker.mqtt, &Connect::new(version, "twin").will("will/x", "old"));
        let new = Wire::connect(broker.mqtt, &Connect::new(version, "twin").will("will/x", "new"));
        watcher.expect_message("old");
        old.expect_closed();
        expect_no_will(&broker, &mut watcher);
        new.leave();
        expect_no_will(&broker, &mut watcher);
    }
}

#[test]
fn a_protocol_error_fires_the_will() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    for version in VERSIONS {
        let connect = Connect::new(version, "wrong").will("will/x", "error");
        let mut wire = Wire::connect(broker.mqtt, &connect);
        wire.send(&connect.bytes());
        watcher.expect_message("error");
        wire.expect_closed();
    }
}

#[test]
fn a_retained_will_is_retained() {
    let broker = Broker::start(|_| {});
    let mut early = watcher(&broker);
    let connect = Connect::new(V5, "keeps").will("will/state", "offline").change_will(|will| will.retain = true);
    Wire::connect(broker.mqtt, &connect).vanish();
    assert!(!early.expect_message("offline").retain);
    let mut late = Wire::subscriber(broker.mqtt, "late", &[("will/#", 1)]);
    assert!(late.expect_message("offline").retain);
}

#[test]
fn an_empty_retained_will_clears_the_retained_message() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    publisher.publish(&Publish::new("will/state", "online").qos(1, 1).retain());
    watcher.expect_message("online");
    let connect = Connect::new(V311, "clears").will("will/state", "").change_will(|will| will.retain = true);
    Wire::connect(broker.mqtt, &connect).vanish();
    watcher.expect_message("");
    let mut late = Wire::subscriber(broker.mqtt, "late", &[("will/#", 1)]);
    publisher.push(&Publish::new("will/end", "end"));
    late.expect_message("end");
}

#[test]
fn a_delayed_will_waits() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    let begin = Instant::now();
    Wire::connect(broker.mqtt, &delayed("waits", 1)).vanish();
    expect_no_will(&broker, &mut watcher);
    watcher.expect_message("delayed");
    assert!(begin.elapsed() >= Duration::from_millis(900), "3.1.3-9: {:?}", begin.elapsed());
}

#[test]
fn a_reconnect_cancels_a_delayed_will() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    Wire::connect(broker.mqtt, &delayed("returns", 1)).vanish();
    let plain = Connect::new(V5, "returns").resuming().property(session_expiry(60));
    let (_returned, present) = Wire::resume(broker.mqtt, &plain);
    assert!(present);
    // Only time can show that the will does not come.
    std::thread::sleep(Duration::from_millis(2500));
    expect_no_will(&broker, &mut watcher);
}

#[test]
fn a_delayed_will_does_not_outlive_its_session() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    let connect = Connect::new(V5, "no-session")
        .will("will/x", "at once")
        .change_will(|will| will.properties.push((WILL_DELAY, Value::Four(600))));
    Wire::connect(broker.mqtt, &connect).vanish();
    watcher.expect_message("at once");
}

#[test]
fn a_clean_start_ends_the_session_and_so_fires_its_delayed_will() {
    let broker = Broker::start(|_| {});
    let mut watcher = watcher(&broker);
    Wire::connect(broker.mqtt, &delayed("again", 600)).vanish();
    expect_no_will(&broker, &mut watcher);
    let _new = Wire::clean(broker.mqtt, V5, "again");
    watcher.expect_message("delayed");
}

#[test]
fn a_wills_properties_reach_mqtt_5_subscribers() {
    fn run(broker: &Broker, to: Version) {
        let mut watcher = Wire::clean(broker.mqtt, to, "watcher");
        watcher.subscribe(&[("will/#", 1)]);
        let properties = vec![
            (PAYLOAD_FORMAT, Value::Byte(1)),
            text(property::CONTENT_TYPE, "text/plain"),
            user("a", "1"),
            user("a", "2"),
        ];
        let connect =
            Connect::new(V5, "rich").will("will/rich", "rich").change_will(|will| will.properties = properties.clone());
        Wire::connect(broker.mqtt, &connect).vanish();
        let message = watcher.expect_message("rich");
        if to == V5 {
            for property in &properties {
                assert!(message.properties.contains(property), "{property:?} in {message:?}");
            }
        }
        watcher.leave();
    }
    let broker = Broker::start(|_| {});
    run(&broker, V5);
    run(&broker, V311);
}

#[test]
fn a_will_waits_for_an_offline_session() {
    let broker = Broker::start(|_| {});
    let connect = Connect::persistent(V311, "offline");
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("will/#", 1)]);
    subscriber.leave();
    let mut witness = watcher(&broker);
    Wire::connect(broker.mqtt, &Connect::new(V5, "falls").will("will/x", "gone")).vanish();
    witness.expect_message("gone");
    Wire::connect(broker.mqtt, &connect).expect_message("gone");
}
