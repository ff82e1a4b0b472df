//! The cases in `corpus/*.txt` that are packets.
//!
//! `on` is the version of the session that is open (`3`, `4`, `5`), or `-` if nothing was sent before. `send` is what is
//! sent, in the [`notation`]; with `times`, on so many connections, one after the other. `then` is what must come, and
//! nothing else: a list of
//! - `1000 PUBACK 10`: so many answers with this reason code (hex; for SUBACK and UNSUBACK, so many codes). A PUBLISH has
//!   its QoS there;
//! - `any PUBLISH 00`: as many of these as there are;
//! - at the end, `alive`: the connection goes on; or `closed` or `told 82`: it is closed, and if a reason is told, or where
//!   it must be told, it is one of these.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{
    Answer, PINGREQ, Puback, Pubcomp, Pubrec, Pubrel, V5, V31, V311, Version, Wait, Wire, packet, unsubscribe,
};
use crate::corpus::{self, Case};
use crate::ground::Ground;
use crate::notation;

/// How long the next answer may take; only a case that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The packet identifier of the UNSUBSCRIBE that asks whether everything has been answered.
const LAST: u16 = 0xfffe;

const WORDS: [&str; 5] = ["why", "on", "send", "times", "then"];

#[track_caller]
fn play(text: &str) {
    let corpus = corpus::read(text, &WORDS);
    let mut ground = Ground::new(&corpus.settings);
    ground.play(&corpus.cases, |case| case.name, check);
    ground.expect_sound(corpus.memory);
}

fn check(ground: &mut Ground, case: &Case<'_>) {
    let bytes = notation::bytes(case.need("send"));
    let session = match case.need("on") {
        "-" => None,
        "3" => Some(V31),
        "4" => Some(V311),
        "5" => Some(V5),
        other => panic!("unknown session {other}"),
    };
    let times = case.get("times").map_or(1, |times| times.parse().expect("a number"));
    for _ in 0..times {
        let wire = match session {
            Some(version) => Wire::clean(ground.broker.mqtt, version, "corpus"),
            None => Wire::open(ground.broker.mqtt, version_of(&bytes)),
        };
        converse(wire, &bytes, case.need("then"));
    }
}

/// The version in which a first packet is answered.
fn version_of(bytes: &[u8]) -> Version {
    let is_v5 = bytes.windows(5).take(12).any(|window| window == b"MQTT\x05");
    if is_v5 { V5 } else { V311 }
}

/// Sends, takes the answers at the same time, and compares them.
fn converse(mut wire: Wire, bytes: &[u8], then: &str) {
    let Wanted { wants, any, end } = wanted(then);
    let asks = end.is_none();
    let mut writer = wire.stream.try_clone().expect("a socket can be shared");
    let version = wire.version;
    let mut found = BTreeMap::<String, usize>::new();
    let mut told = None;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            use std::io::Write;
            let asked = asks.then(|| unsubscribe(version, LAST, &["nothing"]));
            // The broker may close the connection before it has read all.
            writer.write_all(bytes).and_then(|()| writer.write_all(&asked.unwrap_or_default())).ok();
        });
        let mut is_marked = false;
        let closed = loop {
            // Messages may come after the answer to what was sent after them.
            if is_marked && wants.iter().all(|(label, count)| found.get(label).copied().unwrap_or_default() >= *count) {
                break false;
            }
            match wire.wait(PATIENCE) {
                Wait::Answer(Answer::Unsuback(LAST, _)) => is_marked = true,
                Wait::Answer(Answer::Disconnect(code, _)) => told = Some(code),
                Wait::Answer(Answer::Connack(connack)) if connack.code != 0 => told = Some(connack.code),
                Wait::Answer(answer) => {
                    for label in labels(&answer) {
                        *found.entry(label).or_default() += 1;
                    }
                }
                Wait::Closed => break true,
                Wait::Nothing => panic!("neither an answer nor a close; so far {found:?}"),
            }
        };
        assert_eq!(closed, !asks, "closed, or not; told {told:02x?}, answers {found:?}");
    });
    found.retain(|label, _| !any.contains(label));
    assert_eq!(found, wants, "the answers");
    match end {
        None => {
            wire.send(&PINGREQ);
            loop {
                match wire.next() {
                    Answer::Pingresp => break,
                    // A message that was on its way may come as late as this.
                    answer => assert!(labels(&answer).iter().all(|label| any.contains(label)), "{answer:?}"),
                }
            }
        }
        Some(End { must_tell, codes }) => {
            assert!(told.is_some() || !must_tell, "closed without a reason");
            assert!(told.is_none_or(|code| codes.is_empty() || codes.contains(&code)), "told {told:02x?}");
        }
    }
}

