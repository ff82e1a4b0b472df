//! What one client does must not cost the others: no unbounded memory, no lost turn, no place taken for ever.

use std::time::{Duration, Instant};

use crate::common::{Answer, Broker, Connect, Publish, V5, V31, V311, Wire, eventually, metric, subscribe};

/// One SUBSCRIBE can hold tens of thousands of filters; each one costs the subscribers of all sessions something.
#[test]
fn more_filters_in_one_subscribe_than_a_session_may_have_are_refused_together() {
    let broker = Broker::start(|settings| settings.limits.subscriptions_per_session = 10);
    let mut client = Wire::clean(broker.mqtt, V5, "many");
    let began = Instant::now();
    assert_eq!(client.try_subscribe(&[], &vec![("#", 0); 50_000]), vec![0x97; 50_000]);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(client.try_subscribe(&[], &[("#", 0); 10]), [0; 10]);
}

#[test]
fn a_full_table_of_filters_refuses_new_ones_only() {
    let broker = Broker::start(|settings| settings.limits.wildcard_filters = 2);
    let mut client = Wire::clean(broker.mqtt, V5, "filters");
    assert_eq!(client.try_subscribe(&[], &[("a/+", 0), ("b/+", 0), ("c/+", 0), ("a/+", 1)]), [0, 0, 0x97, 1]);
    let mut other = Wire::clean(broker.mqtt, V5, "other");
    assert_eq!(other.try_subscribe(&[], &[("b/+", 0), ("c", 0)]), [0, 0]);
}

#[test]
fn a_full_table_of_sessions_lets_go_of_one_that_nobody_uses() {
    let broker = Broker::start(|settings| settings.limits.sessions = 3);
    for id in ["one", "two"] {
        Wire::connect(broker.mqtt, &Connect::persistent(V5, id)).leave();
    }
    let _online = Wire::clean(broker.mqtt, V5, "online");
    let _dock = Wire::clean(broker.mqtt, V5, "dock");
    eventually("the session that would have ended first is gone", || {
        metric(broker.http, "dockgate_sessions", "offline") == 1.0
    });
    assert!(!Wire::resume(broker.mqtt, &Connect::persistent(V5, "one").resuming()).1);
}

/// The broker drops the second copy of a message that an exact and a wildcard filter match. It must not wait for copies
/// that will not come.
#[test]
fn an_exact_subscription_forgets_a_wildcard_that_is_gone() {
    let broker = Broker::start(|_| {});
    let mut client = Wire::clean(broker.mqtt, V5, "both");
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for round in 0..3 {
        client.subscribe(&[("a/b", 1), ("a/#", 1)]);
        client.unsubscribe(&["a/#"]);
        for number in 0..50 {
            publisher.publish(&Publish::new("a/b", format!("{round}-{number}")).qos(1, 1));
            let message = client.expect_message(&format!("{round}-{number}"));
            client.complete(&message);
        }
        client.subscribe(&[("a/#", 1)]);
        publisher.publish(&Publish::new("a/b", "once").qos(1, 1));
        publisher.publish(&Publish::new("a/end", "end").qos(1, 1));
        for payload in ["once", "end"] {
            let message = client.expect_message(payload);
            client.complete(&message);
        }
    }
}

