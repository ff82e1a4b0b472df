//! The corpus in `tests/packets/malformed.txt`, row by row.

use std::panic::AssertUnwindSafe;

use crate::common::{Answer, Broker, V5, V31, V311, Version, Wire};

/// A row of the corpus.
#[derive(Debug)]
struct Case<'a> {
    name: &'a str,
    session: Option<Version>,
    bytes: Vec<u8>,
    outcome: Vec<&'a str>,
    clause: &'a str,
}

/// Reads the columns of a row.
fn case(line: &str) -> Case<'_> {
    let columns: Vec<&str> = line.split('|').map(str::trim).collect();
    let [name, session, bytes, outcome, clause] = columns[..] else {
        panic!("five columns expected: {line}");
    };
    let session = match session {
        "-" => None,
        "3" => Some(V31),
        "4" => Some(V311),
        "5" => Some(V5),
        other => panic!("unknown session {other}: {line}"),
    };
    let bytes = bytes.split(',').flat_map(|one| packet(one, line)).collect();
    Case { name, session, bytes, outcome: outcome.split(' ').collect(), clause }
}

/// Reads the notation of one packet.
fn packet(text: &str, line: &str) -> Vec<u8> {
    let (mut head, mut body, mut has_length) = (Vec::new(), Vec::new(), false);
    for token in text.split_whitespace() {
        if token == "LEN" {
            has_length = true;
            head = std::mem::take(&mut body);
        } else if let Some(raw) = token.strip_prefix('\'') {
            body.extend_from_slice(raw.trim_end_matches('\'').as_bytes());
        } else if let Some(text) = token.strip_prefix('"') {
            let text = text.trim_end_matches('"');
            body.extend_from_slice(&(text.len() as u16).to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        } else {
            assert!(token.len().is_multiple_of(2), "odd hex {token}: {line}");
            for at in (0..token.len()).step_by(2) {
                let byte = u8::from_str_radix(&token[at..at + 2], 16);
                body.push(byte.unwrap_or_else(|_| panic!("not hex: {token} in {line}")));
            }
        }
    }
    if has_length {
        assert!(body.len() < 128, "the notation is for short packets: {line}");
        head.push(body.len() as u8);
    }
    head.extend_from_slice(&body);
    head
}

/// The version that the answer is in: an MQTT 5 CONNECT gets an MQTT 5 CONNACK.
fn answers_in(case: &Case<'_>) -> Version {
    case.session.unwrap_or_else(|| {
        let is_v5 = case.bytes.windows(5).any(|window| window == b"MQTT\x05");
        if is_v5 { V5 } else { V311 }
    })
}

/// Sends the packet and compares what happens with the row.
fn check(broker: &Broker, case: &Case<'_>) -> Result<(), String> {
    let mut wire = match case.session {
        Some(version) => Wire::clean(broker.mqtt, version, "corpus"),
        None => Wire::open(broker.mqtt, answers_in(case)),
    };
    wire.send_to_closing(&case.bytes);
    if case.session.is_none() {
        // A broker that waits for more bytes sees the end of the stream instead of a timeout.
        wire.stream.shutdown(std::net::Shutdown::Write).ok();
    }
    let expected = case.outcome[0];
    if expected == "alive" || expected == "any" {
        let mut other = Wire::clean(broker.mqtt, V311, "witness");
        other.expect_alive();
        if expected == "alive" {
            wire.expect_alive();
        }
        return Ok(());
    }
    let mut code = None;
    while let Some(answer) = wire.next_or_close() {
        let said = match answer {
            Answer::Connack(connack) if connack.code != 0 => connack.code,
            Answer::Disconnect(code, _) => code,
            other => return Err(format!("a close expected, {other:?} came")),
        };
        if let Some(before) = code.replace(said) {
            return Err(format!("told {before:#04x} and then {said:#04x}"));
        }
    }
    let allowed: Vec<u8> =
        case.outcome[1..].iter().map(|code| u8::from_str_radix(code, 16).expect("a code in hex")).collect();
    match code {
        None if expected == "told" => Err(format!("closed without a reason, {allowed:02x?} expected")),
        Some(code) if !allowed.is_empty() && !allowed.contains(&code) => {
            Err(format!("told {code:#04x}, {allowed:02x?} expected"))
        }
        _ => Ok(()),
    }
}

#[test]
fn every_packet_of_the_malformed_corpus_ends_as_its_row_says() {
    let broker = Broker::start(|_| {});
    let corpus = include_str!("../packets/malformed.txt");
    let rows = corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases: Vec<Case<'_>> = rows.map(case).collect();
    assert!(cases.len() > 100, "the corpus is read");
    let mut wrong = Vec::new();
    for case in &cases {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| check(&broker, case)));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(why)) => wrong.push(format!("{} [{}]: {why}", case.name, case.clause)),
            Err(_) => wrong.push(format!("{} [{}]: see the panic", case.name, case.clause)),
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Wire::clean(broker.mqtt, V5, "last").expect_alive();
}
