//! Retained messages.

use std::collections::HashSet;
use std::time::Duration;

use crate::common::packet::{RETAIN_AS_PUBLISHED, RETAIN_IF_NEW, RETAIN_NEVER};
use crate::common::{Broker, Connect, Publish, V5, V311, VERSIONS, Wire, property};

fn retain(broker: &Broker, topic: &str, payload: &str) {
    let mut publisher = Wire::clean(broker.mqtt, V5, "retainer");
    publisher.publish(&Publish::new(topic, payload).qos(1, 1).retain());
    publisher.leave();
}

fn publish(broker: &Broker, topic: &str, payload: &str) {
    let mut publisher = Wire::clean(broker.mqtt, V5, "publisher");
    publisher.publish(&Publish::new(topic, payload).qos(1, 1));
    publisher.leave();
}

/// A subscriber to `filter` finds these retained messages, in any order, and no other.
#[track_caller]
fn expect_retained(broker: &Broker, filter: &str, wanted: &[(&str, &str)]) {
    for version in VERSIONS {
        let mut subscriber = Wire::clean(broker.mqtt, version, "finder");
        subscriber.subscribe(&[(filter, 1)]);
        let mut found = HashSet::new();
        for _ in wanted {
            let message = subscriber.expect_publish();
            subscriber.complete(&message);
            assert!(message.retain, "3.3.1-8: {message:?}");
            found.insert((message.topic.clone(), message.text()));
        }
        let wanted = wanted.iter().map(|(topic, text)| ((*topic).to_owned(), (*text).to_owned()));
        assert_eq!(found, wanted.collect::<HashSet<_>>(), "{filter}, {version:?}");
        subscriber.expect_alive();
        subscriber.leave();
    }
}

#[test]
fn a_retained_message_is_found_by_exact_and_wildcard_filters() {
    let broker = Broker::start(|_| {});
    retain(&broker, "r/a", "1");
    retain(&broker, "r/b/c", "2");
    expect_retained(&broker, "r/a", &[("r/a", "1")]);
    expect_retained(&broker, "r/+", &[("r/a", "1")]);
    expect_retained(&broker, "r/#", &[("r/a", "1"), ("r/b/c", "2")]);
    expect_retained(&broker, "r/b/#", &[("r/b/c", "2")]);
    expect_retained(&broker, "r/a/#", &[("r/a", "1")]);
    expect_retained(&broker, "+/+/c", &[("r/b/c", "2")]);
    expect_retained(&broker, "r", &[]);
    expect_retained(&broker, "r/+/d", &[]);
}

#[test]
fn the_newest_retained_message_is_kept() {
    let broker = Broker::start(|_| {});
    for payload in ["1", "2", "3"] {
        retain(&broker, "newest", payload);
    }
    expect_retained(&broker, "newest", &[("newest", "3")]);
}

#[test]
fn an_empty_retained_message_clears_and_is_delivered_live() {
    let broker = Broker::start(|_| {});
    retain(&broker, "clear/me", "x");
    let mut live = Wire::subscriber(broker.mqtt, "live", &[("clear/#", 1)]);
    live.expect_message("x");
    retain(&broker, "clear/me", "");
    assert!(!live.expect_message("").retain);
    expect_retained(&broker, "clear/#", &[]);
    expect_retained(&broker, "clear/me", &[]);
}

#[test]
fn a_message_without_retain_leaves_the_retained_one_alone() {
    let broker = Broker::start(|_| {});
    retain(&broker, "stays", "kept");
    publish(&broker, "stays", "passing");
    publish(&broker, "stays", "");
    expect_retained(&broker, "stays", &[("stays", "kept")]);
}

#[test]
fn live_messages_come_without_the_retain_flag() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut subscriber = Wire::clean(broker.mqtt, version, "live");
        subscriber.subscribe(&[("live/exact", 1), ("live/+/wild", 1)]);
        for topic in ["live/exact", "live/1/wild"] {
            retain(&broker, topic, "x");
            assert!(!subscriber.expect_message("x").retain, "3.3.1-12, {version:?}");
            retain(&broker, topic, "");
            subscriber.expect_message("");
        }
    }
}

