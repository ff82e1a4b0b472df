//! Connections that come, go, are silent or stuck.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::{Answer, BrokerProcess, Connect, Publish, V5, V311, Wire, eventually};
use crate::{expect_sound, reset};

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
            leaves.send(&crate::common::DISCONNECT);
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
    let house: Vec<Wire> = (0..8).map(|number| patient_client(&broker, &format!("guest-{number}"))).collect();
    if crate::common::other_broker().is_none() {
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
    let mut again: Vec<Wire> = (0..8).map(|number| patient_client(&broker, &format!("again-{number}"))).collect();
    for guest in &mut again {
        guest.expect_alive();
    }
    broker.expect_alive();
}

/// A client that tries again while the broker has not yet noticed that others are gone.
fn patient_client(broker: &BrokerProcess, id: &str) -> Wire {
    let mut accepted = None;
    eventually("a connection is accepted", || {
        let mut wire = Wire::open(broker.mqtt, V311);
        wire.send_to_closing(&Connect::new(V311, id).bytes());
        let answer = wire.next_or_close();
        // A connection that was refused is closed before the next attempt: until then it takes up room itself.
        accepted = matches!(answer, Some(Answer::Connack(connack)) if connack.code == 0).then_some(wire);
        accepted.is_some()
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
    new.send(&crate::common::disconnect(0x04, &[]));
    watcher.expect_message("new");
    Wire::connect(broker.mqtt, &connect("none")).leave();
    expect_sound(&mut broker);
    Wire::clean(broker.mqtt, V311, "end").push(&Publish::new("will/x", "end"));
    watcher.expect_message("end");
}

#[test]
fn silent_connections_do_not_stop_others() {
    let mut broker = BrokerProcess::start(&[]);
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(broker.mqtt).unwrap()).collect();
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
    let until = Instant::now() + crate::common::DEADLINE;
    loop {
        assert!(Instant::now() < until, "the keep-alive does not end");
        publisher.push(&Publish::new("flow/x", "x"));
        if let crate::common::Wait::Closed = silent.wait(Duration::from_millis(20)) {
            break;
        }
    }
    expect_sound(&mut broker);
}

#[test]
fn a_reader_that_takes_nothing_is_closed() {
    let mut broker = BrokerProcess::start(&[("DOCKGATE_LIMITS__WRITE_TIMEOUT", "500ms")]);
    if crate::common::other_broker().is_some() {
        return;
    }
    let stalled = Wire::subscriber(broker.mqtt, "stalled", &[("stuck/#", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    let payload = vec![b'x'; 64 * 1024];
    eventually("the stalled reader is closed", || {
        publisher.push(&Publish::new("stuck/x", &payload));
        crate::common::metric(broker.http, "dockgate_connections", "") < 1.5
    });
    drop(stalled);
    expect_sound(&mut broker);
}
