//! CONNECT and its answer, take-over, keep-alive.

use std::time::{Duration, Instant};

use crate::common::property::{ASSIGNED_CLIENT_ID, MAXIMUM_PACKET_SIZE, SERVER_KEEP_ALIVE, find};
use crate::common::{
    Answer, Broker, Connect, Publish, V5, V31, V311, VERSIONS, Value, Version, Wait, Wire, disconnect, frame, subscribe,
};

#[test]
fn every_version_is_accepted_on_one_port() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let (mut wire, connack) = Wire::try_connect(broker.mqtt, &Connect::new(version, "one-port"));
        assert_eq!(connack.code, 0, "{version:?}");
        assert!(!connack.session_present, "{version:?}");
        wire.expect_alive();
        wire.leave();
    }
}

/// 3.1.2-2 and 3.1.1: 3.1.2-2. Which of the two forms of CONNACK is the server's choice.
fn expect_version_refused(broker: &Broker, name: &[u8], level: u8) {
    let mut body = vec![0, name.len() as u8];
    body.extend_from_slice(name);
    body.extend_from_slice(&[level, 2, 0, 60]);
    if level >= 5 {
        body.push(0);
    }
    body.extend_from_slice(b"\0\x01c");
    let mut wire = Wire::open(broker.mqtt, V311);
    wire.send(&frame(0x10, &body));
    let mut answer = Vec::new();
    wire.stream.set_read_timeout(Some(crate::common::DEADLINE)).expect("it is not zero");
    std::io::Read::read_to_end(&mut wire.stream, &mut answer).ok();
    let refusals: [&[u8]; 2] = [&[0x20, 2, 0, 1], &[0x20, 3, 0, 0x84, 0]];
    assert!(refusals.contains(&&answer[..]), "level {level} of {name:?}: {answer:02x?}");
}

#[test]
fn an_unknown_protocol_level_is_told_so_before_the_close() {
    let broker = Broker::start(|_| {});
    for level in [0, 2, 6, 7, 127] {
        expect_version_refused(&broker, b"MQTT", level);
    }
}

#[test]
fn an_empty_client_identifier_needs_a_clean_session_in_3_1_1() {
    let broker = Broker::start(|_| {});
    let (mut wire, connack) = Wire::try_connect(broker.mqtt, &Connect::new(V311, "").resuming());
    assert_eq!(connack.code, 2, "3.1.1: 3.1.3-8");
    wire.expect_closed();
    Wire::clean(broker.mqtt, V311, "").expect_alive();
}

#[test]
fn clients_with_empty_identifiers_do_not_take_each_other_over() {
    let broker = Broker::start(|_| {});
    let mut first = Wire::clean(broker.mqtt, V311, "");
    let mut second = Wire::clean(broker.mqtt, V311, "");
    first.expect_alive();
    second.expect_alive();
}

#[test]
fn an_mqtt_5_client_without_an_identifier_is_assigned_one_that_works() {
    let broker = Broker::start(|_| {});
    let (wire, connack) = Wire::try_connect(broker.mqtt, &Connect::persistent(V5, ""));
    assert_eq!(connack.code, 0);
    let Some(Value::Text(id)) = find(&connack.properties, ASSIGNED_CLIENT_ID) else {
        panic!("3.1.3-7: {connack:?}");
    };
    assert!(!id.is_empty());
    wire.leave();
    let (_, present) = Wire::resume(broker.mqtt, &Connect::persistent(V5, id));
    assert!(present, "the session has the assigned identifier");
}

#[test]
fn an_identifier_of_odd_characters_is_an_identifier() {
    let broker = Broker::start(|_| {});
    for id in ["a/b", "+", "#", "$SYS", "机场-1", "a b", "\u{1f681}", "8UUXN3A00A0199"] {
        for version in [V311, V5] {
            let mut wire = Wire::clean(broker.mqtt, version, id);
            wire.expect_alive();
        }
    }
}

#[test]
fn keep_alive_0_is_accepted_and_the_connection_stays() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let connect = Connect::new(version, "no-keep-alive").keep_alive(0);
        let (mut wire, connack) = Wire::try_connect(broker.mqtt, &connect);
        assert_eq!(connack.code, 0, "{version:?}");
        assert_eq!(find(&connack.properties, SERVER_KEEP_ALIVE), None);
        wire.expect_alive();
    }
}