#[test]
fn retain_as_published_keeps_the_flag() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::clean(broker.mqtt, V5, "rap");
    let options = 1 | RETAIN_AS_PUBLISHED;
    subscriber.subscribe(&[("rap/exact", options), ("rap/+/wild", options)]);
    for topic in ["rap/exact", "rap/1/wild"] {
        retain(&broker, topic, "with");
        assert!(subscriber.expect_message("with").retain, "3.3.1-13: {topic}");
        publish(&broker, topic, "without");
        assert!(!subscriber.expect_message("without").retain, "3.3.1-13: {topic}");
    }
}

#[test]
fn retain_handling_0_sends_at_every_subscribe() {
    let broker = Broker::start(|_| {});
    retain(&broker, "rh/0", "x");
    let mut subscriber = Wire::clean(broker.mqtt, V5, "rh0");
    for filter in ["rh/0", "rh/0", "rh/+", "rh/+"] {
        subscriber.subscribe(&[(filter, 1)]);
        assert!(subscriber.expect_message("x").retain, "3.3.1-9");
    }
}

#[test]
fn retain_handling_1_sends_to_a_new_subscription_only() {
    let broker = Broker::start(|_| {});
    retain(&broker, "rh/1", "x");
    for filter in ["rh/1", "rh/+"] {
        let mut subscriber = Wire::clean(broker.mqtt, V5, "rh1");
        subscriber.subscribe(&[(filter, 1 | RETAIN_IF_NEW)]);
        subscriber.expect_message("x");
        subscriber.subscribe(&[(filter, 1 | RETAIN_IF_NEW)]);
        publish(&broker, "rh/1", "live");
        assert!(!subscriber.expect_message("live").retain, "3.3.1-10: {filter}");
        subscriber.unsubscribe(&[filter]);
        subscriber.subscribe(&[(filter, 1 | RETAIN_IF_NEW)]);
        subscriber.expect_message("x");
    }
}

#[test]
fn retain_handling_1_knows_the_subscriptions_of_a_resumed_session() {
    let broker = Broker::start(|_| {});
    retain(&broker, "rh/resumed", "x");
    let connect = Connect::persistent(V5, "resumed");
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("rh/resumed", 1 | RETAIN_IF_NEW)]);
    subscriber.expect_message("x");
    subscriber.leave();
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("rh/resumed", 1 | RETAIN_IF_NEW)]);
    publish(&broker, "rh/resumed", "live");
    subscriber.expect_message("live");
}

#[test]
fn retain_handling_2_sends_none() {
    let broker = Broker::start(|_| {});
    retain(&broker, "rh/2", "x");
    for filter in ["rh/2", "rh/+"] {
        let mut subscriber = Wire::clean(broker.mqtt, V5, "rh2");
        subscriber.subscribe(&[(filter, 1 | RETAIN_NEVER)]);
        publish(&broker, "rh/2", "live");
        assert!(!subscriber.expect_message("live").retain, "3.3.1-11: {filter}");
    }
}

#[test]
fn subscribing_again_sends_retained_messages_again() {
    let broker = Broker::start(|_| {});
    retain(&broker, "repeat", "x");
    let mut subscriber = Wire::clean(broker.mqtt, V311, "repeat");
    for qos in [0, 1, 2, 0] {
        subscriber.subscribe(&[("repeat", qos)]);
        let message = subscriber.expect_message("x");
        assert!(message.retain, "3.1.1: 3.8.4-3");
        assert_eq!(message.qos, qos.min(1));
    }
}

#[test]
fn a_resumed_session_gets_no_retained_messages_without_subscribing() {
    let broker = Broker::start(|_| {});
    let connect = Connect::persistent(V311, "resume");
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    retain(&broker, "resume", "x");
    subscriber.subscribe(&[("resume", 1)]);
    subscriber.expect_message("x");
    subscriber.leave();
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    publish(&broker, "resume", "live");
    subscriber.expect_message("live");
}

#[test]
fn more_than_200_retained_messages_reach_one_subscription() {
    let broker = Broker::start(|_| {});
    let mut publisher = Wire::clean(broker.mqtt, V311, "many");
    for number in 0..900_u16 {
        let topic = format!("many/{number}/state");
        publisher.push(&Publish::new(&topic, number.to_string()).qos(1, number + 1).retain());
    }
    for number in 0..900 {
        publisher.expect_ack(crate::common::Puback, number + 1);
    }
    for (filter, qos) in [("#", 0), ("many/+/state", 1), ("#", 2)] {
        let mut subscriber = Wire::subscriber(broker.mqtt, "finder", &[(filter, qos)]);
        let mut found = HashSet::new();
        while found.len() < 900 {
            let message = subscriber.expect_publish();
            subscriber.complete_quietly(&message);
            assert!(found.insert(message.topic.clone()), "{} came twice", message.topic);
        }
    }
}

