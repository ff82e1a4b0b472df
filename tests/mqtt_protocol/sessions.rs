//! Sessions that outlive their connection, and those that do not.

use crate::common::property::session_expiry;
use crate::common::{
    Answer, Broker, Connect, Publish, V5, V31, V311, VERSIONS, Version, Wire, disconnect, eventually, metric,
};

fn publish(broker: &Broker, topic: &str, qos: u8, payload: &str) {
    let mut publisher = Wire::clean(broker.mqtt, V311, "publisher");
    publisher.publish(&Publish::new(topic, payload).qos(qos, 1));
    publisher.leave();
}

#[test]
fn messages_wait_in_order_for_an_offline_session() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        for (topic, filter) in [("off/exact", "off/exact"), ("off/wild/x", "off/+/x")] {
            let connect = Connect::persistent(version, &format!("off-{version:?}"));
            let mut subscriber = Wire::connect(broker.mqtt, &connect);
            subscriber.subscribe(&[(filter, 2)]);
            subscriber.leave();
            for (qos, payload) in [(1, "1"), (2, "2"), (1, "3"), (2, "4")] {
                publish(&broker, topic, qos, payload);
            }
            let (mut subscriber, present) = Wire::resume(broker.mqtt, &connect);
            assert!(present || version == V31, "3.1.2-5, {version:?}");
            for (qos, payload) in [(1, "1"), (2, "2"), (1, "3"), (2, "4")] {
                let message = subscriber.expect_message(payload);
                assert_eq!((message.qos, message.dup), (qos, false), "{version:?}, {filter}");
            }
            subscriber.unsubscribe(&[filter]);
            subscriber.leave();
        }
    }
}

#[test]
fn messages_wait_for_a_session_whose_connection_broke() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        let connect = Connect::persistent(version, &format!("broke-{version:?}"));
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.subscribe(&[("broke", 1)]);
        subscriber.vanish();
        for payload in ["1", "2", "3"] {
            publish(&broker, "broke", 1, payload);
        }
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        for payload in ["1", "2", "3"] {
            subscriber.expect_message(payload);
        }
    }
}

#[test]
fn a_clean_session_ends_with_its_connection() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let id = format!("clean-{version:?}");
        let mut subscriber = Wire::clean(broker.mqtt, version, &id);
        subscriber.subscribe(&[("clean", 1)]);
        subscriber.leave();
        publish(&broker, "clean", 1, "lost");
        let (mut subscriber, present) = Wire::resume(broker.mqtt, &Connect::persistent(version, &id));
        assert!(!present, "{version:?}");
        subscriber.subscribe(&[("clean", 1)]);
        publish(&broker, "clean", 1, "new");
        subscriber.expect_message("new");
        subscriber.leave();
    }
}

#[test]
fn a_clean_connect_drops_the_stored_session() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let id = format!("drop-{version:?}");
        let mut subscriber = Wire::connect(broker.mqtt, &Connect::persistent(version, &id));
        subscriber.subscribe(&[("drop", 1)]);
        subscriber.leave();
        publish(&broker, "drop", 1, "queued");
        let (clean, present) = Wire::resume(broker.mqtt, &Connect::new(version, &id));
        assert!(!present, "3.2.2-2, {version:?}");
        clean.leave();
        let (mut subscriber, present) = Wire::resume(broker.mqtt, &Connect::persistent(version, &id));
        assert!(!present, "{version:?}");
        publish(&broker, "drop", 1, "not subscribed");
        subscriber.subscribe(&[("drop", 1)]);
        publish(&broker, "drop", 1, "new");
        subscriber.expect_message("new");
        subscriber.leave();
    }
}

#[test]
fn a_persistent_connect_is_told_whether_its_session_was_there() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let connect = Connect::persistent(version, &format!("present-{version:?}"));
        for wanted in [false, true, true] {
            let (wire, present) = Wire::resume(broker.mqtt, &connect);
            // 3.1 has no such flag; brokers that set it do no harm.
            assert!(present == wanted || version == V31, "{version:?}");
            wire.leave();
        }
    }
}

