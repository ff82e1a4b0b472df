//! What is on its way: windows, packet identifiers, acknowledgements in any order, redelivery.

use std::collections::HashSet;
use std::time::Duration;

use crate::common::packet::Version;
use crate::common::property::{MAXIMUM_PACKET_SIZE, RECEIVE_MAXIMUM, find};
use crate::common::{
    Answer, Broker, Connect, Puback, Pubcomp, Publish, Pubrec, Pubrel, V5, V311, Value, Wait, Wire, ack,
};

/// Publishes `payloads` one after the other to `topic` at this QoS.
fn publish_all(broker: &Broker, topic: &str, qos: u8, payloads: &[&str]) {
    let mut publisher = Wire::clean(broker.mqtt, V311, "publisher");
    for payload in payloads {
        publisher.publish(&Publish::new(topic, payload).qos(qos, 1));
    }
}

/// Receives that many messages without acknowledging any.
#[track_caller]
fn receive(wire: &mut Wire, count: usize) -> Vec<Publish> {
    (0..count).map(|_| wire.expect_publish()).collect()
}

fn texts(messages: &[Publish]) -> Vec<String> {
    messages.iter().map(Publish::text).collect()
}

#[test]
fn acknowledgements_may_come_in_any_order() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        for (kind, qos) in [(Puback, 1), (Pubrec, 2)] {
            let mut subscriber = Wire::clean(broker.mqtt, version, "any-order");
            subscriber.subscribe(&[("any/+", qos)]);
            publish_all(&broker, "any/x", qos, &["1", "2", "3", "4"]);
            let messages = receive(&mut subscriber, 4);
            assert_eq!(texts(&messages), ["1", "2", "3", "4"]);
            for at in [3, 1, 0, 2] {
                let pid = messages[at].pid;
                subscriber.send(&ack(kind, pid));
                if qos == 2 {
                    subscriber.expect_ack(Pubrel, pid);
                    subscriber.send(&ack(Pubcomp, pid));
                }
            }
            publish_all(&broker, "any/x", qos, &["5"]);
            subscriber.expect_message("5");
            subscriber.expect_alive();
        }
    }
}

#[test]
fn packet_identifiers_in_flight_are_distinct() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::subscriber(broker.mqtt, "distinct", &[("distinct", 2)]);
    for qos in [1, 2, 1, 2, 1, 2] {
        publish_all(&broker, "distinct", qos, &["x"]);
    }
    let messages = receive(&mut subscriber, 6);
    let pids: HashSet<u16> = messages.iter().map(|message| message.pid).collect();
    assert_eq!(pids.len(), 6, "2.2.1-4: {messages:?}");
}

#[test]
fn unacknowledged_messages_come_again_with_dup_and_their_identifiers_in_order() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        for qos in [1, 2] {
            let connect = Connect::persistent(version, &format!("again-{version:?}-{qos}"));
            let mut subscriber = Wire::connect(broker.mqtt, &connect);
            subscriber.subscribe(&[("again", qos)]);
            publish_all(&broker, "again", qos, &["1", "2", "3"]);
            let first = receive(&mut subscriber, 3);
            subscriber.vanish();
            let (mut subscriber, present) = Wire::resume(broker.mqtt, &connect);
            assert!(present);
            let second = receive(&mut subscriber, 3);
            for (old, new) in first.iter().zip(&second) {
                assert!(new.dup, "3.3.1-1: {new:?}");
                assert_eq!((new.pid, new.qos, new.text()), (old.pid, qos, old.text()), "4.4.0-1");
            }
            for message in &second {
                subscriber.complete(message);
            }
            subscriber.expect_alive();
            subscriber.leave();
        }
    }
}

#[test]
fn acknowledged_messages_do_not_come_again() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        let connect = Connect::persistent(version, &format!("not-again-{version:?}"));
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.subscribe(&[("not-again", 1)]);
        publish_all(&broker, "not-again", 1, &["1", "2", "3"]);
        let messages = receive(&mut subscriber, 3);
        subscriber.send(&ack(Puback, messages[1].pid));
        subscriber.leave();
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.expect_message("1");
        subscriber.expect_message("3");
        subscriber.expect_alive();
        subscriber.leave();
    }
}

