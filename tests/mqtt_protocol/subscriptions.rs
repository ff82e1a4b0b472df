//! SUBSCRIBE and UNSUBSCRIBE, overlapping filters, identifiers, no local.

use crate::common::packet::NO_LOCAL;
use crate::common::property::SUBSCRIPTION_ID;
use crate::common::{Answer, Broker, Connect, Publish, V5, V311, VERSIONS, Value, Wire};

/// A subscription identifier.
fn identifier(number: u32) -> (u8, Value) {
    (SUBSCRIPTION_ID, Value::Variable(number))
}

/// The subscription identifiers of a message, sorted.
fn identifiers(message: &Publish) -> Vec<u32> {
    let mut found: Vec<u32> = message
        .properties
        .iter()
        .filter_map(|(id, value)| match value {
            Value::Variable(number) if *id == SUBSCRIPTION_ID => Some(*number),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found
}

/// All messages that come before the one on `end`.
#[track_caller]
fn receive_until_end(wire: &mut Wire) -> Vec<Publish> {
    let mut messages = Vec::new();
    loop {
        let message = wire.expect_publish();
        wire.complete(&message);
        if message.text() == "end" {
            return messages;
        }
        messages.push(message);
    }
}

#[test]
fn suback_has_one_code_for_each_filter_in_order() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut wire = Wire::clean(broker.mqtt, version, "codes");
        let filters = [("a", 2), ("b/+", 0), ("c/#", 1), ("a", 1), ("$share/g/d", 1)];
        let codes = wire.try_subscribe(&[], &filters);
        assert_eq!(codes, [2, 0, 1, 1, 1], "3.8.4-6, {version:?}");
    }
}

#[test]
fn unsuback_says_for_each_filter_whether_it_was_there() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut wire = Wire::clean(broker.mqtt, version, "unsub");
        wire.subscribe(&[("u/1", 1), ("u/+", 1), ("$share/g/u", 1)]);
        let codes = wire.unsubscribe(&["u/1", "nothing", "u/+", "u/1", "$share/g/u"]);
        if version == V5 {
            assert_eq!(codes, [0, 0x11, 0, 0x11, 0], "3.11.3");
        } else {
            assert_eq!(codes, [0; 0], "UNSUBACK of MQTT 3 has no payload");
        }
        assert_eq!(wire.unsubscribe(&["nothing"]).len(), usize::from(version == V5));
        wire.expect_alive();
    }
}

#[test]
fn after_unsubscribe_nothing_comes() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut wire = Wire::clean(broker.mqtt, version, "quiet");
        wire.subscribe(&[("quiet/a", 1), ("quiet/+/b", 1), ("end", 0), ("+/+/end", 0)]);
        wire.unsubscribe(&["quiet/a", "quiet/+/b"]);
        let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
        publisher.push(&Publish::new("quiet/a", "unwanted"));
        publisher.push(&Publish::new("quiet/1/b", "unwanted"));
        for topic in ["end", "x/y/end"] {
            publisher.push(&Publish::new(topic, "end"));
            wire.expect_message("end");
        }
    }
}

#[test]
fn subscribing_again_replaces_the_qos() {
    let broker = Broker::start(|_| {});
    for filter in ["again/x", "again/+"] {
        for version in VERSIONS {
            let mut wire = Wire::clean(broker.mqtt, version, "again");
            let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
            for qos in [2, 0, 1, 2] {
                wire.subscribe(&[(filter, qos)]);
                publisher.publish(&Publish::new("again/x", "x").qos(2, 1));
                assert_eq!(wire.expect_message("x").qos, qos, "3.8.4-3: {filter}");
            }
            wire.expect_alive();
            wire.leave();
        }
    }
}

#[test]
fn overlapping_filters_bring_the_message_at_the_highest_qos() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut wire = Wire::clean(broker.mqtt, version, "overlap");
        wire.subscribe(&[("o/x", 0), ("o/+", 2), ("o/#", 1)]);
        let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
        publisher.publish(&Publish::new("o/x", "x").qos(2, 1));
        publisher.publish(&Publish::new("o/x", "end").qos(2, 1));
        let mut qos = Vec::new();
        // One copy for all filters, or one for each (3.3.4-2, 3.3.4-3).
        loop {
            let message = wire.expect_publish();
            wire.complete(&message);
            match message.text().as_str() {
                "end" if message.qos == 2 => break,
                "end" => {}
                _ => qos.push(message.qos),
            }
        }
        assert!((1..=3).contains(&qos.len()), "{version:?}: {qos:?}");
        assert!(qos.contains(&2), "3.3.4-2, {version:?}: {qos:?}");
        wire.vanish();
    }
}