/// While its answers are stuck the broker does not read: that the client is silent then is not the client's fault.
#[test]
fn a_client_that_reads_slowly_is_not_taken_for_silent() {
    let broker = Broker::start(|_| {});
    let mut reader = Wire::connect(broker.mqtt, &Connect::new(V311, "slow").keep_alive(2));
    reader.subscribe(&[("big", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let payload = vec![b'x'; 3_000_000];
    for _ in 0..5 {
        publisher.push(&Publish::new("big", &payload));
    }
    publisher.expect_alive();
    // Longer than its keep-alive and a half, pinging, in which it takes a packet now and then.
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(700));
        reader.send(&[0xc0, 0]);
        // The answers to its pings come wherever the broker gets to read one.
        let message = loop {
            match reader.next() {
                Answer::Pingresp => {}
                answer => break answer,
            }
        };
        assert!(matches!(message, Answer::Publish(publish) if publish.payload.len() == payload.len()));
    }
}

/// MQTT-4.8.2-5: the member may have taken delivery of it already.
#[test]
fn a_qos_2_message_that_one_member_has_got_is_not_given_to_another() {
    let broker = Broker::start(|_| {});
    let mut first = Wire::subscriber(broker.mqtt, "first", &[("$share/g/t", 2)]);
    Wire::clean(broker.mqtt, V311, "pub").publish(&Publish::new("t", "once").qos(2, 1));
    first.expect_message("once");
    let mut second = Wire::subscriber(broker.mqtt, "second", &[("$share/g/t", 2)]);
    first.vanish();
    eventually("the first has gone", || metric(broker.http, "dockgate_connections", "3.1.1") <= 1.0);
    Wire::clean(broker.mqtt, V311, "pub2").publish(&Publish::new("t", "next").qos(2, 1));
    second.expect_message("next");
}

/// MQTT 3.1, 2.1: SUBSCRIBE, UNSUBSCRIBE and PUBREL may be sent again with DUP; later versions reserve the bit.
#[test]
fn mqtt_3_1_may_repeat_a_subscribe_with_dup() {
    let broker = Broker::start(|_| {});
    let mut client = Wire::clean(broker.mqtt, V31, "old");
    let mut again = subscribe(V31, 7, &[], &[("a", 1)]);
    again[0] |= 0b1000;
    client.send(&again);
    assert!(matches!(client.next(), Answer::Suback(7, codes) if codes == [1]));
}

/// A will is the client's own message, and it comes after those that the client has sent before.
#[test]
fn a_will_comes_last() {
    let broker = Broker::start(|_| {});
    let mut watcher = Wire::subscriber(broker.mqtt, "watch", &[("status/#", 1)]);
    for round in 0..10 {
        let mut dock = Wire::connect(broker.mqtt, &Connect::new(V311, "dock").will("status/dock", "offline"));
        for number in 0..50 {
            dock.publish(&Publish::new("status/dock", format!("{round}-{number}")).qos(1, 1));
        }
        dock.vanish();
        for number in 0..50 {
            watcher.expect_message(&format!("{round}-{number}"));
        }
        watcher.expect_message("offline");
    }
}

/// Nobody knows them yet: what they send of a CONNECT must not fill the memory, nor keep others out.
#[test]
fn half_a_large_connect_is_not_read_of_everybody_at_once() {
    const HALF: usize = 900_000;
    let broker = Broker::start(|settings| settings.limits.connect_timeout = Duration::from_secs(600));
    let received = || metric(broker.http, "dockgate_network_bytes_received_total", "");
    let half = [&[0x10, 0xf0, 0xff, 0x3f][..], &Connect::new(V311, "large").bytes()[2..], &[0; HALF]].concat();
    let silent: Vec<_> = (0..40)
        .map(|_| {
            let mut socket = std::net::TcpStream::connect(broker.mqtt).expect("the broker accepts");
            socket.set_nonblocking(true).expect("a socket can do that");
            // As much as the system takes.
            let _would_block = std::io::Write::write(&mut socket, &half);
            socket
        })
        .collect();
    eventually("some of it is read", || received() >= 16.0 * 100_000.0);
    Wire::clean(broker.mqtt, V5, "small").expect_alive();
    assert!(received() < 17.0 * HALF as f64, "of 40 times {HALF} bytes {} are read", received());
    drop(silent);
    let mut large = Connect::new(V5, "large").login("user", &"x".repeat(60_000));
    large = large.will("t", &"y".repeat(60_000));
    Wire::connect(broker.mqtt, &large).expect_alive();
}

/// The store may get other ones while the client is away; then its session alone would keep them in memory.
#[test]
fn retained_messages_wait_for_an_absent_client_only_as_its_queue_would() {
    const SIZE: usize = 100_000;
    let broker = Broker::start(|settings| {
        settings.limits.max_packet_size = 200_000;
        settings.limits.queue_bytes = 2_000_000;
    });
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let mut fill = |topics: std::ops::Range<u16>| {
        for topic in topics {
            publisher.publish(&Publish::new(&format!("r/{topic}"), [b'x'; SIZE]).qos(1, 1).retain());
        }
    };
    let go = |id: &str| {
        let mut client = Wire::connect(broker.mqtt, &Connect::persistent(V311, id));
        client.send(&subscribe(V311, 7, &[], &[("r/+", 1)]));
        assert!(matches!(client.next(), Answer::Suback(..)));
        client.vanish();
        eventually("it has gone", || metric(broker.http, "dockgate_connections", "3.1.1") == 1.0);
    };
    // Within the bounds they wait.
    fill(0..10);
    go("few");
    assert_eq!(metric(broker.http, "dockgate_limit_hits_total", "queue_bytes"), 0.0);
    let (mut few, present) = Wire::resume(broker.mqtt, &Connect::persistent(V311, "few").resuming());
    assert!(present);
    for _ in 0..10 {
        assert!(few.expect_publish().retain);
    }
    few.leave();
    // Beyond them they do not.
    fill(10..100);
    go("many");
    eventually("they are dropped", || metric(broker.http, "dockgate_limit_hits_total", "limit=\"queue_bytes\"") >= 1.0);
}