#[test]
fn a_client_that_is_silent_for_one_and_a_half_keep_alives_is_closed() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        let mut wire = Wire::connect(broker.mqtt, &Connect::new(version, "quiet").keep_alive(1));
        let begin = Instant::now();
        let code = wire.expect_closed();
        let after = begin.elapsed();
        assert!(after >= Duration::from_millis(1000), "3.1.2-22: after {after:?}");
        assert!(code.is_none_or(|code| code == 0x8d), "{code:?}");
    }
}

#[test]
fn a_client_that_only_listens_is_closed_when_its_keep_alive_ends() {
    let broker = Broker::start(|_| {});
    let mut quiet = Wire::connect(broker.mqtt, &Connect::new(V311, "listener").keep_alive(1));
    quiet.subscribe(&[("talk", 0)]);
    let mut talker = Wire::clean(broker.mqtt, V311, "talker");
    let begin = Instant::now();
    let until = begin + crate::common::DEADLINE;
    loop {
        assert!(Instant::now() < until, "3.1.2-22: messages to a client are not messages from it");
        talker.push(&Publish::new("talk", "x"));
        match quiet.wait(Duration::from_millis(50)) {
            Wait::Closed => break,
            Wait::Answer(_) | Wait::Nothing => {}
        }
    }
    assert!(begin.elapsed() >= Duration::from_millis(1000));
}

#[test]
fn pings_keep_a_connection_beyond_its_keep_alive() {
    let broker = Broker::start(|_| {});
    let mut wire = Wire::connect(broker.mqtt, &Connect::new(V311, "pinging").keep_alive(1));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2500) {
        wire.expect_alive();
        std::thread::sleep(Duration::from_millis(300));
    }
    wire.expect_alive();
}

#[test]
fn a_connection_that_says_nothing_is_closed_at_the_connect_timeout() {
    let broker = Broker::start(|settings| {
        settings.limits.connect_timeout = Duration::from_millis(300);
    });
    let begin = Instant::now();
    let mut silent = Wire::open(broker.mqtt, V311);
    silent.expect_closed();
    let mut half = Wire::open(broker.mqtt, V311);
    half.send(&Connect::new(V311, "half").bytes()[..7]);
    half.expect_closed();
    assert!(begin.elapsed() >= Duration::from_millis(600));
}

#[test]
fn a_second_client_with_the_same_identifier_takes_over() {
    let broker = Broker::start(|_| {});
    for (old, new) in [(V31, V31), (V311, V311), (V5, V5), (V311, V5), (V5, V311)] {
        let mut first = Wire::clean(broker.mqtt, old, "twin");
        let mut second = Wire::clean(broker.mqtt, new, "twin");
        let code = first.expect_closed();
        assert_eq!(code, (old == V5).then_some(0x8e), "3.1.4-3: {old:?} then {new:?}");
        second.expect_alive();
        second.leave();
    }
}

#[test]
fn a_chain_of_take_overs_leaves_one_connection() {
    let broker = Broker::start(|_| {});
    let mut wires: Vec<Wire> = Vec::new();
    for _ in 0..20 {
        wires.push(Wire::connect(broker.mqtt, &Connect::persistent(V311, "many")));
    }
    let mut last = wires.pop().unwrap();
    for mut wire in wires {
        wire.expect_closed();
    }
    last.expect_alive();
}

#[test]
fn a_larger_packet_than_the_limit_is_refused() {
    let broker = Broker::start(|settings| settings.limits.max_packet_size = 1000);
    let (mut wire, connack) = Wire::try_connect(broker.mqtt, &Connect::new(V5, "large"));
    let announced = find(&connack.properties, MAXIMUM_PACKET_SIZE);
    assert_eq!(announced, Some(&Value::Four(1000)), "3.2.2.3.6");
    let topic_and_properties = 2 + 1 + 1;
    let fits = vec![b'x'; 1000 - 3 - topic_and_properties];
    wire.push(&Publish::new("a", &fits));
    wire.expect_alive();
    let mut large = Publish::new("a", [fits, vec![b'x']].concat()).bytes(V5);
    wire.send_to_closing(&std::mem::take(&mut large));
    assert_eq!(wire.expect_closed(), Some(0x95), "3.1.2-24 as the server's limit");
}

#[test]
fn a_huge_remaining_length_is_refused_before_its_bytes_come() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut wire = Wire::clean(broker.mqtt, version, "huge");
        wire.send(&[0x30, 0xff, 0xff, 0xff, 0x7f]);
        let code = wire.expect_closed();
        assert_eq!(code, (version == V5).then_some(0x95), "{version:?}");
    }
}

