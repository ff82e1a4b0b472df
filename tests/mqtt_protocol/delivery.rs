//! QoS 0, 1 and 2 from publisher to subscriber.

use crate::common::{
    Answer, Broker, Connect, PINGREQ, Puback, Pubcomp, Publish, Pubrec, Pubrel, V5, V311, VERSIONS, Wire, ack,
};

#[test]
fn every_version_reaches_every_version_at_every_qos() {
    let broker = Broker::start(|_| {});
    for from in VERSIONS {
        for to in VERSIONS {
            let mut publisher = Wire::clean(broker.mqtt, from, "from");
            let mut subscriber = Wire::clean(broker.mqtt, to, "to");
            subscriber.subscribe(&[("every/exact", 2), ("every/+/wild", 2)]);
            for topic in ["every/exact", "every/one/wild"] {
                for qos in 0..=2 {
                    publisher.publish(&Publish::new(topic, "x").qos(qos, 9));
                    let message = subscriber.expect_message("x");
                    let which = format!("{from:?} to {to:?}, {topic} at {qos}");
                    assert_eq!((message.topic.as_str(), message.qos), (topic, qos), "{which}");
                    assert!(!message.retain && !message.dup, "{which}");
                }
            }
        }
    }
}

#[test]
fn the_delivered_qos_is_the_lower_of_the_two() {
    let broker = Broker::start(|_| {});
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    for (name, granted) in [("g0", 0), ("g1", 1), ("g2", 2)] {
        let (exact, wild) = (format!("{name}/x"), format!("{name}/+/x"));
        let mut subscriber = Wire::clean(broker.mqtt, V311, name);
        subscriber.subscribe(&[(&exact, granted), (&wild, granted)]);
        for topic in [exact, format!("{name}/y/x")] {
            for qos in 0..=2 {
                publisher.publish(&Publish::new(&topic, "x").qos(qos, 1));
                let message = subscriber.expect_message("x");
                assert_eq!(message.qos, qos.min(granted), "3.8.4-8: {topic}");
            }
        }
    }
}

#[test]
fn an_empty_payload_is_a_message() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("empty", 2), ("e/#", 2)]);
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    for topic in ["empty", "e/m"] {
        for qos in 0..=2 {
            publisher.publish(&Publish::new(topic, "").qos(qos, 1));
            assert_eq!(subscriber.expect_message("").qos, qos);
        }
    }
}

#[test]
fn messages_of_one_publisher_on_one_topic_keep_their_order() {
    let broker = Broker::start(|_| {});
    for (topic, filter) in [("order/exact", "order/exact"), ("order/wild/x", "order/+/x")] {
        for qos in 0..=2 {
            let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[(filter, qos)]);
            let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
            let mut bytes = Vec::new();
            for number in 1..=200_u16 {
                let message = Publish::new(topic, number.to_string()).qos(qos, number);
                bytes.extend(message.bytes(V311));
                if qos == 2 {
                    bytes.extend(ack(Pubrel, number));
                }
            }
            publisher.send(&bytes);
            for number in 1..=200 {
                subscriber.expect_in_order(qos, &number.to_string());
            }
        }
    }
}

impl Wire {
    /// The next message, while PUBRELs of earlier ones may come in between.
    #[track_caller]
    fn expect_in_order(&mut self, qos: u8, payload: &str) {
        loop {
            match self.next() {
                Answer::Ack(Pubrel, pid, ..) => self.send(&ack(Pubcomp, pid)),
                Answer::Publish(message) => {
                    assert_eq!((message.text().as_str(), message.qos), (payload, qos), "4.6.0-6");
                    match qos {
                        0 => {}
                        1 => self.send(&ack(Puback, message.pid)),
                        _ => self.send(&ack(Pubrec, message.pid)),
                    }
                    return;
                }
                other => panic!("message {payload} expected, {other:?} came"),
            }
        }
    }
}

#[test]
fn a_qos_2_message_that_comes_twice_before_pubrel_is_delivered_once() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("twice/#", 2)]);
        let mut publisher = Wire::clean(broker.mqtt, version, "pub");
        let message = Publish::new("twice/x", "first").qos(2, 5);
        publisher.push(&message);
        publisher.expect_ack(Pubrec, 5);
        publisher.push(&message.clone().dup());
        publisher.expect_ack(Pubrec, 5);
        publisher.send(&ack(Pubrel, 5));
        publisher.expect_ack(Pubcomp, 5);
        publisher.publish(&Publish::new("twice/x", "second").qos(2, 5));
        subscriber.expect_message("first");
        subscriber.expect_message("second");
        subscriber.expect_alive();
    }
}

