//! Exchanges of QoS 1 and 2 that the crash finds half-way.

use crate::common::{Connect, Puback, Pubcomp, Publish, Pubrec, Pubrel, V5, V311, VERSIONS, Wire, ack};
use crate::ground::Ground;

/// Versions with sessions that are resumed and say so.
const RESUMING: [crate::common::Version; 2] = [V311, V5];

#[test]
fn a_release_after_the_crash_completes_what_came_before_it() {
    let mut ground = Ground::new();
    for version in RESUMING {
        let listener = Connect::persistent(V5, "listener");
        let mut subscriber = Wire::connect(ground.mqtt(), &listener);
        subscriber.subscribe(&[("twice/+", 2)]);
        subscriber.leave();
        let connect = Connect::persistent(version, "publisher");
        let mut publisher = Wire::connect(ground.mqtt(), &connect);
        let message = Publish::new("twice/x", "once").qos(2, 9);
        publisher.push(&message);
        assert_eq!(publisher.expect_ack(Pubrec, 9), 0);
        ground.crash();
        // PUBREC may have been lost: the message comes again, and is the same.
        let (mut publisher, present) = Wire::resume(ground.mqtt(), &connect);
        assert!(present);
        publisher.push(&message.clone().dup());
        assert_eq!(publisher.expect_ack(Pubrec, 9), 0);
        ground.crash();
        let (mut publisher, present) = Wire::resume(ground.mqtt(), &connect);
        assert!(present);
        publisher.send(&ack(Pubrel, 9));
        assert_eq!(publisher.expect_ack(Pubcomp, 9), 0);
        ground.crash();
        // PUBCOMP has been said: the identifier is free for another message.
        let (mut publisher, present) = Wire::resume(ground.mqtt(), &connect);
        assert!(present);
        publisher.publish(&Publish::new("twice/x", "next").qos(2, 9));
        let mut subscriber = Wire::connect(ground.mqtt(), &listener);
        subscriber.expect_message("once");
        subscriber.expect_message("next");
        subscriber.expect_alive();
        subscriber.unsubscribe(&["twice/+"]);
        subscriber.leave();
    }
}

#[test]
fn a_message_that_was_sent_is_sent_again_under_its_identifier() {
    let mut ground = Ground::new();
    for version in RESUMING {
        let connect = Connect::persistent(version, "slow");
        let mut subscriber = Wire::connect(ground.mqtt(), &connect);
        subscriber.subscribe(&[("sent", 2)]);
        for (payload, qos) in [("a", 2), ("b", 1), ("c", 2)] {
            ground.publish(&Publish::new("sent", payload).qos(qos, 1));
        }
        let sent: Vec<_> = (0..3).map(|_| subscriber.expect_publish()).collect();
        subscriber.leave();
        ground.commit();
        ground.crash();
        let (mut subscriber, present) = Wire::resume(ground.mqtt(), &connect);
        assert!(present);
        let again: Vec<_> = (0..3).map(|_| subscriber.expect_publish()).collect();
        for qos in [1, 2] {
            let of = |messages: &[Publish]| {
                let messages = messages.iter().filter(|message| message.qos == qos);
                messages.map(|message| (message.text(), message.pid)).collect::<Vec<_>>()
            };
            assert_eq!(of(&again), of(&sent), "{version:?}");
        }
        assert!(again.iter().all(|message| message.dup), "{again:?}");
        for message in &again {
            subscriber.complete(message);
        }
        subscriber.expect_alive();
        ground.commit();
        ground.crash();
        let (mut subscriber, _) = Wire::resume(ground.mqtt(), &connect);
        subscriber.expect_alive();
        subscriber.unsubscribe(&["sent"]);
        subscriber.leave();
    }
}

/// The session is connected when the broker is killed, so that nobody could note what was on its way.
#[test]
fn a_message_on_its_way_when_the_broker_is_killed_comes_again_and_says_so() {
    let mut ground = Ground::new();
    for version in RESUMING {
        let connect = Connect::persistent(version, "online");
        let mut subscriber = Wire::connect(ground.mqtt(), &connect);
        subscriber.subscribe(&[("way/+", 2)]);
        ground.publish(&Publish::new("way/x", "1").qos(1, 1));
        ground.publish(&Publish::new("way/x", "2").qos(2, 1));
        let (one, two) = (subscriber.expect_publish(), subscriber.expect_publish());
        assert_eq!((one.qos, two.qos), (1, 2));
        ground.crash();
        let (mut subscriber, present) = Wire::resume(ground.mqtt(), &connect);
        assert!(present);
        let mut again = [subscriber.expect_publish(), subscriber.expect_publish()];
        again.sort_by_key(|message| message.qos);
        assert_eq!(again.each_ref().map(Publish::text), ["1", "2"]);
        assert!(again.iter().all(|message| message.dup), "{again:?}");
        assert_eq!(again[1].pid, two.pid, "or the client takes it for another");
        again.iter().for_each(|message| subscriber.complete(message));
        subscriber.unsubscribe(&["way/+"]);
        subscriber.leave();
    }
}

#[test]
fn a_message_that_the_client_has_is_only_released() {
    let mut ground = Ground::new();
    for version in RESUMING {
        let connect = Connect::persistent(version, "has");
        let mut subscriber = Wire::connect(ground.mqtt(), &connect);
        subscriber.subscribe(&[("has", 2)]);
        ground.publish(&Publish::new("has", "x").qos(2, 1));
        let message = subscriber.expect_publish();
        subscriber.send(&ack(Pubrec, message.pid));
        assert_eq!(subscriber.expect_ack(Pubrel, message.pid), 0);
        ground.crash();
        let (mut subscriber, present) = Wire::resume(ground.mqtt(), &connect);
        assert!(present);
        assert_eq!(subscriber.expect_ack(Pubrel, message.pid), 0);
        subscriber.send(&ack(Pubcomp, message.pid));
        subscriber.expect_alive();
        ground.publish(&Publish::new("has", "y").qos(2, 1));
        subscriber.expect_message("y");
        subscriber.unsubscribe(&["has"]);
        subscriber.leave();
    }
}

#[test]
fn acknowledgements_keep_the_order_of_the_publishes() {
    let ground = Ground::new();
    for version in VERSIONS {
        let offline = Connect::persistent(V5, &format!("waits-{version:?}"));
        let mut subscriber = Wire::connect(ground.mqtt(), &offline);
        subscriber.subscribe(&[("kept", 1)]);
        subscriber.leave();
        let mut publisher = Wire::clean(ground.mqtt(), version, "mixed");
        let mut packets = Vec::new();
        for pid in 1..=200 {
            let topic = if pid % 3 == 0 { "kept" } else { "nobody" };
            packets.extend(Publish::new(topic, "x").qos(1, pid).bytes(version));
            if pid % 50 == 0 {
                publisher.send(&packets);
                packets.clear();
            }
        }
        for pid in 1..=200 {
            publisher.expect_ack(Puback, pid);
        }
    }
}