#[test]
fn the_server_keep_alive_rules_where_it_is_set() {
    let broker = Broker::start(|settings| settings.limits.keep_alive_max = 1);
    for keep_alive in [0, 60] {
        let connect = Connect::new(V5, "long").keep_alive(keep_alive);
        let (mut wire, connack) = Wire::try_connect(broker.mqtt, &connect);
        let told = find(&connack.properties, SERVER_KEEP_ALIVE);
        assert_eq!(told, Some(&Value::Two(1)), "3.2.2-21, asked for {keep_alive}");
        assert!(wire.expect_closed().is_none_or(|code| code == 0x8d));
    }
}

#[test]
fn packets_right_after_connect_are_served_once_it_is_accepted() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut bytes = Connect::new(version, "eager").bytes();
        bytes.extend(subscribe(version, 1, &[], &[("eager", 0)]));
        bytes.extend(Publish::new("eager", "at once").bytes(version));
        let mut wire = Wire::open(broker.mqtt, version);
        wire.send(&bytes);
        assert!(matches!(wire.next(), Answer::Connack(connack) if connack.code == 0));
        assert_eq!(wire.next(), Answer::Suback(1, vec![0]));
        wire.expect_message("at once");
    }
}

#[test]
fn packets_after_disconnect_are_not_served() {
    let broker = Broker::start(|_| {});
    let mut witness = Wire::subscriber(broker.mqtt, "witness", &[("after/#", 0)]);
    for version in VERSIONS {
        let mut wire = Wire::clean(broker.mqtt, version, "done");
        let mut bytes = vec![0xe0, 0];
        bytes.extend(Publish::new("after/disconnect", "too late").bytes(version));
        wire.send_to_closing(&bytes);
        wire.expect_closed();
    }
    Wire::clean(broker.mqtt, V311, "end").push(&Publish::new("after/disconnect", "end"));
    witness.expect_message("end");
}

#[test]
fn a_user_name_and_a_password_do_no_harm_where_anybody_may_connect() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let connect = Connect::new(version, "named").login("pilot", "secret");
        Wire::connect(broker.mqtt, &connect).expect_alive();
    }
}

#[test]
fn stopping_tells_mqtt_5_clients_and_closes_all() {
    let mut broker = Broker::start(|_| {});
    let clients = VERSIONS.map(|version| Wire::clean(broker.mqtt, version, &format!("{version:?}")));
    broker.ask_to_stop();
    for mut wire in clients {
        let told = (wire.version == V5).then_some(0x8b);
        assert_eq!(wire.expect_closed(), told, "{:?}", wire.version);
    }
    broker.expect_stopped();
}

#[test]
fn a_client_may_say_why_it_leaves() {
    let broker = Broker::start(|_| {});
    for code in [0x00, 0x04, 0x80, 0x83] {
        let mut wire = Wire::clean(broker.mqtt, V5, "leaving");
        wire.send(&disconnect(code, &[]));
        assert_eq!(wire.expect_closed(), None, "{code:#04x}");
    }
}

#[test]
fn the_answer_to_every_version_has_its_form() {
    fn raw(broker: &Broker, version: Version) -> Vec<u8> {
        let mut wire = Wire::open(broker.mqtt, version);
        wire.send(&Connect::new(version, "form").bytes());
        let mut head = [0; 4];
        std::io::Read::read_exact(&mut wire.stream, &mut head).unwrap();
        head.to_vec()
    }
    let broker = Broker::start(|_| {});
    assert_eq!(raw(&broker, V31), [0x20, 2, 0, 0]);
    assert_eq!(raw(&broker, V311), [0x20, 2, 0, 0]);
    let v5 = raw(&broker, V5);
    assert_eq!((v5[0], v5[2], v5[3]), (0x20, 0, 0), "{v5:02x?}");
}

#[test]
fn mqtt_5_allows_a_password_without_a_user_name() {
    let broker = Broker::start(|_| {});
    let mut wire = Wire::open(broker.mqtt, V5);
    wire.send(b"\x10\x11\x00\x04MQTT\x05\x42\x00\x3c\x00\x00\x01c\x00\x01p");
    assert!(matches!(wire.next(), Answer::Connack(connack) if connack.code == 0), "3.1.2.9");
    wire.expect_alive();
}