#[test]
fn a_qos_2_message_that_comes_again_after_a_reconnect_is_delivered_once() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("again/#", 2)]);
        let connect = Connect::persistent(version, "pub");
        let mut publisher = Wire::connect(broker.mqtt, &connect);
        publisher.push(&Publish::new("again/x", "once").qos(2, 5));
        publisher.expect_ack(Pubrec, 5);
        publisher.vanish();
        let (mut publisher, present) = Wire::resume(broker.mqtt, &connect);
        assert!(present);
        publisher.push(&Publish::new("again/x", "once").qos(2, 5).dup());
        publisher.expect_ack(Pubrec, 5);
        publisher.send(&ack(Pubrel, 5));
        publisher.expect_ack(Pubcomp, 5);
        publisher.publish(&Publish::new("again/x", "end").qos(2, 6));
        subscriber.expect_message("once");
        subscriber.expect_message("end");
    }
}

#[test]
fn pubrel_for_an_unknown_identifier_is_completed() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut wire = Wire::clean(broker.mqtt, version, "rel");
        wire.send(&ack(Pubrel, 77));
        let code = wire.expect_ack(Pubcomp, 77);
        let wanted = if version == V5 { 0x92 } else { 0 };
        assert_eq!(code, wanted, "3.7.2.1, {version:?}");
        wire.expect_alive();
    }
}

#[test]
fn a_message_for_nobody_is_acknowledged() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut wire = Wire::clean(broker.mqtt, version, "lonely");
        for qos in [1, 2] {
            let code = wire.publish(&Publish::new("nobody/listens", "x").qos(qos, 3));
            assert!([0x00, 0x10].contains(&code), "{version:?}, {qos}: {code:#04x}");
        }
    }
}

#[test]
fn a_qos_1_identifier_may_be_used_again_at_once() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("reuse", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for number in 0..50 {
        publisher.publish(&Publish::new("reuse", number.to_string()).qos(1, 1));
    }
    for number in 0..50 {
        subscriber.expect_message(&number.to_string());
    }
}

#[test]
fn the_highest_packet_identifier_works() {
    let broker = Broker::start(|_| {});
    let mut wire = Wire::clean(broker.mqtt, V311, "high");
    wire.publish(&Publish::new("high", "1").qos(1, u16::MAX));
    wire.publish(&Publish::new("high", "2").qos(2, u16::MAX));
}

#[test]
fn a_client_gets_its_own_messages() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut wire = Wire::clean(broker.mqtt, version, "own");
        wire.subscribe(&[("own/x", 0), ("own/+/y", 0)]);
        for topic in ["own/x", "own/1/y"] {
            wire.push(&Publish::new(topic, topic));
            wire.expect_message(topic);
        }
    }
}

#[test]
fn topics_in_other_scripts_arrive() {
    let broker = Broker::start(|_| {});
    let topics = ["温度/1", "é", "/", "//", "a//b", " ", "\u{1f681}/机场", "a b/c", "/a", "a/"];
    let mut exact = Wire::clean(broker.mqtt, V311, "exact");
    for topic in topics {
        exact.subscribe(&[(topic, 1)]);
    }
    let mut all = Wire::subscriber(broker.mqtt, "all", &[("#", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    for topic in topics {
        publisher.publish(&Publish::new(topic, topic).qos(1, 1));
        assert_eq!(exact.expect_message(topic).topic, topic);
        assert_eq!(all.expect_message(topic).topic, topic);
    }
}

#[test]
fn a_hundred_subscribers_each_get_every_message() {
    let broker = Broker::start(|_| {});
    for (filter, topic) in [("fan", "fan"), ("fan/+", "fan/out")] {
        let mut subscribers: Vec<Wire> =
            (0..100).map(|number| Wire::subscriber(broker.mqtt, &format!("s{number}"), &[(filter, 1)])).collect();
        let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
        for number in 0..20 {
            publisher.publish(&Publish::new(topic, number.to_string()).qos(1, 1));
        }
        for subscriber in &mut subscribers {
            for number in 0..20 {
                subscriber.expect_message(&number.to_string());
            }
        }
    }
}

#[test]
fn who_never_stops_speaking_is_told_something_meanwhile() {
    const PINGS: usize = 60_000;
    let broker = Broker::start(|_| {});
    let mut wire = Wire::subscriber(broker.mqtt, "talker", &[("own", 0)]);
    let bytes = [Publish::new("own", "x").bytes(V311), PINGREQ.repeat(PINGS)].concat();
    wire.send(&bytes);
    let before = (0..PINGS).take_while(|_| wire.next() == Answer::Pingresp).count();
    assert!(before < PINGS / 4, "{before} answers before the message that came first");
}
