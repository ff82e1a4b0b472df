//! What the broker sends, decoded strictly: a packet that breaks the specification fails the test.

use super::packet::{Ack, Puback, Pubcomp, Publish, Pubrec, Pubrel, Reader, V5, Version};
use super::property::{Property, take_properties};

/// A packet from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Connack(Connack),
    Publish(Publish),
    Ack(Ack, u16, u8, Vec<Property>),
    Suback(u16, Vec<u8>),
    Unsuback(u16, Vec<u8>),
    Pingresp,
    Disconnect(u8, Vec<Property>),
}

/// CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connack {
    pub(crate) session_present: bool,
    pub(crate) code: u8,
    pub(crate) properties: Vec<Property>,
}

/// The first packet in `bytes` and its length, if it is there as a whole.
pub(crate) fn decode(bytes: &[u8], version: Version) -> Option<(Answer, usize)> {
    let mut length = 0_usize;
    let mut at = 1;
    loop {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        assert!(at <= 4, "the broker sent a remaining length of five bytes");
    }
    let body = bytes.get(at..at + length)?;
    Some((decode_body(bytes[0], body, version), at + length))
}

fn decode_body(first: u8, body: &[u8], version: Version) -> Answer {
    let mut reader = Reader::new(body);
    let answer = match first {
        0x20 => connack(&mut reader, version),
        0x30..=0x3f => publish(first, &mut reader, version),
        0x40 => acknowledgement(Puback, &mut reader, version),
        0x50 => acknowledgement(Pubrec, &mut reader, version),
        0x62 => acknowledgement(Pubrel, &mut reader, version),
        0x70 => acknowledgement(Pubcomp, &mut reader, version),
        0x90 => {
            let pid = reader.two();
            if version == V5 {
                take_properties(&mut reader);
            }
            Answer::Suback(pid, reader.rest().to_vec())
        }
        0xb0 => {
            let pid = reader.two();
            if version == V5 {
                take_properties(&mut reader);
            }
            Answer::Unsuback(pid, reader.rest().to_vec())
        }
        0xd0 => Answer::Pingresp,
        0xe0 => {
            assert_eq!(version, V5, "only MQTT 5 servers send DISCONNECT");
            let code = if reader.is_empty() { 0 } else { reader.byte() };
            Answer::Disconnect(code, take_properties(&mut reader))
        }
        other => panic!("the broker sent a packet that starts with {other:#04x}"),
    };
    assert!(reader.is_empty(), "bytes after the end of {answer:?}");
    answer
}

fn connack(reader: &mut Reader<'_>, version: Version) -> Answer {
    let flags = reader.byte();
    assert!(flags <= 1, "reserved flags in CONNACK: {flags:#04x}");
    let code = reader.byte();
    let properties = if version == V5 { take_properties(reader) } else { Vec::new() };
    Answer::Connack(Connack { session_present: flags == 1, code, properties })
}

fn publish(first: u8, reader: &mut Reader<'_>, version: Version) -> Answer {
    let qos = (first >> 1) & 3;
    assert!(qos < 3, "the broker sent QoS 3");
    let topic = reader.text();
    let pid = if qos > 0 { reader.two() } else { 0 };
    assert!(qos == 0 || pid != 0, "packet identifier 0");
    let properties = if version == V5 { take_properties(reader) } else { Vec::new() };
    Answer::Publish(Publish {
        topic,
        payload: reader.rest().to_vec(),
        qos,
        retain: first & 1 == 1,
        dup: first & 8 == 8,
        pid,
        properties,
    })
}

fn acknowledgement(kind: Ack, reader: &mut Reader<'_>, version: Version) -> Answer {
    let pid = reader.two();
    if version != V5 || reader.is_empty() {
        return Answer::Ack(kind, pid, 0, Vec::new());
    }
    let code = reader.byte();
    Answer::Ack(kind, pid, code, take_properties(reader))
}
