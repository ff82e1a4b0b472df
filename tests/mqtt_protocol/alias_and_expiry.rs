//! Topic aliases from clients, and messages that expire.

use std::time::Duration;

use crate::common::property::{MESSAGE_EXPIRY, TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, find};
use crate::common::{Broker, Connect, Property, Publish, V5, V311, Value, Wire};

fn alias(number: u16) -> Property {
    (TOPIC_ALIAS, Value::Two(number))
}

fn expiry(seconds: u32) -> Property {
    (MESSAGE_EXPIRY, Value::Four(seconds))
}

/// A client, and how many aliases CONNACK allows it.
fn client(broker: &Broker, id: &str) -> (Wire, u16) {
    let (wire, connack) = Wire::try_connect(broker.mqtt, &Connect::new(V5, id));
    match find(&connack.properties, TOPIC_ALIAS_MAXIMUM) {
        Some(Value::Two(maximum)) => (wire, *maximum),
        _ => (wire, 0),
    }
}

#[test]
fn an_alias_may_be_set_used_and_set_anew() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("t/#", 1)]);
    let (mut publisher, maximum) = client(&broker, "pub");
    assert!(maximum >= 1, "aliases are on by default");
    let steps = [("t/1", "t/1"), ("", "t/1"), ("t/2", "t/2"), ("", "t/2"), ("", "t/2")];
    for (sent, meant) in steps {
        publisher.publish(&Publish::new(sent, meant).qos(1, 1).property(alias(maximum)));
        assert_eq!(subscriber.expect_message(meant).topic, meant);
    }
}

#[test]
fn aliases_of_two_clients_are_apart() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("t/#", 1)]);
    let (mut one, _) = client(&broker, "one");
    let (mut two, _) = client(&broker, "two");
    one.publish(&Publish::new("t/one", "1").qos(1, 1).property(alias(1)));
    two.publish(&Publish::new("t/two", "2").qos(1, 1).property(alias(1)));
    one.publish(&Publish::new("", "3").qos(1, 1).property(alias(1)));
    // Those of one client come in their order, those of two in any.
    let mut came: Vec<_> = (0..3)
        .map(|_| {
            let message = subscriber.expect_publish();
            subscriber.complete(&message);
            (message.text(), message.topic)
        })
        .collect();
    came.sort();
    let wanted = [("1", "t/one"), ("2", "t/two"), ("3", "t/one")];
    assert_eq!(came, wanted.map(|(payload, topic)| (payload.to_owned(), topic.to_owned())));
}

#[test]
fn an_alias_does_not_outlive_its_connection() {
    let broker = Broker::start(|_| {});
    let connect = Connect::persistent(V5, "returns");
    let mut publisher = Wire::connect(broker.mqtt, &connect);
    publisher.publish(&Publish::new("t/1", "x").qos(1, 1).property(alias(1)));
    publisher.leave();
    let mut publisher = Wire::connect(broker.mqtt, &connect);
    publisher.push(&Publish::new("", "x").qos(1, 1).property(alias(1)));
    let code = publisher.expect_closed();
    assert!(matches!(code, Some(0x82 | 0x94)), "3.3.2-7: {code:02x?}");
}

#[test]
fn an_alias_above_the_maximum_is_refused() {
    let broker = Broker::start(|_| {});
    let (mut publisher, maximum) = client(&broker, "pub");
    publisher.push(&Publish::new("t", "x").property(alias(maximum + 1)));
    assert_eq!(publisher.expect_closed(), Some(0x94), "3.3.2-9");
}

#[test]
fn the_remaining_life_of_a_message_is_passed_on() {
    let broker = Broker::start(|_| {});
    let connect = Connect::persistent(V5, "sub");
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("life/x", 1), ("life/+/y", 1)]);
    subscriber.leave();
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    for topic in ["life/x", "life/1/y"] {
        publisher.publish(&Publish::new(topic, topic).qos(1, 1).property(expiry(100)));
    }
    std::thread::sleep(Duration::from_millis(1200));
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    for _ in 0..2 {
        let message = subscriber.expect_publish();
        subscriber.complete(&message);
        match find(&message.properties, MESSAGE_EXPIRY) {
            Some(Value::Four(left)) => assert!((60..=99).contains(left), "3.3.2-6: {left} s"),
            other => panic!("message expiry expected: {other:?}"),
        }
    }
}

#[test]
fn an_expired_message_is_not_delivered_from_the_queue() {
    let broker = Broker::start(|_| {});
    for filter in ["expired/x", "expired/+"] {
        let connect = Connect::persistent(V311, "sub");
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.subscribe(&[(filter, 1)]);
        subscriber.leave();
        let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
        publisher.publish(&Publish::new("expired/x", "brief").qos(1, 1).property(expiry(1)));
        publisher.publish(&Publish::new("expired/x", "long").qos(1, 1).property(expiry(100)));
        publisher.publish(&Publish::new("expired/x", "for ever").qos(1, 1));
        std::thread::sleep(Duration::from_millis(2200));
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.expect_message("long");
        subscriber.expect_message("for ever");
        subscriber.unsubscribe(&[filter]);
        subscriber.leave();
    }
}

#[test]
fn an_expired_retained_message_is_not_found() {
    let broker = Broker::start(|_| {});
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    publisher.publish(&Publish::new("kept/brief", "x").qos(1, 1).retain().property(expiry(1)));
    publisher.publish(&Publish::new("kept/long", "y").qos(1, 1).retain().property(expiry(100)));
    std::thread::sleep(Duration::from_millis(2200));
    let mut subscriber = Wire::clean(broker.mqtt, V5, "sub");
    subscriber.subscribe(&[("kept/#", 1)]);
    let message = subscriber.expect_message("y");
    assert!(matches!(find(&message.properties, MESSAGE_EXPIRY), Some(Value::Four(1..=99))));
    subscriber.subscribe(&[("kept/brief", 1)]);
    subscriber.expect_alive();
}

#[test]
fn a_message_that_expires_at_once_still_reaches_who_is_there() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("now/x", 1), ("now/+/y", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    for topic in ["now/x", "now/1/y"] {
        publisher.publish(&Publish::new(topic, "x").qos(1, 1).property(expiry(1)));
        subscriber.expect_message("x");
    }
}