#[test]
fn every_subscription_identifier_that_matches_is_told() {
    let broker = Broker::start(|_| {});
    let mut wire = Wire::clean(broker.mqtt, V5, "identified");
    wire.try_subscribe(&[identifier(1)], &[("i/x", 1)]);
    wire.try_subscribe(&[identifier(200)], &[("i/+", 1)]);
    wire.try_subscribe(&[identifier(268_435_455)], &[("i/#", 1)]);
    wire.subscribe(&[("+/x", 1), ("identified/end", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    publisher.publish(&Publish::new("i/x", "x").qos(1, 1));
    // All copies together tell all identifiers (3.3.4-3, 3.3.4-4, 3.3.4-5).
    let mut told = Vec::new();
    while told.len() < 3 {
        let message = wire.expect_publish();
        wire.complete(&message);
        assert_eq!(message.text(), "x");
        told.extend(identifiers(&message));
    }
    told.sort_unstable();
    assert_eq!(told, [1, 200, 268_435_455]);
}

#[test]
fn a_message_for_an_exact_and_a_wildcard_filter_has_the_identifiers_of_both() {
    let broker = Broker::start(|_| {});
    let mut wire = Wire::clean(broker.mqtt, V5, "two");
    wire.try_subscribe(&[identifier(11)], &[("two/x", 0)]);
    wire.try_subscribe(&[identifier(22)], &[("two/#", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    publisher.push(&Publish::new("two/x", "x"));
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(identifiers(&wire.expect_message("x")));
    }
    told.sort_unstable();
    assert_eq!(told, [11, 22]);
    publisher.push(&Publish::new("two/y", "y"));
    assert_eq!(identifiers(&wire.expect_message("y")), [22]);
}

#[test]
fn subscribing_again_replaces_the_subscription_identifier() {
    let broker = Broker::start(|_| {});
    for filter in ["replace/x", "replace/+"] {
        let mut wire = Wire::clean(broker.mqtt, V5, "replace");
        let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
        for (properties, wanted) in [(vec![identifier(5)], vec![5]), (vec![identifier(6)], vec![6]), (vec![], vec![])] {
            wire.try_subscribe(&properties, &[(filter, 0)]);
            publisher.push(&Publish::new("replace/x", "x"));
            assert_eq!(identifiers(&wire.expect_message("x")), wanted, "{filter}");
        }
        wire.leave();
    }
}

#[test]
fn retained_messages_carry_the_subscription_identifier() {
    let broker = Broker::start(|_| {});
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    publisher.publish(&Publish::new("kept/x", "x").qos(1, 1).retain());
    for filter in ["kept/x", "kept/+"] {
        let mut wire = Wire::clean(broker.mqtt, V5, "finder");
        wire.try_subscribe(&[identifier(42)], &[(filter, 1)]);
        assert_eq!(identifiers(&wire.expect_message("x")), [42], "{filter}");
    }
}

#[test]
fn subscription_identifiers_survive_a_reconnect() {
    let broker = Broker::start(|_| {});
    let connect = Connect::persistent(V5, "keeps-id");
    let mut wire = Wire::connect(broker.mqtt, &connect);
    wire.try_subscribe(&[identifier(7)], &[("keeps/+", 1)]);
    wire.leave();
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    publisher.publish(&Publish::new("keeps/x", "queued").qos(1, 1));
    let mut wire = Wire::connect(broker.mqtt, &connect);
    assert_eq!(identifiers(&wire.expect_message("queued")), [7]);
    publisher.publish(&Publish::new("keeps/x", "live").qos(1, 1));
    assert_eq!(identifiers(&wire.expect_message("live")), [7]);
}

#[test]
fn no_local_keeps_own_messages_away_and_no_others() {
    let broker = Broker::start(|_| {});
    let mut other = Wire::clean(broker.mqtt, V311, "other");
    for filter in ["local/x", "local/+"] {
        let mut wire = Wire::clean(broker.mqtt, V5, "own");
        wire.subscribe(&[(filter, 1 | NO_LOCAL)]);
        wire.publish(&Publish::new("local/x", "own").qos(1, 1));
        other.publish(&Publish::new("local/x", "other").qos(1, 1));
        wire.expect_message("other");
        wire.expect_alive();
    }
}

#[test]
fn no_local_holds_for_one_subscription_only() {
    let broker = Broker::start(|_| {});
    let mut wire = Wire::clean(broker.mqtt, V5, "own");
    wire.subscribe(&[("one/x", NO_LOCAL), ("one/+", 0)]);
    wire.push(&Publish::new("one/x", "own"));
    wire.push(&Publish::new("one/x", "end"));
    assert_eq!(receive_until_end(&mut wire).len(), 1, "through the other subscription");
}

#[test]
fn two_hundred_filters_in_one_subscribe_all_work() {
    let broker = Broker::start(|_| {});
    let names: Vec<String> =
        (0..200).map(|number| format!("bulk/{number}{}", if number % 2 == 0 { "" } else { "/+" })).collect();
    let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 0)).collect();
    let mut wire = Wire::clean(broker.mqtt, V311, "bulk");
    wire.subscribe(&filters);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for name in &names {
        let topic = name.replace('+', "x");
        publisher.push(&Publish::new(&topic, &topic));
        wire.expect_message(&topic);
    }
    wire.unsubscribe(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(matches!(
        {
            wire.send(&crate::common::PINGREQ);
            wire.next()
        },
        Answer::Pingresp
    ));
}

/// MQTT-4.6.0-6 asks for it within a topic; a backend relies on it across topics: the reply to a start comes before the
/// first progress.
#[test]
fn a_publishers_messages_keep_their_order_across_topics() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("order/#", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for number in 1..=300_u16 {
        publisher.push(&Publish::new(&format!("order/{}", number % 7), number.to_string()).qos(1, number));
    }
    for number in 1..=300 {
        let message = subscriber.expect_message(&number.to_string());
        subscriber.complete(&message);
    }
}
