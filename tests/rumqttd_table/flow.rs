//! QoS, acknowledgements, windows.

use crate::common::property::RECEIVE_MAXIMUM;
use crate::common::{
    Answer, BrokerProcess, Connect, Puback, Pubcomp, Publish, Pubrec, Pubrel, V5, V311, Value, Wire, ack,
};
use crate::{expect_sound, reset};

#[test]
fn a_subscriber_may_leave_with_hundreds_of_messages_pending() {
    let mut broker = BrokerProcess::start(&[]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let burst: Vec<u8> = (0..500).flat_map(|_| Publish::new("pending/x", [b'x'; 200]).bytes(V311)).collect();
    for round in 0..40 {
        let filter = if round % 2 == 0 { "pending/#" } else { "pending/x" };
        let subscriber = Wire::subscriber(broker.mqtt, &format!("leaves-{}", round % 3), &[(filter, 0)]);
        publisher.send(&burst);
        match round % 4 {
            0 | 1 => subscriber.vanish(),
            _ => reset(&subscriber.stream),
        }
    }
    publisher.expect_alive();
    expect_sound(&mut broker);
}

#[test]
fn delivered_qos_is_the_minimum() {
    let mut broker = BrokerProcess::start(&[]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for filter in ["min/x", "min/+"] {
        for granted in 0..=2 {
            let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[(filter, granted)]);
            for qos in 0..=2 {
                publisher.publish(&Publish::new("min/x", "x").qos(qos, 1));
                assert_eq!(subscriber.expect_message("x").qos, qos.min(granted), "{filter}");
            }
        }
    }
    expect_sound(&mut broker);
}

#[test]
fn acknowledgements_out_of_order_do_not_disconnect() {
    let mut broker = BrokerProcess::start(&[]);
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("ooo/+", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for pid in 1..=5 {
        publisher.publish(&Publish::new("ooo/x", "x").qos(1, pid));
    }
    let messages: Vec<Publish> = (0..5).map(|_| subscriber.expect_publish()).collect();
    for message in messages.iter().rev() {
        subscriber.send(&ack(Puback, message.pid));
    }
    subscriber.expect_alive();
    expect_sound(&mut broker);
}

#[test]
fn qos_0_does_not_wait_for_a_full_window() {
    let mut broker = BrokerProcess::start(&[]);
    let connect = Connect::new(V5, "sub").property((RECEIVE_MAXIMUM, Value::Two(1)));
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("free/+", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    publisher.publish(&Publish::new("free/x", "1").qos(1, 1));
    publisher.publish(&Publish::new("free/x", "2").qos(1, 2));
    publisher.push(&Publish::new("free/x", "0"));
    let first = subscriber.expect_publish();
    assert_eq!(first.text(), "1");
    subscriber.expect_message("0");
    subscriber.complete(&first);
    subscriber.expect_message("2");
    expect_sound(&mut broker);
}

#[test]
fn pubrel_releases_the_message_that_it_names_and_survives_a_reconnect() {
    let mut broker = BrokerProcess::start(&[]);
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("rel/+", 1)]);
    let connect = Connect::persistent(V311, "pub");
    let mut publisher = Wire::connect(broker.mqtt, &connect);
    for pid in [10, 20, 30] {
        publisher.push(&Publish::new("rel/x", pid.to_string()).qos(2, pid));
        publisher.expect_ack(Pubrec, pid);
    }
    publisher.send(&ack(Pubrel, 20));
    publisher.expect_ack(Pubcomp, 20);
    publisher.vanish();
    let (mut publisher, present) = Wire::resume(broker.mqtt, &connect);
    assert!(present);
    // 30 comes again and must not be new; 20 is free again and must be.
    publisher.push(&Publish::new("rel/x", "30").qos(2, 30).dup());
    publisher.expect_ack(Pubrec, 30);
    for pid in [30, 10] {
        publisher.send(&ack(Pubrel, pid));
        publisher.expect_ack(Pubcomp, pid);
    }
    publisher.publish(&Publish::new("rel/x", "new").qos(2, 20));
    publisher.publish(&Publish::new("rel/x", "end").qos(1, 1));
    let mut came = Vec::new();
    while came.last().is_none_or(|text| text != "end") {
        let message = subscriber.expect_publish();
        subscriber.complete(&message);
        came.push(message.text());
    }
    came.sort_unstable();
    assert_eq!(came, ["10", "20", "30", "end", "new"]);
    expect_sound(&mut broker);
}

#[test]
fn qos_2_towards_a_subscriber_survives_its_reconnect() {
    let mut broker = BrokerProcess::start(&[]);
    let connect = Connect::persistent(V5, "sub");
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    subscriber.subscribe(&[("two/+", 2)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for pid in 1..=2 {
        publisher.publish(&Publish::new("two/x", pid.to_string()).qos(2, pid));
    }
    let first = subscriber.expect_publish();
    let second = subscriber.expect_publish();
    subscriber.send(&ack(Pubrec, second.pid));
    subscriber.expect_ack(Pubrel, second.pid);
    subscriber.vanish();
    let mut subscriber = Wire::connect(broker.mqtt, &connect);
    let mut came = [subscriber.next(), subscriber.next()];
    came.sort_by_key(|answer| matches!(answer, Answer::Ack(..)));
    assert!(matches!(&came[0], Answer::Publish(again) if again.dup && again.pid == first.pid), "{came:?}");
    assert!(matches!(came[1], Answer::Ack(Pubrel, pid, ..) if pid == second.pid), "{came:?}");
    subscriber.send(&ack(Pubcomp, second.pid));
    subscriber.complete(&first);
    expect_sound(&mut broker);
}
