//! TCP is a stream: where a packet is cut means nothing.

use std::time::Duration;

use crate::common::{
    Answer, Broker, Connect, DISCONNECT, PINGREQ, Puback, Pubcomp, Publish, Pubrec, Pubrel, VERSIONS, Version, Wire,
    ack, subscribe, unsubscribe,
};

/// Long enough for the broker to read the first part alone, most times; the outcome does not depend on it.
const PAUSE: Duration = Duration::from_millis(2);

/// A conversation with every packet that a client can send, and what comes back.
pub(crate) fn conversation(version: Version) -> Vec<(Vec<u8>, Vec<&'static str>)> {
    let filters: &[(&str, u8)] = &[("split/x", 0), ("split/y/+", 0)];
    vec![
        (Connect::new(version, "split").will("w", "x").login("u", "p").bytes(), vec!["connack"]),
        (subscribe(version, 1, &[], filters), vec!["suback"]),
        (Publish::new("split/x", "zero").bytes(version), vec!["zero"]),
        (Publish::new("split/q", "one").qos(1, 2).bytes(version), vec!["puback"]),
        (Publish::new("split/q", "two").qos(2, 3).bytes(version), vec!["pubrec"]),
        (ack(Pubrel, 3), vec!["pubcomp"]),
        (PINGREQ.to_vec(), vec!["pingresp"]),
        (unsubscribe(version, 4, &["split/y/+", "none"]), vec!["unsuback"]),
        (DISCONNECT.to_vec(), vec![]),
    ]
}

fn kind(answer: &Answer) -> String {
    match answer {
        Answer::Connack(_) => "connack".to_owned(),
        Answer::Publish(publish) => publish.text(),
        Answer::Ack(kind, ..) => format!("{kind:?}").to_lowercase(),
        Answer::Suback(..) => "suback".to_owned(),
        Answer::Unsuback(..) => "unsuback".to_owned(),
        Answer::Pingresp => "pingresp".to_owned(),
        Answer::Disconnect(code, _) => format!("disconnect {code:#04x}"),
    }
}

#[track_caller]
fn expect(wire: &mut Wire, wanted: &[&str], when: &str) {
    for wanted in wanted {
        assert_eq!(kind(&wire.next()), *wanted, "{when}");
    }
}

/// Runs the conversation; `cut` parts packet number `which`.
fn talk(broker: &Broker, version: Version, which: usize, cut: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let mut wire = Wire::open(broker.mqtt, version);
    for (at, (bytes, wanted)) in conversation(version).iter().enumerate() {
        let parts = if at == which { cut(bytes) } else { vec![bytes.clone()] };
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                std::thread::sleep(PAUSE);
            }
            wire.send(part);
        }
        let when = format!("{version:?}, packet {at} in parts of {:?}", parts.iter().map(Vec::len));
        expect(&mut wire, wanted, &when);
    }
    assert_eq!(wire.expect_closed(), None);
}

#[test]
fn every_packet_may_be_split_at_every_byte() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        for (which, (bytes, _)) in conversation(version).iter().enumerate() {
            for offset in 1..bytes.len() {
                talk(&broker, version, which, |bytes| vec![bytes[..offset].to_vec(), bytes[offset..].to_vec()]);
            }
        }
    }
}

#[test]
fn every_packet_may_come_byte_by_byte() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        for which in 0..conversation(version).len() {
            talk(&broker, version, which, |bytes| bytes.iter().map(|byte| vec![*byte]).collect());
        }
    }
}

#[test]
fn all_packets_may_come_in_one_write() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let (mut bytes, mut wanted) = (Vec::new(), Vec::new());
        for (packet, answers) in conversation(version) {
            bytes.extend(if packet == DISCONNECT { PINGREQ.to_vec() } else { packet });
            wanted.extend(answers);
        }
        wanted.push("pingresp");
        let mut wire = Wire::open(broker.mqtt, version);
        wire.send(&bytes);
        let mut came: Vec<String> = wanted.iter().map(|_| kind(&wire.next())).collect();
        // A message and the acknowledgements around it have no order among each other.
        came.sort();
        wanted.sort_unstable();
        assert_eq!(came, wanted, "{version:?}");
    }
}

#[test]
fn a_large_message_in_small_parts_arrives_whole() {
    let broker = Broker::start(|_| {});
    let payload: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("large", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, crate::common::V5, "pub");
    for part in Publish::new("large", &payload).qos(1, 1).bytes(crate::common::V5).chunks(1460) {
        publisher.send(part);
    }
    publisher.expect_ack(Puback, 1);
    let message = subscriber.expect_publish();
    assert_eq!(message.payload.len(), payload.len());
    assert!(message.payload == payload, "the bytes are the same");
}

#[test]
fn acknowledgements_may_be_split_too() {
    let broker = Broker::start(|_| {});
    for kind in [Puback, Pubrec] {
        let qos = if kind == Puback { 1 } else { 2 };
        let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("acks", qos)]);
        let mut publisher = Wire::clean(broker.mqtt, crate::common::V311, "pub");
        publisher.publish(&Publish::new("acks", "x").qos(qos, 1));
        let message = subscriber.expect_publish();
        let mut bytes = ack(kind, message.pid);
        if qos == 2 {
            for byte in bytes {
                subscriber.send(&[byte]);
                std::thread::sleep(PAUSE);
            }
            subscriber.expect_ack(Pubrel, message.pid);
            bytes = ack(Pubcomp, message.pid);
        }
        for byte in bytes {
            subscriber.send(&[byte]);
            std::thread::sleep(PAUSE);
        }
        subscriber.expect_alive();
    }
}
