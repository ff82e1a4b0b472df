//! Readers that are slow or do not read at all, and writers that are fast.

use std::time::Duration;

use crate::common::{Broker, BrokerProcess, Connect, Puback, Publish, V5, V311, Wire, eventually, metric};

const MIB: usize = 1 << 20;

#[test]
fn a_subscriber_that_never_reads_holds_up_nobody() {
    let broker = Broker::start(|_| {});
    for (topic, filter) in [("flood", "flood"), ("flood/x", "flood/#")] {
        let _stalled = Wire::subscriber(broker.mqtt, "stalled", &[(filter, 0)]);
        let mut reader = Wire::subscriber(broker.mqtt, "reader", &[(filter, 1), ("end", 1)]);
        let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
        let payload = vec![b'x'; 10_000];
        for round in 0..40 {
            for _ in 0..100 {
                publisher.push(&Publish::new(topic, &payload));
            }
            publisher.publish(&Publish::new("end", round.to_string()).qos(1, 1));
            let (mut flood, mut end) = (0, false);
            while !(end && flood == 100) {
                let message = reader.expect_publish();
                reader.complete(&message);
                match message.payload.len() {
                    10_000 => flood += 1,
                    _ => end = true,
                }
            }
        }
    }
}

#[test]
fn drops_for_a_subscriber_that_never_reads_are_counted() {
    let broker = Broker::start(|settings| settings.limits.queue_messages = 100);
    for (topic, filter) in [("count", "count"), ("count/x", "count/#")] {
        let _stalled = Wire::subscriber(broker.mqtt, "stalled", &[(filter, 0)]);
        let before = metric(broker.http, "dockgate_dropped_total", "");
        let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
        let payload = vec![b'x'; 64 * 1024];
        for _ in 0..600 {
            publisher.push(&Publish::new(topic, &payload));
        }
        publisher.expect_alive();
        eventually("drops are counted", || metric(broker.http, "dockgate_dropped_total", "") > before);
    }
}

#[test]
fn memory_stays_bounded_under_a_flood_that_nobody_reads() {
    let broker = BrokerProcess::start(&[]);
    let _stalled: Vec<Wire> = (0..4)
        .map(|number| {
            let filter = if number % 2 == 0 { "mem/x" } else { "mem/#" };
            Wire::subscriber(broker.mqtt, &format!("stalled-{number}"), &[(filter, 0)])
        })
        .collect();
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let payload = vec![b'x'; 64 * 1024];
    for _ in 0..(400 * MIB / payload.len()) {
        publisher.push(&Publish::new("mem/x", &payload));
    }
    publisher.expect_alive();
    // Each session may queue 16 MiB by default; a broker that keeps all holds 400 MiB or more.
    if let Some(resident) = broker.resident_kib() {
        assert!(resident < 250 * 1024, "{resident} KiB resident");
    }
}