#[test]
fn a_session_moves_between_3_1_1_and_5() {
    let broker = Broker::start(|_| {});
    for (old, new) in [(V311, V5), (V5, V311)] {
        let id = format!("{old:?}-{new:?}");
        let mut subscriber = Wire::connect(broker.mqtt, &Connect::persistent(old, &id));
        subscriber.subscribe(&[("move", 1)]);
        subscriber.leave();
        publish(&broker, "move", 1, "x");
        let (mut subscriber, present) = Wire::resume(broker.mqtt, &Connect::persistent(new, &id));
        assert!(present, "{id}");
        subscriber.expect_message("x");
    }
}

#[test]
fn a_session_ends_when_its_expiry_has_passed() {
    let broker = Broker::start(|_| {});
    let connect = Connect::new(V5, "brief").resuming().property(session_expiry(1));
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("brief", 1)]);
    subscriber.leave();
    // Asking would renew the session, so that time itself must pass here.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    publish(&broker, "brief", 1, "too late");
    let (mut subscriber, present) = Wire::resume(broker.mqtt, &connect);
    assert!(!present, "3.1.2-23");
    subscriber.expect_alive();
}

#[test]
fn a_session_within_its_expiry_is_there() {
    let broker = Broker::start(|_| {});
    let connect = Connect::new(V5, "lasting").resuming().property(session_expiry(60));
    Wire::connect(broker.mqtt, &connect).leave();
    assert!(Wire::resume(broker.mqtt, &connect).1);
}

#[test]
fn a_session_without_expiry_ends_with_its_connection() {
    let broker = Broker::start(|_| {});
    let connect = Connect::new(V5, "none").resuming();
    Wire::connect(broker.mqtt, &connect).leave();
    assert!(!Wire::resume(broker.mqtt, &connect).1, "3.1.2.11.2: absent is 0");
}

#[test]
fn disconnect_may_change_the_expiry_that_was_not_0() {
    let broker = Broker::start(|_| {});
    let connect = Connect::persistent(V5, "shorter");
    let mut wire = Wire::connect(broker.mqtt, &connect);
    wire.send(&disconnect(0, &[session_expiry(0)]));
    assert_eq!(wire.expect_closed(), None);
    assert!(!Wire::resume(broker.mqtt, &connect).1, "the session ended with DISCONNECT");
    let short = Connect::new(V5, "longer").resuming().property(session_expiry(1));
    let mut wire = Wire::connect(broker.mqtt, &short);
    wire.send(&disconnect(0, &[session_expiry(60)]));
    wire.expect_closed();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert!(Wire::resume(broker.mqtt, &short).1, "the session outlives its first expiry");
}

#[test]
fn disconnect_must_not_make_a_session_of_none() {
    let broker = Broker::start(|_| {});
    let mut wire = Wire::clean(broker.mqtt, V5, "zero");
    wire.send(&disconnect(0, &[session_expiry(60)]));
    assert_eq!(wire.expect_closed(), Some(0x82), "3.14.2-2");
    let (_, present) = Wire::resume(broker.mqtt, &Connect::persistent(V5, "zero"));
    assert!(!present);
}

#[test]
fn a_clean_start_with_an_expiry_leaves_a_session_behind() {
    let broker = Broker::start(|_| {});
    let clean = Connect::new(V5, "start").property(session_expiry(60));
    let mut wire = Wire::connect(broker.mqtt, &clean);
    wire.subscribe(&[("start", 1)]);
    wire.leave();
    publish(&broker, "start", 1, "waited");
    let (mut wire, present) = Wire::resume(broker.mqtt, &Connect::persistent(V5, "start"));
    assert!(present, "clean start and session expiry are two things");
    wire.expect_message("waited");
}

