//! Every limit: what is over it gets its reason code, and is counted under the name of its setting.

use std::time::{Duration, Instant};

use super::common::property::{TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, user};
use super::common::{
    Answer, Broker, Connect, Publish, V5, V311, Value, Wire, eventually, metric, other_broker, subscribe,
};
use dockgate::config::Settings;

#[track_caller]
fn expect_hit(broker: &Broker, limit: &str) {
    let label = format!("limit=\"{limit}\"");
    eventually(limit, || metric(broker.http, "dockgate_limit_hits_total", &label) >= 1.0);
}

#[test]
fn a_publish_over_a_limit_ends_the_connection_with_the_reason() {
    let broker = Broker::start(|settings| {
        settings.limits.topic_length = 64;
        settings.limits.topic_levels = 6;
        settings.limits.user_properties = 2;
        settings.limits.max_packet_size = 1000;
        settings.limits.topic_alias_maximum = 3;
    });
    let many = (0..3).fold(Publish::new("t", "x"), |publish, _| publish.property(user("a", "b")));
    for (publish, code, limit) in [
        (Publish::new(&"x".repeat(65), "x"), 0x90, "topic_length"),
        (Publish::new("1/2/3/4/5/6/7", "x"), 0x90, "topic_levels"),
        (many, 0x95, "user_properties"),
        (Publish::new("t", [0; 1000]), 0x95, "max_packet_size"),
        (Publish::new("t", "x").property((TOPIC_ALIAS, Value::Two(4))), 0x94, "topic_alias_maximum"),
    ] {
        let mut client = Wire::clean(broker.mqtt, V5, "over");
        client.push(&publish);
        assert_eq!(client.expect_closed(), Some(code), "{limit}");
        expect_hit(&broker, limit);
    }
}

#[test]
fn connect_says_which_limit_it_was() {
    let broker = Broker::start(|settings| {
        settings.limits.client_id_length = 23;
        settings.limits.connections = 1;
        settings.limits.topic_levels = 6;
    });
    let code = |connect: &Connect| Wire::try_connect(broker.mqtt, connect).1.code;
    assert_eq!(code(&Connect::new(V5, &"x".repeat(24))), 0x85);
    expect_hit(&broker, "client_id_length");
    assert_eq!(code(&Connect::new(V5, "x").will("1/2/3/4/5/6/7", "x")), 0x90);
    expect_hit(&broker, "topic_levels");
    let _one = Wire::clean(broker.mqtt, V5, "one");
    eventually("its place was taken", || code(&Connect::new(V5, "two")) == 0x89);
    expect_hit(&broker, "connections");
}

#[test]
fn a_full_table_of_sessions_is_counted() {
    let broker = Broker::start(|settings| settings.limits.sessions = 1);
    let _one = Wire::clean(broker.mqtt, V5, "one");
    assert_eq!(Wire::try_connect(broker.mqtt, &Connect::new(V5, "two")).1.code, 0x89);
    assert_eq!(Wire::try_connect(broker.mqtt, &Connect::new(V311, "two")).1.code, 3);
    expect_hit(&broker, "sessions");
}

#[test]
fn subscriptions_over_a_limit_are_refused_filter_by_filter() {
    let broker = Broker::start(|settings| {
        settings.limits.subscriptions_per_session = 2;
        settings.limits.wildcard_filters = 1;
        settings.limits.topic_length = 64;
        settings.limits.topic_levels = 5;
    });
    let mut client = Wire::clean(broker.mqtt, V5, "x");
    assert_eq!(client.try_subscribe(&[], &[("a/#", 0), ("b/#", 0)]), [0, 0x97]);
    expect_hit(&broker, "wildcard_filters");
    assert_eq!(client.try_subscribe(&[], &[("c", 0), ("d", 0)]), [0, 0x97]);
    expect_hit(&broker, "subscriptions_per_session");
    assert_eq!(client.try_subscribe(&[], &[(&"x".repeat(65), 0), ("1/2/3/4/5/6", 0)]), [0x8f, 0x8f]);
    expect_hit(&broker, "topic_length");
    expect_hit(&broker, "topic_levels");
}

#[test]
fn a_full_retained_store_keeps_what_it_has_and_says_so() {
    let broker = Broker::start(|settings| {
        settings.limits.retained_messages = 1;
        settings.limits.max_packet_size = 4096;
        settings.limits.retained_bytes = 8192;
    });
    let mut client = Wire::clean(broker.mqtt, V5, "x");
    assert_eq!(client.publish(&Publish::new("a", "kept").qos(1, 1).retain()), 0x10);
    assert_eq!(client.publish(&Publish::new("b", "not").qos(1, 1).retain()), 0x97);
    expect_hit(&broker, "retained_messages");
    let deep = "a/".repeat(25);
    assert_eq!(client.publish(&Publish::new(&deep, "not").qos(1, 1).retain()), 0x97);
    client.subscribe(&[("#", 0)]);
    assert_eq!(client.expect_publish().text(), "kept");
    client.expect_alive();
}

fn offline_subscriber(broker: &Broker, id: &str) {
    let mut client = Wire::connect(broker.mqtt, &Connect::persistent(V311, id));
    client.subscribe(&[("queued", 1)]);
    client.leave();
}