/// What must come.
#[derive(Debug, Default)]
struct Wanted {
    wants: BTreeMap<String, usize>,
    /// What may come as often as it likes.
    any: Vec<String>,
    /// How the connection ends; none if it goes on.
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    must_tell: bool,
    codes: Vec<u8>,
}

fn wanted(then: &str) -> Wanted {
    let mut wanted = Wanted::default();
    for item in then.split(',').map(str::trim) {
        let (first, rest) = item.split_once(' ').unwrap_or((item, ""));
        match first {
            "alive" => {}
            "closed" | "told" => {
                let codes = rest.split_whitespace().map(|code| u8::from_str_radix(code, 16).expect("a code in hex"));
                wanted.end = Some(End { must_tell: first == "told", codes: codes.collect() });
            }
            "any" => wanted.any.push(rest.to_owned()),
            count => {
                let count: usize = count.parse().unwrap_or_else(|_| panic!("{item}: how many?"));
                wanted.wants.insert(rest.to_owned(), count);
            }
        }
    }
    wanted
}

/// How an answer is counted.
fn labels(answer: &Answer) -> Vec<String> {
    let coded = |name: &str, codes: &[u8]| codes.iter().map(|code| format!("{name} {code:02x}")).collect();
    match answer {
        Answer::Connack(connack) => coded("CONNACK", &[connack.code]),
        Answer::Publish(publish) => coded("PUBLISH", &[publish.qos]),
        Answer::Ack(kind, _, code, _) => {
            let name = match kind {
                Puback => "PUBACK",
                Pubrec => "PUBREC",
                Pubrel => "PUBREL",
                Pubcomp => "PUBCOMP",
            };
            coded(name, &[*code])
        }
        Answer::Suback(_, codes) => coded("SUBACK", codes),
        // MQTT 3 has no codes there.
        Answer::Unsuback(_, codes) if codes.is_empty() => vec!["UNSUBACK".to_owned()],
        Answer::Unsuback(_, codes) => coded("UNSUBACK", codes),
        Answer::Pingresp => vec!["PINGRESP".to_owned()],
        Answer::Disconnect(..) => unreachable!("it is the end"),
    }
}

#[test]
fn first_packets() {
    play(include_str!("corpus/connect.txt"));
}

#[test]
fn publishes() {
    play(include_str!("corpus/publish.txt"));
}

#[test]
fn subscriptions() {
    play(include_str!("corpus/subscribe.txt"));
}

#[test]
fn acknowledgements_and_the_rest() {
    play(include_str!("corpus/other.txt"));
}

/// Every packet with flags that its type does not have (2.1.3): the connection is closed.
#[test]
fn reserved_flags_of_every_packet_type() {
    let mut ground = Ground::new(&[]);
    let mut cases = Vec::new();
    for version in [V31, V311, V5] {
        for first in 0x10..=0xff_u8 {
            let required = match first >> 4 {
                3 => continue,
                6 | 8 | 10 => 2,
                _ => 0,
            };
            // MQTT 3.1 may repeat PUBREL, SUBSCRIBE and UNSUBSCRIBE with DUP (2.1 there).
            let is_dup_of_3_1 = version == V31 && required == 2 && first & 0x0f == 0x0a;
            if first & 0x0f != required && !is_dup_of_3_1 {
                cases.push((format!("{first:02x} in {version:?}"), version, first));
            }
        }
    }
    ground.play(
        &cases,
        |(name, _, _)| name,
        |ground, (_, version, first)| {
            let wire = Wire::clean(ground.broker.mqtt, *version, "corpus");
            converse(wire, &packet::frame(*first, b"\0\x01\0"), "closed 81 82");
        },
    );
    ground.expect_sound(100);
}

