//! Connections that begin and do not go on: half open, cut off, or a byte at a time.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::common::{Answer, Connect, PINGREQ, Puback, Publish, V5, V311, VERSIONS, Wait, Wire, eventually, metric};
use crate::ground::Ground;

const MIB: usize = 1 << 20;

/// The connection ends with RST, as when a dock's modem loses its network and the kernel answers for nobody.
fn reset(wire: &Wire) {
    SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).expect("it can be set");
}

#[test]
fn thousands_of_connections_that_are_reset_at_once() {
    let mut ground = Ground::new(&[]);
    for number in 0..2_000 {
        let mut wire = Wire::open(ground.broker.mqtt, V311);
        let connect = Connect::new(V311, "reset").bytes();
        // Nothing, a part of CONNECT, or all of it.
        wire.send_to_closing(&connect[..number % (connect.len() + 1)]);
        reset(&wire);
    }
    eventually("every one of them is gone", || metric(ground.broker.http, "dockgate_connections", "") == 2.0);
    ground.expect_sound(100);
}

#[test]
fn connections_that_are_reset_in_the_middle_of_a_large_packet_leave_no_memory_behind() {
    let mut ground = Ground::new(&[]);
    for round in 0..5 {
        let halves: Vec<Wire> = (0..20)
            .map(|number| {
                let mut wire = Wire::clean(ground.broker.mqtt, V5, &format!("half-{number}"));
                let packet = Publish::new("half", vec![b'x'; 3 * MIB]).bytes(V5);
                wire.send(&packet[..2 * MIB + round]);
                wire
            })
            .collect();
        ground.expect_unmoved();
        halves.iter().for_each(reset);
    }
    eventually("every one of them is gone", || metric(ground.broker.http, "dockgate_connections", "") == 2.0);
    // 200 MiB of halves have come.
    ground.expect_sound(120);
}

/// The client has closed its side, in the middle of a packet or after it; what it has sent before counts.
#[test]
fn half_closed_connections_are_closed() {
    let mut ground = Ground::new(&[]);
    for version in VERSIONS {
        let mut before = Wire::open(ground.broker.mqtt, version);
        before.send(&[0x10]);
        before.stream.shutdown(Shutdown::Write).expect("it is open");
        assert!(before.next_or_close().is_none(), "a part of CONNECT and no more");

        let mut within = Wire::clean(ground.broker.mqtt, version, "within");
        within.send(&[0x30, 0x7f, 0x00]);
        within.stream.shutdown(Shutdown::Write).expect("it is open");
        assert!(within.next_or_close().is_none(), "a part of PUBLISH and no more");
        ground.expect_unmoved();
    }
    ground.expect_sound(100);
}

/// The deadline is for the whole of CONNECT: a byte now and then does not move it.
#[test]
fn connect_a_byte_at_a_time_ends_at_the_deadline() {
    let mut ground = Ground::new(&[("DOCKGATE_LIMITS__CONNECT_TIMEOUT", "1s")]);
    let connect = Connect::new(V311, "a-client-with-a-rather-long-identifier").bytes();
    let began = Instant::now();
    let mut slow: Vec<Wire> = (0..100).map(|_| Wire::open(ground.broker.mqtt, V311)).collect();
    for byte in &connect[..connect.len() - 1] {
        for wire in &mut slow {
            wire.send_to_closing(&[*byte]);
        }
        ground.expect_unmoved();
        std::thread::sleep(Duration::from_millis(60));
    }
    assert!(began.elapsed() > Duration::from_secs(2));
    for mut wire in slow {
        assert!(matches!(wire.wait(Duration::from_millis(100)), Wait::Closed), "it outlived its deadline");
    }
    ground.expect_sound(100);
}