#[test]
fn the_queue_of_one_session_is_bounded_in_messages_and_in_bytes() {
    for (change, limit) in [
        ((|settings| settings.limits.queue_messages = 5) as fn(&mut Settings), "queue_messages"),
        (
            |settings| {
                settings.limits.queue_bytes = 10_000;
                settings.limits.max_packet_size = 8_000;
            },
            "queue_bytes",
        ),
    ] {
        let broker = Broker::start(change);
        offline_subscriber(&broker, "away");
        let mut publisher = Wire::clean(broker.mqtt, V311, "p");
        for _ in 0..10 {
            publisher.publish(&Publish::new("queued", [b'x'; 2000]).qos(1, 1));
        }
        expect_hit(&broker, limit);
    }
}

/// Thousands of sessions that nobody comes back to may each keep to their bound; together they must, too.
#[test]
fn all_queues_together_are_bounded_and_who_is_connected_is_served_all_the_same() {
    let broker = Broker::start(|settings| {
        settings.limits.queue_bytes_total = 1 << 20;
        settings.limits.queue_bytes = 1 << 20;
        settings.limits.max_packet_size = 1 << 20;
    });
    for number in 0..20 {
        offline_subscriber(&broker, &format!("away-{number}"));
    }
    let mut here = Wire::subscriber(broker.mqtt, "here", &[("queued", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "p");
    for number in 0..40 {
        let mut payload = format!("{number}-").into_bytes();
        payload.resize(10_000, b'x');
        publisher.publish(&Publish::new("queued", payload).qos(1, 1));
        let message = here.expect_publish();
        assert!(message.text().starts_with(&format!("{number}-")));
        here.complete(&message);
    }
    expect_hit(&broker, "queue_bytes_total");
    if other_broker().is_none() {
        eventually("the gauge shows the bound", || {
            let queued = metric(broker.http, "dockgate_queued_bytes", "");
            (0.75e6..1.2e6).contains(&queued)
        });
    }
}

#[test]
fn a_client_that_is_too_fast_is_read_more_slowly_and_loses_nothing() {
    for (change, limit) in [
        ((|settings| settings.limits.messages_per_second = 50) as fn(&mut Settings), "messages_per_second"),
        (|settings| settings.limits.bytes_per_second = 4_000, "bytes_per_second"),
    ] {
        let broker = Broker::start(change);
        let mut reader = Wire::subscriber(broker.mqtt, "reader", &[("fast", 0)]);
        let mut fast = Wire::clean(broker.mqtt, V311, "fast");
        let burst: Vec<u8> = (0..100).flat_map(|n| Publish::new("fast", format!("{n:060}")).bytes(V311)).collect();
        fast.send(&burst);
        for number in 0..100 {
            assert_eq!(reader.expect_publish().text(), format!("{number:060}"));
        }
        expect_hit(&broker, limit);
        // Its own answers wait, too; it is not disconnected.
        fast.expect_alive();
    }
}

/// Hundreds of small packets come in one read.
#[test]
fn a_burst_in_one_segment_is_no_way_around_the_rate_and_its_wait_is_no_silence() {
    let broker = Broker::start(|settings| settings.limits.messages_per_second = 20);
    let mut reader = Wire::subscriber(broker.mqtt, "reader", &[("fast", 0)]);
    let mut burst = Connect::new(V311, "fast").keep_alive(1).bytes();
    burst.extend((10..100).flat_map(|n| Publish::new("fast", n.to_string()).bytes(V311)));
    let mut fast = Wire::open(broker.mqtt, V311);
    let began = Instant::now();
    fast.send(&burst);
    for number in 10..100 {
        assert_eq!(reader.expect_publish().text(), number.to_string());
        if number == 50 {
            assert!(began.elapsed() > Duration::from_millis(900), "a second's worth, and then no more than the rate");
        }
    }
    assert!(matches!(fast.next(), Answer::Connack(_)));
    fast.expect_alive();
}

#[test]
fn connack_tells_an_mqtt_5_client_the_limits_that_are_its_business() {
    let broker = Broker::start(|settings| settings.limits.topic_alias_maximum = 7);
    let (mut client, connack) = Wire::try_connect(broker.mqtt, &Connect::new(V5, "x"));
    assert!(connack.properties.contains(&(TOPIC_ALIAS_MAXIMUM, Value::Two(7))), "{connack:?}");
    client.send(&subscribe(V5, 9, &[], &[("a", 0)]));
    assert_eq!(client.next(), Answer::Suback(9, vec![0]));
}

/// Sessions that somebody leaves behind to fill the memory must not cost an absent dock its messages.
#[test]
fn a_few_full_queues_leave_room_for_what_little_others_get() {
    let broker = Broker::start(|settings| {
        settings.limits.queue_bytes_total = 1 << 20;
        settings.limits.queue_bytes = 1 << 20;
        settings.limits.max_packet_size = 1 << 20;
    });
    for (id, filter) in [("greedy", "much"), ("dock", "little")] {
        let mut client = Wire::connect(broker.mqtt, &Connect::persistent(V311, id));
        client.subscribe(&[(filter, 1)]);
        client.leave();
    }
    let mut publisher = Wire::clean(broker.mqtt, V311, "p");
    for _ in 0..110 {
        publisher.publish(&Publish::new("much", [b'x'; 10_000]).qos(1, 1));
    }
    expect_hit(&broker, "queue_bytes_total");
    publisher.publish(&Publish::new("little", "all the same").qos(1, 1));
    let (mut dock, _) = Wire::resume(broker.mqtt, &Connect::persistent(V311, "dock").resuming());
    assert_eq!(dock.expect_publish().text(), "all the same");
}