impl Wire {
    /// Acknowledges QoS 1, and takes the lower QoS 2 hand-shake as QoS 1 messages are all there is.
    #[track_caller]
    fn complete_quietly(&mut self, message: &Publish) {
        assert!(message.qos < 2, "it was published at QoS 1");
        self.complete(message);
    }
}

#[test]
fn a_retained_message_keeps_its_properties() {
    let broker = Broker::start(|_| {});
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    let message = Publish::new("rich", "x")
        .qos(1, 1)
        .retain()
        .property(property::text(property::CONTENT_TYPE, "text/plain"))
        .property(property::user("k", "v"));
    publisher.publish(&message);
    let mut subscriber = Wire::clean(broker.mqtt, V5, "sub");
    subscriber.subscribe(&[("rich", 1)]);
    let found = subscriber.expect_message("x");
    for property in &message.properties {
        assert!(found.properties.contains(property), "{property:?} in {found:?}");
    }
    expect_retained(&broker, "rich", &[("rich", "x")]);
}

#[test]
fn a_retained_message_is_delivered_at_the_lower_qos() {
    let broker = Broker::start(|_| {});
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for published in 0..=2 {
        let topic = format!("q/{published}");
        publisher.publish(&Publish::new(&topic, "x").qos(published, 1).retain());
        publisher.expect_alive();
        for granted in 0..=2 {
            let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[(&topic, granted)]);
            let message = subscriber.expect_message("x");
            assert_eq!(message.qos, published.min(granted));
        }
    }
}

#[test]
fn nobody_publishes_in_the_brokers_own_tree() {
    let broker = Broker::start(|settings| settings.sys_interval = Duration::ZERO);
    for version in VERSIONS {
        let mut reader = Wire::subscriber(broker.mqtt, "reader", &[("$SYS/#", 0), ("$SYSTEM/#", 0)]);
        let mut client = Wire::clean(broker.mqtt, version, "client");
        let denied = if version == V5 { 0x87 } else { 0 };
        for topic in ["$SYS/broker/uptime", "$SYS"] {
            for qos in [1, 2] {
                assert_eq!(
                    client.publish(&Publish::new(topic, "x").qos(qos, 1).retain()),
                    denied,
                    "{topic} {version:?}"
                );
            }
            client.push(&Publish::new(topic, "x"));
        }
        let with_will = Connect::new(version, "mourner").will("$SYS/broker/uptime", "x");
        let refused = if version == V5 { 0x87 } else { 5 };
        assert_eq!(Wire::try_connect(broker.mqtt, &with_will).1.code, refused, "{version:?}");
        client.publish(&Publish::new("$SYSTEM/x", "allowed").qos(1, 1));
        reader.expect_message("allowed");
        reader.leave();
        let mut late = Wire::subscriber(broker.mqtt, "late", &[("$SYS/#", 0)]);
        late.expect_alive();
        late.leave();
        client.leave();
    }
}

#[test]
fn retained_messages_are_not_sent_to_shared_subscriptions() {
    let broker = Broker::start(|_| {});
    retain(&broker, "shared/r", "x");
    for version in [V311, V5] {
        for filter in ["$share/g/shared/r", "$share/g/shared/+"] {
            let mut member = Wire::clean(broker.mqtt, version, "member");
            member.subscribe(&[(filter, 1)]);
            publish(&broker, "shared/r", "live");
            assert_eq!(member.expect_message("live").topic, "shared/r", "4.8.2: {filter}");
            member.leave();
        }
    }
}

#[test]
fn a_retained_message_on_an_odd_topic_is_found() {
    let broker = Broker::start(|_| {});
    for topic in ["温度/1", "/", "a//b", "é"] {
        retain(&broker, topic, topic);
        expect_retained(&broker, topic, &[(topic, topic)]);
    }
    expect_retained(&broker, "温度/+", &[("温度/1", "温度/1")]);
}