/// Nobody is disconnected for a slow network, and nobody waits for another's.
#[test]
fn publish_a_byte_at_a_time_holds_up_nobody_and_arrives() {
    let mut ground = Ground::new(&[]);
    let mut reader = Wire::subscriber(ground.broker.mqtt, "reader", &[("slow/+", 1)]);
    let packet = Publish::new("slow/x", "at last").qos(1, 1).bytes(V311);
    let mut slow: Vec<Wire> =
        (0..100).map(|number| Wire::clean(ground.broker.mqtt, V311, &format!("slow-{number}"))).collect();
    for byte in &packet {
        for wire in &mut slow {
            wire.send(&[*byte]);
        }
        ground.expect_unmoved();
    }
    for _ in 0..slow.len() {
        reader.expect_message("at last");
    }
    ground.expect_sound(100);
}

/// One that says nothing is told from one that is slow: half a packet does not keep a connection alive for ever.
#[test]
fn half_a_packet_and_silence_ends_with_the_keep_alive() {
    let mut ground = Ground::new(&[]);
    let mut silent = Wire::connect(ground.broker.mqtt, &Connect::new(V5, "silent").keep_alive(1));
    silent.send(&[0x30, 0x7f, 0x00]);
    assert_eq!(silent.expect_closed(), Some(0x8d));
    ground.expect_sound(100);
}

/// A client that asks and never reads the answers: the broker stops reading, and closes at `limits.write_timeout`.
#[test]
fn answers_that_nobody_takes_are_bounded() {
    let mut ground = Ground::new(&[("DOCKGATE_LIMITS__WRITE_TIMEOUT", "1s")]);
    let mut deaf: Vec<Wire> =
        (0..20).map(|number| Wire::clean(ground.broker.mqtt, V311, &format!("deaf-{number}"))).collect();
    let pings = PINGREQ.repeat(100_000);
    for wire in &mut deaf {
        wire.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("it is not zero");
        for _ in 0..100 {
            use std::io::Write;
            if wire.stream.write_all(&pings).is_err() {
                break;
            }
        }
    }
    ground.expect_unmoved();
    eventually("they are closed", || metric(ground.broker.http, "dockgate_connections", "") == 2.0);
    ground.expect_sound(120);
}

/// Large packets that lack their last byte: memory for some of them, and room for everybody's small ones.
#[test]
fn packets_that_are_never_finished_do_not_take_all_memory() {
    let settings = [("DOCKGATE_LIMITS__QUEUE_BYTES_TOTAL", "64 MiB"), ("DOCKGATE_LIMITS__CONNECT_TIMEOUT", "60s")];
    let mut ground = Ground::new(&settings);
    let large = Publish::new("large", vec![b'x'; 4_000_000]).qos(1, 1).bytes(V5);
    let mut unfinished = Vec::new();
    for number in 0..60 {
        let mut wire = Wire::connect(ground.broker.mqtt, &Connect::new(V5, &format!("slow-{number}")).keep_alive(0));
        wire.send_to_closing(&large[..large.len() - 1]);
        let mut early = Wire::open(ground.broker.mqtt, V5);
        early.send_to_closing(&[0x10, 0x80, 0x80, 0x3c, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60]);
        early.send_to_closing(&[b'x'; 900_000]);
        unfinished.push((wire, early));
    }
    ground.expect_sound(120);
    // 32 MiB is eight of them.
    let told = unfinished.iter_mut().filter_map(|(wire, _)| match wire.wait(Duration::from_millis(100)) {
        Wait::Nothing => None,
        Wait::Answer(Answer::Disconnect(code, _)) => Some(code),
        other => panic!("{other:?}"),
    });
    let told: Vec<u8> = told.collect();
    assert!(told.len() >= 50 && told.iter().all(|code| *code == 0x97), "{told:02x?}");
    drop(unfinished);
    eventually("a large packet has room again", || {
        let mut wire = Wire::clean(ground.broker.mqtt, V5, "honest");
        wire.send_to_closing(&large);
        matches!(wire.wait(Duration::from_secs(1)), Wait::Answer(Answer::Ack(Puback, 1, 0x10, _)))
    });
}