#[test]
fn pubrel_comes_again_after_a_reconnect_and_the_message_does_not() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        let connect = Connect::persistent(version, &format!("rel-{version:?}"));
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.subscribe(&[("rel", 2)]);
        publish_all(&broker, "rel", 2, &["1"]);
        let message = subscriber.expect_publish();
        subscriber.send(&ack(Pubrec, message.pid));
        subscriber.expect_ack(Pubrel, message.pid);
        subscriber.vanish();
        let mut subscriber = Wire::connect(broker.mqtt, &connect);
        subscriber.expect_ack(Pubrel, message.pid);
        subscriber.send(&ack(Pubcomp, message.pid));
        publish_all(&broker, "rel", 2, &["2"]);
        subscriber.expect_message("2");
        subscriber.leave();
        Wire::connect(broker.mqtt, &connect).expect_alive();
    }
}

#[test]
fn a_taken_over_session_goes_on_with_its_messages() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        let connect = Connect::persistent(version, &format!("over-{version:?}"));
        let mut first = Wire::connect(broker.mqtt, &connect);
        first.subscribe(&[("over", 1)]);
        publish_all(&broker, "over", 1, &["1", "2"]);
        let unacknowledged = receive(&mut first, 2);
        let (mut second, present) = Wire::resume(broker.mqtt, &connect);
        assert!(present);
        let again = receive(&mut second, 2);
        assert_eq!(texts(&again), texts(&unacknowledged));
        assert!(again.iter().all(|message| message.dup));
        first.expect_closed();
    }
}

/// Receives until nothing comes for a while; the window must not let more than `limit` pass.
#[track_caller]
fn receive_window(wire: &mut Wire, limit: usize) -> Vec<Publish> {
    let mut window = receive(wire, limit);
    // PINGRESP comes through the same connection: what is not there by then was held back.
    wire.send(&crate::common::PINGREQ);
    loop {
        match wire.next() {
            Answer::Pingresp => break,
            Answer::Publish(message) => window.push(message),
            other => panic!("{other:?} came"),
        }
    }
    assert_eq!(window.len(), limit, "messages in flight: {:?}", texts(&window));
    window
}

#[test]
fn the_receive_maximum_of_the_client_is_obeyed() {
    let broker = Broker::start(|_| {});
    for (topic, filter) in [("window", "window"), ("window/1", "window/+")] {
        for qos in [1, 2] {
            let connect = Connect::new(V5, "window").property((RECEIVE_MAXIMUM, Value::Two(2)));
            let mut subscriber = Wire::connect(broker.mqtt, &connect);
            subscriber.subscribe(&[(filter, qos)]);
            publish_all(&broker, topic, qos, &["1", "2", "3", "4", "5"]);
            let window = receive_window(&mut subscriber, 2);
            assert_eq!(texts(&window), ["1", "2"], "3.3.4-9");
            // QoS 0 does not count against the window (3.3.4-10), and may overtake.
            publish_all(&broker, topic, 0, &["free"]);
            subscriber.expect_message("free");
            subscriber.complete(&window[1]);
            let third = subscriber.expect_message("3");
            assert!(third.pid != window[0].pid);
            for payload in ["4", "5"] {
                subscriber.expect_message(payload);
            }
            subscriber.complete(&window[0]);
            subscriber.expect_alive();
        }
    }
}

#[test]
fn pubrec_with_an_error_frees_the_window() {
    let broker = Broker::start(|_| {});
    let connect = Connect::new(V5, "error").property((RECEIVE_MAXIMUM, Value::Two(1)));
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("error", 2)]);
    publish_all(&broker, "error", 2, &["1", "2"]);
    let message = subscriber.expect_publish();
    let mut refusal = vec![0x50, 3];
    refusal.extend(message.pid.to_be_bytes());
    refusal.push(0x97);
    subscriber.send(&refusal);
    subscriber.expect_message("2");
}

#[test]
fn the_window_towards_a_3_1_1_client_is_bounded_and_moves_on() {
    let broker = Broker::start(|settings| settings.limits.inflight = 10);
    let mut subscriber = Wire::subscriber(broker.mqtt, "bounded", &[("bounded", 1)]);
    let payloads: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    publish_all(&broker, "bounded", 1, &payloads);
    let window = receive_window(&mut subscriber, 10);
    for message in &window {
        subscriber.complete(message);
    }
    for payload in &payloads[10..] {
        subscriber.expect_message(payload);
    }
}