/// DISCONNECT with each reason code (3.14.2.1): whatever it says, the connection is closed and nothing is answered but a
/// complaint.
#[test]
fn disconnect_with_every_reason_code() {
    let mut ground = Ground::new(&[]);
    let cases: Vec<(String, u8)> = (0..=0xff).map(|code| (format!("DISCONNECT {code:02x}"), code)).collect();
    ground.play(
        &cases,
        |(name, _)| name,
        |ground, (_, code)| {
            let wire = Wire::clean(ground.broker.mqtt, V5, "corpus");
            converse(wire, &packet::frame(0xe0, &[*code]), "closed 81 82");
        },
    );
    ground.expect_sound(100);
}

/// Every packet cut short anywhere, with a remaining length that is right for what is left.
#[test]
fn packets_that_end_too_early() {
    let mut ground = Ground::new(&[]);
    let connect = r#"10 { "MQTT" 05 ee 003c { 11 00000001 21 0001 26 "k" "v" } "c" { 18 00000001 03 "t" 26 "k" "v" } "w" "x" "u" "p" }"#;
    let mut cases = vec![("CONNECT", V5, notation::bytes(connect))];
    for (name, packet) in [
        ("PUBLISH", r#"3b { "a" 0001 { 01 01 02 00000001 03 "c" 08 "r" 09 "d" 26 "k" "v" 23 0001 } 'x' }"#),
        ("PUBACK", r#"40 { 0001 10 { 1f "r" 26 "k" "v" } }"#),
        ("PUBREC", r#"50 { 0001 10 { 1f "r" 26 "k" "v" } }"#),
        ("PUBREL", r#"62 { 0001 92 { 1f "r" 26 "k" "v" } }"#),
        ("PUBCOMP", r#"70 { 0001 92 { 1f "r" 26 "k" "v" } }"#),
        ("SUBSCRIBE", r#"82 { 0001 { 0b 07 26 "k" "v" } "a" 00 "$share/g/a" 01 }"#),
        ("UNSUBSCRIBE", r#"a2 { 0001 { 26 "k" "v" } "a" "b" }"#),
        ("DISCONNECT", r#"e0 { 04 { 11 00000000 1f "r" 26 "k" "v" } }"#),
        ("AUTH", r#"f0 { 18 { 15 "m" 16 "d" } }"#),
    ] {
        cases.push((name, V5, notation::bytes(packet)));
    }
    for (name, packet) in [
        ("PUBLISH of 3.1.1", r#"3b { "a" 0001 'x' }"#),
        ("PUBREL of 3.1.1", "62 { 0001 }"),
        ("SUBSCRIBE of 3.1.1", r#"82 { 0001 "a" 00 "b" 01 }"#),
        ("UNSUBSCRIBE of 3.1.1", r#"a2 { 0001 "a" "b" }"#),
    ] {
        cases.push((name, V311, notation::bytes(packet)));
    }
    ground.play(
        &cases,
        |(name, _, _)| name,
        |ground, (name, version, packet)| {
            for length in 0..packet.len() - 2 {
                let mut wire = match *name {
                    "CONNECT" => Wire::open(ground.broker.mqtt, *version),
                    _ => Wire::clean(ground.broker.mqtt, *version, "corpus"),
                };
                wire.send_to_closing(&packet::frame(packet[0], &packet[2..2 + length]));
                wire.stream.shutdown(std::net::Shutdown::Write).ok();
                // Some are whole packets all the same; none is more than one answer and the end.
                let mut answers = 0;
                while wire.next_or_close().is_some() {
                    answers += 1;
                }
                assert!(answers <= 2, "{answers} answers after {length} bytes");
            }
        },
    );
    ground.expect_sound(100);
}
