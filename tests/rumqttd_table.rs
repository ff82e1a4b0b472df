//! What rumqttd 0.20 does wrong behind its own listeners, tried on the binary: one test for each row of the table in
//! the documentation of the module `route`. After each, the process is alive and another client is served.

mod common;

use std::collections::{HashMap, HashSet};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::packet::{NO_LOCAL, RETAIN_AS_PUBLISHED, RETAIN_NEVER};
use common::property::{
    CONTENT_TYPE, RECEIVE_MAXIMUM, TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, find, session_expiry, text, user,
};
use common::{
    Answer, BrokerProcess, Connect, Puback, Pubcomp, Publish, Pubrec, Pubrel, V5, V311, Value, Wire, ack,
    eventually, get,
};

/// The process lives, routes exact and wildcard topics, and says that it is well.
#[track_caller]
fn expect_sound(broker: &mut BrokerProcess) {
    broker.expect_alive();
    let mut witness = Wire::subscriber(broker.mqtt, "sound-sub", &[("sound/x", 1), ("sound/+/y", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "sound-pub");
    for topic in ["sound/x", "sound/1/y"] {
        publisher.publish(&Publish::new(topic, topic).qos(1, 1));
        witness.expect_message(topic);
    }
    if common::other_broker().is_none() {
        eventually("it says that it is ready", || common::status(broker.http, "/readyz") == 200);
    }
    broker.expect_alive();
}

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
fn a_subscriber_may_leave_with_hundreds_of_messages_pending() {
    let mut broker = BrokerProcess::start(&[]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let burst: Vec<u8> = (0..500)
        .flat_map(|_| Publish::new("pending/x", [b'x'; 200]).bytes(V311))
        .collect();
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

/// Makes the close of this connection a TCP reset.
fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("TCP lingers");
}

#[test]
fn a_client_that_connects_as_another_leaves_stays_connected() {
    let mut broker = BrokerProcess::start(&[]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let mut stay = Vec::new();
    for number in 0..150 {
        let leaves = Wire::subscriber(broker.mqtt, &format!("leaves-{number}"), &[("slot/+", 0)]);
        if number % 2 == 0 {
            leaves.vanish();
        } else {
            let mut leaves = leaves;
            leaves.send(&common::DISCONNECT);
        }
        let filter = ("slot/+", 0);
        stay.push(Wire::subscriber(broker.mqtt, &format!("stays-{number}"), &[filter]));
    }
    publisher.push(&Publish::new("slot/x", "all"));
    for wire in &mut stay {
        wire.expect_message("all");
        wire.expect_alive();
    }
    expect_sound(&mut broker);
}

#[test]
fn messages_and_wills_with_properties_reach_3_1_1_subscribers() {
    let mut broker = BrokerProcess::start(&[]);
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("props/x", 1), ("props/+/w", 1)]);
    let properties = vec![text(CONTENT_TYPE, "text/plain"), user("a", "b")];
    let will = Connect::new(V5, "will")
        .will("props/the/w", "will")
        .change_will(|will| will.properties = properties.clone());
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
fn odd_identifiers_resets_and_a_full_house_leave_the_listener_open() {
    let mut broker = BrokerProcess::start(&[("DOCKGATE_LIMITS__CONNECTIONS", "8")]);
    for id in ["+", "$", "#", "/", "a/+/#", "$share/x/y"] {
        Wire::clean(broker.mqtt, V311, id).leave();
    }
    for cut in [0, 1, 10, 1000] {
        let wire = Wire::open(broker.mqtt, V311);
        let bytes = Connect::new(V311, "reset").bytes();
        { wire }.send_then_reset(&bytes[..cut.min(bytes.len())]);
    }
    let house: Vec<Wire> = (0..8)
        .map(|number| patient_client(&broker, &format!("guest-{number}")))
        .collect();
    if common::other_broker().is_none() {
        let mut ninth = Wire::open(broker.mqtt, V5);
        ninth.send(&Connect::new(V5, "ninth").bytes());
        match ninth.next_or_close() {
            Some(Answer::Connack(connack)) => {
                assert!([0x89, 0x97, 0x9f].contains(&connack.code), "{connack:?}");
            }
            other => panic!("CONNACK always says why, {other:?} came"),
        }
    }
    for guest in house {
        guest.leave();
    }
    eventually("there is room again", || {
        let mut wire = Wire::open(broker.mqtt, V311);
        wire.send(&Connect::new(V311, "returns").bytes());
        matches!(wire.next_or_close(), Some(Answer::Connack(connack)) if connack.code == 0)
    });
    expect_sound(&mut broker);
}

/// A client that tries again while the broker has not yet noticed that others are gone.
fn patient_client(broker: &BrokerProcess, id: &str) -> Wire {
    let mut accepted = None;
    eventually("a connection is accepted", || {
        let mut wire = Wire::open(broker.mqtt, V311);
        wire.send(&Connect::new(V311, id).bytes());
        let answer = wire.next_or_close();
        let is_in = matches!(answer, Some(Answer::Connack(connack)) if connack.code == 0);
        accepted = Some(wire);
        is_in
    });
    accepted.expect("it was accepted")
}

impl Wire {
    fn send_then_reset(mut self, bytes: &[u8]) {
        self.send(bytes);
        reset(&self.stream);
    }
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
    let until = Instant::now() + common::DEADLINE;
    while came.len() < sent.len() {
        assert!(Instant::now() < until, "lost: {:?}", sent.difference(&came));
        for member in [&mut one, &mut two] {
            if let common::Wait::Answer(Answer::Publish(message)) = member.wait(Duration::from_millis(5)) {
                member.complete(&message);
                assert!(came.insert(message.text()), "{} came twice", message.text());
            }
        }
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
            wire.send(&common::PINGREQ);
            while wire.next() != Answer::Pingresp {}
        }
    }
    expect_sound(&mut broker);
}

#[test]
fn connack_says_why() {
    let mut broker = BrokerProcess::start(&[]);
    let mut wire = Wire::open(broker.mqtt, V311);
    wire.send(b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01c");
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut wire.stream, &mut answer).ok();
    assert!(answer == [0x20, 2, 0, 1] || answer == [0x20, 3, 0, 0x84, 0], "{answer:02x?}");
    let (_, connack) = Wire::try_connect(broker.mqtt, &Connect::new(V311, "").resuming());
    assert_eq!(connack.code, 2);
    for version in [V311, V5] {
        let connect = Connect::new(version, "no-keep-alive").keep_alive(0);
        Wire::connect(broker.mqtt, &connect).expect_alive();
    }
    expect_sound(&mut broker);
}

#[test]
fn the_right_wills_fire() {
    let mut broker = BrokerProcess::start(&[]);
    let mut watcher = Wire::subscriber(broker.mqtt, "watcher", &[("will/#", 1)]);
    let connect = |will: &str| Connect::new(V5, "twin").will("will/x", will);
    let _old = Wire::connect(broker.mqtt, &connect("old"));
    let mut new = Wire::connect(broker.mqtt, &connect("new"));
    watcher.expect_message("old");
    new.send(&common::disconnect(0x04, &[]));
    watcher.expect_message("new");
    Wire::connect(broker.mqtt, &connect("none")).leave();
    expect_sound(&mut broker);
    Wire::clean(broker.mqtt, V311, "end").push(&Publish::new("will/x", "end"));
    watcher.expect_message("end");
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
        b"\x30\x05\x00\x02a+x",             // PUBLISH to a+
        b"\x30\x05\x00\x02#bx",             // PUBLISH to #b
        b"\x30\x06\x00\x03a\0bx",           // PUBLISH to a U+0000 b
        b"\x60\x02\x00\x01",                // PUBREL without its flags
        b"\x80\x06\x00\x01\x00\x01a\x00",   // SUBSCRIBE without its flags
        b"\x82\x06\x00\x01\x00\x01a\x04",   // SUBSCRIBE with reserved bits
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

#[test]
fn silent_connections_do_not_stop_others() {
    let mut broker = BrokerProcess::start(&[]);
    let silent: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(broker.mqtt).unwrap())
        .collect();
    let begin = Instant::now();
    for number in 0..50 {
        Wire::clean(broker.mqtt, V311, &format!("talks-{number}")).leave();
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    expect_sound(&mut broker);
    drop(silent);
}

#[test]
fn keep_alive_ends_while_messages_flow_out() {
    let mut broker = BrokerProcess::start(&[]);
    let connect = Connect::new(V311, "silent").keep_alive(1);
    let mut silent = Wire::connect(broker.mqtt, &connect);
    silent.subscribe(&[("flow/+", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let until = Instant::now() + common::DEADLINE;
    loop {
        assert!(Instant::now() < until, "the keep-alive does not end");
        publisher.push(&Publish::new("flow/x", "x"));
        if let common::Wait::Closed = silent.wait(Duration::from_millis(20)) {
            break;
        }
    }
    expect_sound(&mut broker);
}

#[test]
fn a_reader_that_takes_nothing_is_closed() {
    let mut broker = BrokerProcess::start(&[("DOCKGATE_LIMITS__WRITE_TIMEOUT", "500ms")]);
    if common::other_broker().is_some() {
        return;
    }
    let stalled = Wire::subscriber(broker.mqtt, "stalled", &[("stuck/#", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let payload = vec![b'x'; 64 * 1024];
    eventually("the stalled reader is closed", || {
        publisher.push(&Publish::new("stuck/x", &payload));
        common::metric(broker.http, "dockgate_connections", "") < 1.5
    });
    drop(stalled);
    expect_sound(&mut broker);
}

#[test]
fn filters_that_nobody_has_any_more_hold_no_messages() {
    let mut broker = BrokerProcess::start(&[]);
    let mut subscriber = Wire::clean(broker.mqtt, V311, "sub");
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let payload = vec![b'x'; 250_000];
    let before = broker.resident_kib();
    for number in 0..100 {
        let filter = format!("dead/{number}/#");
        subscriber.subscribe(&[(&filter, 1)]);
        let topic = format!("dead/{number}/x");
        for pid in 1..=4 {
            publisher.publish(&Publish::new(&topic, &payload).qos(1, pid));
            let message = subscriber.expect_publish();
            subscriber.complete(&message);
        }
        subscriber.unsubscribe(&[&filter]);
    }
    if let (Some(before), Some(after)) = (before, broker.resident_kib()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 50 * 1024, "{grown} KiB more after 100 MB went through dead filters");
    }
    expect_sound(&mut broker);
}

#[test]
fn topics_and_client_identifiers_are_not_kept_for_ever() {
    let mut broker = BrokerProcess::start(&[]);
    let _wild = Wire::subscriber(broker.mqtt, "wild", &[("never/+/matches", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for number in 0..300 {
        Wire::clean(broker.mqtt, V311, &format!("id-{number}")).leave();
    }
    let before = broker.resident_kib();
    let padding = "x".repeat(500);
    for number in 0..20_000 {
        publisher.push(&Publish::new(&format!("topic/{number}/{padding}"), "x"));
    }
    publisher.expect_alive();
    for number in 0..1_000 {
        Wire::clean(broker.mqtt, V311, &format!("other-{number}-{}", &padding[..200])).leave();
    }
    if let (Some(before), Some(after)) = (before, broker.resident_kib()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 10 * 1024, "{grown} KiB more after 20,000 topics and 1,000 identifiers");
    }
    expect_sound(&mut broker);
}

#[test]
fn a_connection_without_wildcards_is_small() {
    let mut broker = BrokerProcess::start(&[]);
    let warm: Vec<Wire> = (0..50).map(|number| idle_dock(&broker, 1000 + number)).collect();
    let before = broker.resident_kib();
    let idle: Vec<Wire> = (0..400).map(|number| idle_dock(&broker, number)).collect();
    if let (Some(before), Some(after)) = (before, broker.resident_kib()) {
        let each = after.saturating_sub(before) / 400;
        assert!(each < 30, "{each} KiB for a connection with six exact subscriptions");
    }
    drop((warm, idle));
    expect_sound(&mut broker);
}

/// A dock with the six subscriptions that it has.
fn idle_dock(broker: &BrokerProcess, number: u32) -> Wire {
    let sn = format!("8UUXN{number:09}");
    let topics = ["services", "events_reply", "requests_reply", "property/set", "drc/down", "status_reply"]
        .map(|kind| format!("thing/product/{sn}/{kind}"));
    let filters: Vec<(&str, u8)> = topics.iter().map(|topic| (topic.as_str(), 1)).collect();
    Wire::subscriber(broker.mqtt, &sn, &filters)
}

#[test]
fn rumqttd_does_not_write_to_the_log() {
    let mut broker = BrokerProcess::start(&[("DOCKGATE_LOG__LEVEL", "debug")]);
    let mut subscriber = Wire::subscriber(broker.mqtt, "sub", &[("log/+", 1)]);
    Wire::clean(broker.mqtt, V5, "pub").publish(&Publish::new("log/x", "x").qos(1, 1));
    subscriber.expect_message("x");
    subscriber.vanish();
    expect_sound(&mut broker);
    let log = broker.log();
    assert!(!log.contains(r#""target":"rumqttd"#), "{log}");
}

#[test]
fn http_answers_while_the_router_is_saturated() {
    let mut broker = BrokerProcess::start(&[]);
    if common::other_broker().is_some() {
        return;
    }
    let _stalled = Wire::subscriber(broker.mqtt, "stalled", &[("full/#", 1)]);
    let address = broker.mqtt;
    let flood: Vec<_> = (0..4)
        .map(|number| {
            std::thread::spawn(move || {
                let mut publisher = Wire::clean(address, V311, &format!("pub-{number}"));
                let batch: Vec<u8> = (0..1000)
                    .flat_map(|_| Publish::new("full/x", [b'x'; 50]).bytes(V311))
                    .collect();
                for _ in 0..20 {
                    publisher.send(&batch);
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let begin = Instant::now();
        get(broker.http, "/healthz");
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
    for thread in flood {
        thread.join().unwrap();
    }
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