#[test]
fn a_client_that_exceeds_the_servers_receive_maximum_is_told_so() {
    let broker = Broker::start(|settings| settings.limits.receive_maximum = 5);
    let (mut wire, connack) = Wire::try_connect(broker.mqtt, &Connect::new(V5, "greedy"));
    let told = find(&connack.properties, RECEIVE_MAXIMUM);
    assert_eq!(told, Some(&Value::Two(5)), "3.2.2.3.3");
    let burst: Vec<u8> = (1..=6).flat_map(|pid| Publish::new("greedy", "x").qos(2, pid).bytes(V5)).collect();
    wire.send(&burst);
    loop {
        match wire.next_or_close() {
            Some(Answer::Ack(Pubrec, ..)) => {}
            Some(Answer::Disconnect(code, _)) => {
                assert_eq!(code, 0x93, "3.3.4-8");
                break;
            }
            other => panic!("DISCONNECT 0x93 expected, {other:?} came"),
        }
    }
    assert_eq!(wire.expect_closed(), None);
}

#[test]
fn a_client_within_the_servers_receive_maximum_may_publish_for_ever() {
    let broker = Broker::start(|settings| settings.limits.receive_maximum = 2);
    let mut wire = Wire::clean(broker.mqtt, V5, "modest");
    for _ in 0..50 {
        for pid in [1, 2] {
            wire.push(&Publish::new("modest", "x").qos(1, pid));
        }
        for pid in [1, 2] {
            wire.expect_ack(Puback, pid);
        }
    }
}

#[test]
fn a_message_that_is_too_large_for_the_client_is_left_out() {
    let broker = Broker::start(|_| {});
    for (topic, filter) in [("size", "size"), ("size/1", "size/+")] {
        for qos in 0..=2 {
            let connect = Connect::new(V5, "small").property((MAXIMUM_PACKET_SIZE, Value::Four(100)));
            let mut subscriber = Wire::connect(broker.mqtt, &connect);
            subscriber.subscribe(&[(filter, qos)]);
            let large = "x".repeat(200);
            publish_all(&broker, topic, qos, &["before", &large, "after"]);
            subscriber.expect_message("before");
            subscriber.expect_message("after");
            subscriber.expect_alive();
        }
    }
}

#[test]
fn a_message_of_exactly_the_clients_maximum_is_sent() {
    let broker = Broker::start(|_| {});
    let connect = Connect::new(V5, "exact-size").property((MAXIMUM_PACKET_SIZE, Value::Four(100)));
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("s", 1)]);
    // 2 bytes of header, 3 of topic, 2 of identifier, 1 of property length.
    for (length, fits) in [(92, true), (93, false)] {
        let payload = "x".repeat(length);
        publish_all(&broker, "s", 1, &[&payload, "end"]);
        if fits {
            subscriber.expect_message(&payload);
        }
        subscriber.expect_message("end");
    }
}

#[test]
fn an_unacknowledged_message_does_not_come_again_while_the_connection_lasts() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        let mut subscriber = Wire::clean(broker.mqtt, version, "patient");
        subscriber.subscribe(&[("patient", 1)]);
        publish_all(&broker, "patient", 1, &["1"]);
        let message = subscriber.expect_publish();
        // MQTT 5, 4.4.0-1 forbids it; 3.1.1 leaves it open.
        match subscriber.wait(Duration::from_millis(500)) {
            Wait::Nothing => {}
            other => panic!("{other:?} came"),
        }
        subscriber.send(&ack(Puback, message.pid));
        subscriber.expect_alive();
    }
}

/// QoS 2 both ways at once on one connection, with the same packet identifier in both directions.
#[test]
fn identifiers_of_both_directions_do_not_meet() {
    fn run(broker: &Broker, version: Version) {
        let mut wire = Wire::clean(broker.mqtt, version, "both");
        wire.subscribe(&[("both", 2)]);
        publish_all(broker, "both", 2, &["in"]);
        let message = wire.expect_publish();
        wire.push(&Publish::new("other", "out").qos(2, message.pid));
        wire.expect_ack(Pubrec, message.pid);
        wire.send(&ack(Pubrec, message.pid));
        wire.expect_ack(Pubrel, message.pid);
        wire.send(&ack(Pubrel, message.pid));
        wire.expect_ack(Pubcomp, message.pid);
        wire.send(&ack(Pubcomp, message.pid));
        wire.expect_alive();
    }
    let broker = Broker::start(|_| {});
    run(&broker, V311);
    run(&broker, V5);
}
