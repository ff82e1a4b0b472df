//! Topics, filters, groups, retained messages.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::common::packet::{NO_LOCAL, RETAIN_AS_PUBLISHED, RETAIN_NEVER};
use crate::common::property::{CONTENT_TYPE, TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, find, session_expiry, text, user};
use crate::common::{Answer, BrokerProcess, Connect, Publish, V5, V311, Value, Wire};
use crate::expect_sound;

#[test]
fn a_topic_that_does_not_begin_with_ascii_is_routed() {
    let mut broker = BrokerProcess::start(&[]);
    let mut wild = Wire::subscriber(broker.mqtt, "wild", &[("#", 1)]);
    let mut level = Wire::subscriber(broker.mqtt, "level", &[("温度/+", 1), ("+/度", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    for topic in ["温度/1", "é", "\u{1f681}/x", "温度", "湿/度"] {
        publisher.publish(&Publish::new(topic, topic).qos(1, 1));
        assert_eq!(wild.expect_message(topic).topic, topic);
        publisher.publish(&Publish::new(topic, "").qos(1, 1).retain());
        wild.expect_message("");
    }
    level.expect_message("温度/1");
    expect_sound(&mut broker);
}

#[test]
fn the_only_member_of_a_shared_group_may_leave_with_unacknowledged_messages() {
    let mut broker = BrokerProcess::start(&[]);
    let connect = Connect::persistent(V5, "member");
    for (number, filter) in ["$share/g/only/x", "$share/g/only/+", "$share/g/#"].iter().enumerate() {
        let mut member = Wire::connect(broker.mqtt, &connect);
        member.subscribe(&[(filter, 1)]);
        let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
        for pid in 1..=20 {
            publisher.publish(&Publish::new("only/x", format!("{number}-{pid}")).qos(1, pid));
        }
        for _ in 0..20 {
            member.expect_publish();
        }
        member.vanish();
        publisher.publish(&Publish::new("only/x", format!("{number}-offline")).qos(1, 21));
        let mut member = Wire::connect(broker.mqtt, &connect);
        let mut came = HashSet::new();
        while came.len() < 21 {
            let message = member.expect_publish();
            member.complete(&message);
            assert!(came.insert(message.text()), "{} came twice", message.text());
        }
        member.unsubscribe(&[filter]);
        member.leave();
    }
    expect_sound(&mut broker);
}

#[test]
fn two_filters_in_one_group_are_each_complete() {
    let mut broker = BrokerProcess::start(&[]);
    let filters = [("$share/g/up/+/osd", 1), ("$share/g/up/+/events", 1)];
    let mut one = Wire::subscriber(broker.mqtt, "one", &filters);
    let mut two = Wire::subscriber(broker.mqtt, "two", &filters);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let mut sent = HashSet::new();
    for number in 0..30_u16 {
        for kind in ["osd", "events"] {
            let text = format!("{kind}-{number}");
            publisher.publish(&Publish::new(&format!("up/1/{kind}"), &text).qos(1, 1));
            sent.insert(text);
        }
    }
    let mut came = HashSet::new();
    let until = Instant::now() + crate::common::DEADLINE;
    while came.len() < sent.len() {
        assert!(Instant::now() < until, "lost: {:?}", sent.difference(&came));
        for member in [&mut one, &mut two] {
            if let crate::common::Wait::Answer(Answer::Publish(message)) = member.wait(Duration::from_millis(5)) {
                member.complete(&message);
                assert!(came.insert(message.text()), "{} came twice", message.text());
            }
        }
    }
    expect_sound(&mut broker);
}

#[test]
fn wildcard_subscribers_see_the_right_topic_with_and_without_aliases() {
    let mut broker = BrokerProcess::start(&[]);
    let connect = Connect::new(V5, "sub").property((TOPIC_ALIAS_MAXIMUM, Value::Two(10)));
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("alias/#", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    let mut aliases: HashMap<u16, String> = HashMap::new();
    for round in 0..3 {
        for number in 1..=5_u16 {
            let topic = format!("alias/{number}");
            let name = if round == 0 { topic.as_str() } else { "" };
            let alias = (TOPIC_ALIAS, Value::Two(number));
            publisher.publish(&Publish::new(name, &topic).qos(1, 1).property(alias));
            let message = subscriber.expect_message(&topic);
            let seen = match find(&message.properties, TOPIC_ALIAS) {
                Some(Value::Two(alias)) if message.topic.is_empty() => aliases[alias].clone(),
                Some(Value::Two(alias)) => {
                    aliases.insert(*alias, message.topic.clone());
                    message.topic
                }
                _ => message.topic,
            };
            assert_eq!(seen, topic);
        }
    }
    expect_sound(&mut broker);
}

#[test]
fn messages_and_wills_with_properties_reach_3_1_1_subscribers() {
    let mut broker = BrokerProcess::start(&[]);
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("props/x", 1), ("props/+/w", 1)]);
    let properties = vec![text(CONTENT_TYPE, "text/plain"), user("a", "b")];
    let will =
        Connect::new(V5, "will").will("props/the/w", "will").change_will(|will| will.properties = properties.clone());
    Wire::connect(broker.mqtt, &will).vanish();
    subscriber.expect_message("will");
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    let mut message = Publish::new("props/x", "message").qos(1, 1).retain();
    message.properties = properties;
    publisher.publish(&message);
    subscriber.expect_message("message");
    Wire::subscriber(broker.mqtt, "late", &[("props/#", 1)]).expect_message("message");
    expect_sound(&mut broker);
}

#[test]
fn the_retained_store_keeps_resends_and_counts_beyond_200() {
    let mut broker = BrokerProcess::start(&[]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for number in 0..300_u16 {
        let topic = format!("kept/{number}");
        publisher.publish(&Publish::new(&topic, "x").qos(1, 1).retain());
        publisher.publish(&Publish::new(&topic, "").qos(1, 1));
    }
    let mut subscriber = Wire::clean(broker.mqtt, V311, "sub");
    for qos in [1, 0] {
        subscriber.subscribe(&[("kept/+", qos)]);
        let topics: HashSet<String> = (0..300)
            .map(|_| {
                let message = subscriber.expect_message("x");
                assert_eq!((message.qos, message.retain), (qos, true));
                message.topic
            })
            .collect();
        assert_eq!(topics.len(), 300);
    }
    expect_sound(&mut broker);
}

#[test]
fn every_unsubscribe_has_one_unsuback() {
    let mut broker = BrokerProcess::start(&[]);
    for version in [V311, V5] {
        let mut wire = Wire::clean(broker.mqtt, version, "unsub");
        wire.unsubscribe(&["never/was"]);
        wire.subscribe(&[("a/+", 0), ("b", 0)]);
        wire.unsubscribe(&["a/+", "b"]);
        wire.unsubscribe(&["a/+", "never/was", "b"]);
        wire.expect_alive();
    }
    expect_sound(&mut broker);
}

#[test]
fn subscribing_to_a_dollar_topic_does_not_disconnect() {
    let mut broker = BrokerProcess::start(&[]);
    for version in [V311, V5] {
        for filter in ["$SYS/#", "$SYS/broker/uptime", "$test/+", "$"] {
            let mut wire = Wire::clean(broker.mqtt, version, "dollar");
            assert_eq!(wire.try_subscribe(&[], &[(filter, 0)]).len(), 1);
            wire.send(&crate::common::PINGREQ);
            while wire.next() != Answer::Pingresp {}
        }
    }
    expect_sound(&mut broker);
}

#[test]
fn subscription_options_and_session_expiry_are_obeyed() {
    let mut broker = BrokerProcess::start(&[]);
    let connect = Connect::new(V5, "options").property(session_expiry(60));
    let mut wire = Wire::connect(broker.mqtt, &connect);
    let mut other = Wire::clean(broker.mqtt, V5, "other");
    other.publish(&Publish::new("o/x", "kept").qos(1, 1).retain());
    wire.subscribe(&[("o/+", 1 | NO_LOCAL | RETAIN_AS_PUBLISHED | RETAIN_NEVER)]);
    wire.publish(&Publish::new("o/x", "own").qos(1, 1));
    other.publish(&Publish::new("o/x", "other").qos(1, 1).retain());
    assert!(wire.expect_message("other").retain);
    wire.leave();
    let (_, present) = Wire::resume(broker.mqtt, &connect.clone().resuming());
    assert!(present);
    expect_sound(&mut broker);
}

#[test]
fn what_is_not_valid_does_not_pass() {
    let mut broker = BrokerProcess::start(&[]);
    let wrong: [&[u8]; 7] = [
        b"\x30\x05\x00\x02a+x",                           // PUBLISH to a+
        b"\x30\x05\x00\x02#bx",                           // PUBLISH to #b
        b"\x30\x06\x00\x03a\0bx",                         // PUBLISH to a U+0000 b
        b"\x60\x02\x00\x01",                              // PUBREL without its flags
        b"\x80\x06\x00\x01\x00\x01a\x00",                 // SUBSCRIBE without its flags
        b"\x82\x06\x00\x01\x00\x01a\x04",                 // SUBSCRIBE with reserved bits
        b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c", // a second CONNECT
    ];
    let mut witness = Wire::subscriber(broker.mqtt, "witness", &[("#", 0)]);
    for bytes in wrong {
        let mut wire = Wire::clean(broker.mqtt, V311, "wrong");
        wire.send_to_closing(bytes);
        wire.expect_closed();
    }
    Wire::clean(broker.mqtt, V311, "end").push(&Publish::new("end", "end"));
    witness.expect_message("end");
    expect_sound(&mut broker);
}