/// Each connection has its own copy of what it writes; what waits in the queues is shared.
#[test]
fn a_large_message_is_not_copied_for_all_who_do_not_read_it_at_once() {
    const READERS: usize = 60;
    let broker = BrokerProcess::start(&[("DOCKGATE_LIMITS__QUEUE_BYTES_TOTAL", "64 MiB")]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let mut honest = Wire::subscriber(broker.mqtt, "honest", &[("big", 0), ("small", 0)]);
    let large = |number: u8| vec![b'0' + number; 4 * MIB - 100];
    publisher.push(&Publish::new("big", large(0)));
    assert!(honest.expect_publish().payload == large(0));

    let stalled: Vec<Wire> =
        (0..READERS).map(|number| Wire::subscriber(broker.mqtt, &format!("stalled-{number}"), &[("big", 0)])).collect();
    for number in 1..5 {
        // In this order: while a large one waits and the account of all queues is full, what comes next may be dropped.
        publisher.push(&Publish::new("small", number.to_string()));
        publisher.push(&Publish::new("big", large(number)));
        honest.expect_message(&number.to_string());
        assert!(honest.expect_publish().payload == large(number), "whole and in order");
    }
    // All copies are 240 MiB.
    if let Some(resident) = broker.resident_kib() {
        assert!(resident < 160 * 1024, "{resident} KiB resident");
    }
    // Who begins to read makes room for the next.
    let readers = stalled.into_iter().map(|mut reader| {
        let expected = large(1);
        std::thread::spawn(move || assert!(reader.expect_publish().payload == expected))
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.join().expect("each gets its message");
    }
}

#[test]
fn a_socket_that_takes_nothing_is_closed_at_the_write_timeout() {
    let broker = Broker::start(|settings| {
        settings.limits.write_timeout = Duration::from_millis(500);
    });
    let stalled = Wire::subscriber(broker.mqtt, "stalled", &[("stuck", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let payload = vec![b'x'; 64 * 1024];
    eventually("the connection is closed", || {
        publisher.push(&Publish::new("stuck", &payload));
        metric(broker.http, "dockgate_connections", "") < 1.5
    });
    drop(stalled);
}

#[test]
fn acknowledged_messages_reach_a_slow_reader_all_the_same() {
    let broker = Broker::start(|_| {});
    for (topic, filter) in [("slow", "slow"), ("slow/x", "slow/#")] {
        let mut slow = Wire::subscriber(broker.mqtt, "slow", &[(filter, 1)]);
        let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
        for pid in 1..=3000 {
            publisher.push(&Publish::new(topic, format!("{pid:01000}")).qos(1, pid));
        }
        for pid in 1..=3000 {
            publisher.expect_ack(Puback, pid);
        }
        for pid in 1..=3000 {
            slow.expect_message(&format!("{pid:01000}"));
        }
    }
}

/// 30 MB at QoS 1 overran the log of a router in an earlier design and lost a sixth of them.
#[test]
fn a_burst_at_qos_1_to_a_reader_arrives_whole() {
    let broker = Broker::start(|_| {});
    let reader = Wire::subscriber(broker.mqtt, "reader", &[("burst/#", 1)]);
    let address = broker.mqtt;
    let writer = std::thread::spawn(move || {
        let mut publisher = Wire::clean(address, V311, "pub");
        let payload = vec![b'x'; 1_000_000];
        for pid in 1..=30_u16 {
            publisher.push(&Publish::new("burst/x", &payload[pid.into()..]).qos(1, pid));
        }
        for pid in 1..=30 {
            publisher.expect_ack(Puback, pid);
        }
    });
    let mut reader = reader;
    for pid in 1..=30_u16 {
        let message = reader.expect_publish();
        reader.complete(&message);
        assert_eq!(message.payload.len(), 1_000_000 - usize::from(pid), "in order and whole");
    }
    writer.join().unwrap();
}

#[test]
fn metrics_and_health_answer_during_a_flood() {
    let broker = Broker::start(|_| {});
    let _stalled = Wire::subscriber(broker.mqtt, "stalled", &[("busy/#", 0)]);
    let mut publisher = Wire::connect(broker.mqtt, &Connect::new(V5, "pub"));
    let payload = vec![b'x'; 1000];
    for _ in 0..20 {
        for _ in 0..500 {
            publisher.push(&Publish::new("busy/x", &payload));
        }
        crate::common::get(broker.http, "/healthz");
        crate::common::get(broker.http, "/metrics");
    }
}

/// Five thousand messages through a queue of a hundred: the publisher must wait, as what is acknowledged is not lost.
#[test]
fn a_fast_publisher_at_qos_1_is_slowed_down_instead_of_losing_messages() {
    let broker = Broker::start(|settings| {
        settings.limits.queue_messages = 100;
        settings.limits.inflight = 10;
    });
    for (topic, filter) in [("fast", "fast"), ("fast/x", "fast/+")] {
        let mut reader = Wire::subscriber(broker.mqtt, "reader", &[(filter, 1)]);
        let address = broker.mqtt;
        let writer = std::thread::spawn(move || {
            let mut publisher = Wire::clean(address, V311, "pub");
            for pid in 1..=5000 {
                publisher.push(&Publish::new(topic, pid.to_string()).qos(1, pid));
            }
            for pid in 1..=5000 {
                publisher.expect_ack(Puback, pid);
            }
        });
        for number in 1..=5000 {
            reader.expect_message(&number.to_string());
        }
        writer.join().expect("all are acknowledged");
    }
}