#[test]
fn the_queue_of_an_offline_session_is_bounded_and_its_drops_are_counted() {
    let broker = Broker::start(|settings| settings.limits.queue_messages = 10);
    for (topic, filter) in [("queue", "queue"), ("queue/x", "queue/+")] {
        let connect = Connect::persistent(V311, "queue");
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.subscribe(&[(filter, 1)]);
        subscriber.leave();
        let before = metric(broker.http, "dockgate_dropped_total", "");
        let mut publisher = Wire::clean(broker.mqtt, V311, "publisher");
        for number in 0..30 {
            publisher.publish(&Publish::new(topic, number.to_string()).qos(1, 1));
        }
        eventually("20 drops are counted", || metric(broker.http, "dockgate_dropped_total", "") - before >= 20.0);
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        let mut kept: Vec<u32> = Vec::new();
        for _ in 0..10 {
            let message = subscriber.expect_publish();
            subscriber.complete(&message);
            kept.push(message.text().parse().unwrap());
        }
        assert!(kept.is_sorted(), "{kept:?}");
        subscriber.expect_alive();
        assert!((metric(broker.http, "dockgate_dropped_total", "") - before - 20.0).abs() < 0.5);
        subscriber.unsubscribe(&[filter]);
        subscriber.leave();
    }
}

#[test]
fn the_queue_of_an_offline_session_is_bounded_in_bytes() {
    let broker = Broker::start(|settings| settings.limits.queue_bytes = 100_000);
    let connect = Connect::persistent(V311, "bytes");
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("bytes", 1)]);
    subscriber.leave();
    let payload = "x".repeat(10_000);
    let mut publisher = Wire::clean(broker.mqtt, V311, "publisher");
    for _ in 0..50 {
        publisher.publish(&Publish::new("bytes", &payload).qos(1, 1));
    }
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    let mut count = 0;
    subscriber.send(&crate::common::PINGREQ);
    loop {
        match subscriber.next() {
            Answer::Publish(message) => {
                subscriber.complete(&message);
                count += 1;
                if count > 10 {
                    panic!("more than 100,000 bytes were queued");
                }
                subscriber.send(&crate::common::PINGREQ);
            }
            Answer::Pingresp if count >= 8 => break,
            Answer::Pingresp => {}
            other => panic!("{other:?} came"),
        }
    }
}

#[test]
fn qos_0_messages_do_not_push_acknowledged_ones_out_of_the_queue() {
    let broker = Broker::start(|settings| settings.limits.queue_messages = 10);
    let connect = Connect::persistent(V311, "precious");
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("precious", 1)]);
    subscriber.leave();
    let mut publisher = Wire::clean(broker.mqtt, V311, "publisher");
    for number in 0..10 {
        publisher.publish(&Publish::new("precious", number.to_string()).qos(1, 1));
    }
    for _ in 0..100 {
        publisher.push(&Publish::new("precious", "flood"));
    }
    publisher.expect_alive();
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    for number in 0..10 {
        subscriber.expect_message(&number.to_string());
    }
}

#[test]
fn subscriptions_of_a_resumed_session_work_without_subscribing_again() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        let connect = Connect::persistent(version, &format!("still-{version:?}"));
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.subscribe(&[("still/exact", 1), ("still/+/wild", 1)]);
        subscriber.leave();
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        for topic in ["still/exact", "still/1/wild"] {
            publish(&broker, topic, 1, topic);
            subscriber.expect_message(topic);
        }
    }
}

#[test]
fn unsubscribing_in_one_connection_holds_in_the_next() {
    fn run(broker: &Broker, version: Version) {
        let connect = Connect::persistent(version, &format!("no-more-{version:?}"));
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.subscribe(&[("no-more/a", 1), ("no-more/b", 1)]);
        subscriber.unsubscribe(&["no-more/a"]);
        subscriber.leave();
        publish(broker, "no-more/a", 1, "unwanted");
        publish(broker, "no-more/b", 1, "wanted");
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.expect_message("wanted");
        subscriber.expect_alive();
    }
    let broker = Broker::start(|_| {});
    run(&broker, V311);
    run(&broker, V5);
}
