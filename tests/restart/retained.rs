//! Retained messages are exactly those that were acknowledged.

use crate::common::property::{CONTENT_TYPE, MESSAGE_EXPIRY, find, text};
use crate::common::{Publish, V5, V311, Value, Wire};
use crate::ground::Ground;

/// The retained messages under `filter`, in order of their topics.
fn retained(ground: &Ground, filter: &str) -> Vec<Publish> {
    let mut reader = Wire::clean(ground.mqtt(), V5, "reader");
    // What is sent to itself comes after all that is retained.
    let end = "end/of/list";
    reader.subscribe(&[(end, 0)]);
    reader.subscribe(&[(filter, 0)]);
    reader.push(&Publish::new(end, ""));
    let mut found = Vec::new();
    loop {
        let message = reader.expect_publish();
        if message.topic == end {
            break;
        }
        assert!(message.retain);
        found.push(message);
    }
    found.sort_by(|a, b| a.topic.cmp(&b.topic));
    reader.leave();
    found
}

fn texts(messages: &[Publish]) -> Vec<(&str, String)> {
    messages.iter().map(|message| (message.topic.as_str(), message.text())).collect()
}

#[test]
fn the_last_one_of_every_topic_comes_back_and_what_was_removed_does_not() {
    let mut ground = Ground::new();
    for qos in [1, 2] {
        for (topic, payload) in [("r/a", "1"), ("r/b", "1"), ("r/a", "2"), ("r/温度", "3"), ("r/c", "1"), ("r/c", "")]
        {
            ground.publish(&Publish::new(&format!("{topic}/{qos}"), payload).qos(qos, 1).retain());
        }
    }
    ground.crash();
    let found = retained(&ground, "r/#");
    let expected = ["r/a/1", "r/a/2", "r/b/1", "r/b/2", "r/温度/1", "r/温度/2"].map(|topic| match topic {
        "r/a/1" | "r/a/2" => (topic, "2".to_owned()),
        "r/b/1" | "r/b/2" => (topic, "1".to_owned()),
        _ => (topic, "3".to_owned()),
    });
    assert_eq!(texts(&found), expected);
    // What is removed after the crash stays removed after the next.
    ground.publish(&Publish::new("r/a/1", "").qos(1, 1).retain());
    ground.publish(&Publish::new("r/b/1", "4").qos(1, 1).retain());
    ground.crash();
    assert_eq!(texts(&retained(&ground, "r/+/1")), [("r/b/1", "4".to_owned()), ("r/温度/1", "3".to_owned())]);
}

#[test]
fn they_keep_their_qos_and_properties_and_what_is_left_of_their_life() {
    let mut ground = Ground::new();
    let long = Publish::new("p/long", "x").qos(2, 1).retain();
    let expiry = |seconds| (MESSAGE_EXPIRY, Value::Four(seconds));
    ground.publish(&long.property(text(CONTENT_TYPE, "text/plain")).property(expiry(1000)));
    ground.publish(&Publish::new("p/short", "x").qos(1, 1).retain().property(expiry(1)));
    ground.crash_and(|| std::thread::sleep(std::time::Duration::from_millis(1100)));
    let mut reader = Wire::clean(ground.mqtt(), V5, "reader");
    reader.subscribe(&[("p/#", 2)]);
    let message = reader.expect_message("x");
    assert_eq!((message.topic.as_str(), message.qos), ("p/long", 2));
    assert!(message.properties.contains(&text(CONTENT_TYPE, "text/plain")));
    let Some(Value::Four(left)) = find(&message.properties, MESSAGE_EXPIRY) else { panic!("{message:?}") };
    assert!((900..=999).contains(left), "{left}");
    reader.expect_alive();
}

#[test]
fn a_message_of_a_client_before_the_crash_is_no_clients_own_after_it() {
    let mut ground = Ground::new();
    let mut before = Wire::clean(ground.mqtt(), V5, "before");
    before.publish(&Publish::new("own", "x").qos(1, 1).retain());
    ground.crash();
    // Its session has the same number in the broker's count as that of the first client before.
    let mut after = Wire::clean(ground.mqtt(), V5, "before");
    let no_local = 0b100;
    assert_eq!(after.try_subscribe(&[], &[("own", no_local)]), [0]);
    after.expect_message("x");
}

#[test]
fn a_stop_keeps_them_too() {
    let mut ground = Ground::new();
    ground.publish(&Publish::new("stop", "1").qos(1, 1).retain());
    let mut publisher = Wire::clean(ground.mqtt(), V311, "hasty");
    // At QoS 0 nothing is promised, but a stop has the time to keep it.
    publisher.push(&Publish::new("stop", "2").retain());
    publisher.expect_alive();
    ground.restart();
    assert_eq!(texts(&retained(&ground, "stop")), [("stop", "2".to_owned())]);
}
