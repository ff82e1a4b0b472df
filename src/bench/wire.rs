//! The few bytes of MQTT 3.1.1 and 5 that a load needs, written and read by hand: a codec would cost the generator
//! more than some brokers spend on routing, and the generator shares the machine with them.

use super::reader::{Packet, variable};
use crate::sim::fleet::Version;

/// First bytes of packets.
pub(super) const CONNACK: u8 = 0x20;
pub(super) const PUBACK: u8 = 0x40;
pub(super) const PUBREC: u8 = 0x50;
pub(super) const PUBREL: u8 = 0x62;
pub(super) const PUBCOMP: u8 = 0x70;
pub(super) const SUBACK: u8 = 0x90;
pub(super) const DISCONNECT: u8 = 0xe0;
/// The packet type of PUBLISH, which uses the low four bits of the first byte for flags.
pub(super) const PUBLISH: u8 = 0x30;
/// DUP flag of a PUBLISH.
pub(super) const DUP: u8 = 0x08;

/// Long enough that no run sends a PINGREQ, and not 0, which rumqttd takes for "at once".
const KEEP_ALIVE_SECONDS: u16 = 1800;

/// A CONNECT of a new session.
pub(super) fn connect(version: Version, client_id: &str, user: Option<&str>, password: Option<&[u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, b"MQTT");
    body.push(if version == Version::V5 { 5 } else { 4 });
    let clean = 0x02;
    body.push(clean | u8::from(user.is_some()) << 7 | u8::from(password.is_some()) << 6);
    body.extend_from_slice(&KEEP_ALIVE_SECONDS.to_be_bytes());
    push_no_properties(&mut body, version);
    push_text(&mut body, client_id.as_bytes());
    for field in [user.map(str::as_bytes), password].into_iter().flatten() {
        push_text(&mut body, field);
    }
    packet(0x10, &body)
}

/// A SUBSCRIBE to all `filters` at one QoS.
pub(super) fn subscribe(version: Version, filters: &[String], qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1]; // packet identifier 1
    push_no_properties(&mut body, version);
    for filter in filters {
        push_text(&mut body, filter.as_bytes());
        body.push(qos);
    }
    packet(0x82, &body)
}

/// A PUBLISH, and where its packet identifier (at QoS 1 and 2) and its payload stand.
pub(super) fn publish(version: Version, topic: &str, qos: u8, payload: &[u8]) -> (Vec<u8>, usize, usize) {
    let mut body = Vec::new();
    push_text(&mut body, topic.as_bytes());
    let identifier = body.len();
    if qos > 0 {
        body.extend_from_slice(&[0, 0]);
    }
    push_no_properties(&mut body, version);
    let begin = body.len();
    body.extend_from_slice(payload);
    let bytes = packet(PUBLISH | qos << 1, &body);
    let header = bytes.len() - body.len();
    (bytes, header + identifier, header + begin)
}

/// A packet of this first byte and body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        if length == 0 {
            bytes.push(digit);
            break;
        }
        bytes.push(digit | 0x80);
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A length of two bytes, and the text.
fn push_text(bytes: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).expect("the bench's own names are short, and passwords checked");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text);
}

fn push_no_properties(bytes: &mut Vec<u8>, version: Version) {
    if version == Version::V5 {
        bytes.push(0);
    }
}

/// A message from the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Zero at QoS 0.
    pub(super) identifier: [u8; 2],
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// What a PUBLISH carries. None if it is cut short.
    pub(super) fn message(&self, version: Version) -> Option<Message<'a>> {
        let topic = usize::from(u16::from_be_bytes(*self.body.first_chunk::<2>()?));
        let mut rest = self.body.get(2 + topic..)?;
        let mut identifier = [0; 2];
        if self.qos() > 0 {
            (identifier, rest) = rest.split_first_chunk::<2>().map(|(id, rest)| (*id, rest))?;
        }
        if version == Version::V5 {
            let (length, bytes) = variable(rest)?;
            rest = rest.get(bytes + length..)?;
        }
        Some(Message { identifier, payload: rest })
    }

    /// Packet identifier and reason code of an acknowledgement; 0 stands for success.
    pub(super) fn acknowledgement(&self) -> Option<([u8; 2], u8)> {
        let (identifier, rest) = self.body.split_first_chunk::<2>()?;
        Some((*identifier, rest.first().copied().unwrap_or(0)))
    }
}

/// What a CONNACK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnAck {
    pub(super) code: u8,
    /// Messages of QoS 1 and 2 that may wait for their acknowledgement.
    pub(super) receive_maximum: u16,
    pub(super) maximum_qos: u8,
}

impl ConnAck {
    /// Reads the body. None if it is none.
    pub(super) fn read(body: &[u8], version: Version) -> Option<Self> {
        let [_, code, rest @ ..] = body else { return None };
        let mut ack = Self { code: *code, receive_maximum: u16::MAX, maximum_qos: 2 };
        if version == Version::V311 || rest.is_empty() {
            return Some(ack);
        }
        let (length, bytes) = variable(rest)?;
        let mut properties = rest.get(bytes..bytes + length)?;
        while let [id, after @ ..] = properties {
            let text = || Some(2 + usize::from(u16::from_be_bytes(*after.first_chunk::<2>()?)));
            let length = match id {
                0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
                0x13 | 0x21 | 0x22 => 2,
                0x11 | 0x27 => 4,
                0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => text()?,
                0x26 => {
                    let name = text()?;
                    let value = after.get(name..)?.first_chunk::<2>()?;
                    name + 2 + usize::from(u16::from_be_bytes(*value))
                }
                _ => return None,
            };
            let (value, next) = after.split_at_checked(length)?;
            match (id, value) {
                (0x21, [high, low]) => ack.receive_maximum = u16::from_be_bytes([*high, *low]),
                (0x24, [qos]) => ack.maximum_qos = *qos,
                _ => {}
            }
            properties = next;
        }
        Some(ack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::reader::PacketReader;

    #[test]
    fn a_connect_is_as_the_specification_has_it() {
        let bytes = connect(Version::V311, "c", Some("u"), Some(b"p"));
        assert_eq!(bytes, b"\x10\x13\x00\x04MQTT\x04\xc2\x07\x08\x00\x01c\x00\x01u\x00\x01p");
        let bytes = connect(Version::V5, "c", None, None);
        assert_eq!(bytes, b"\x10\x0e\x00\x04MQTT\x05\x02\x07\x08\x00\x00\x01c");
    }

    #[test]
    fn a_subscribe_is_as_the_specification_has_it() {
        let filters = ["a".to_owned(), "b/#".to_owned()];
        assert_eq!(subscribe(Version::V311, &filters, 2), b"\x82\x0c\x00\x01\x00\x01a\x02\x00\x03b/#\x02");
        assert_eq!(subscribe(Version::V5, &filters[..1], 0), b"\x82\x07\x00\x01\x00\x00\x01a\x00");
    }

    #[test]
    fn a_publish_comes_back_as_it_was_written() {
        let payload = vec![7; 300];
        for version in [Version::V311, Version::V5] {
            for qos in 0..=2 {
                let (mut bytes, identifier, begin) = publish(version, "a/b", qos, &payload);
                assert_eq!(bytes[begin..], payload);
                let mut expected = [0; 2];
                if qos > 0 {
                    expected = [1, 2];
                    bytes[identifier..identifier + 2].copy_from_slice(&expected);
                }
                let mut reader = PacketReader::of(&bytes);
                let packet = reader.next().unwrap().unwrap();
                assert_eq!((packet.kind(), packet.qos()), (PUBLISH, qos));
                assert_eq!(packet.message(version), Some(Message { identifier: expected, payload: &payload }));
            }
        }
    }

    #[test]
    fn properties_of_a_message_are_passed_over() {
        let body = b"\x00\x01t\x02\x01\x00xyz";
        let packet = Packet { first: PUBLISH, body };
        assert_eq!(packet.message(Version::V5).unwrap().payload, b"xyz");
        assert_eq!(Packet { first: PUBLISH, body: &body[..4] }.message(Version::V5), None);
        assert_eq!(Packet { first: PUBLISH, body: b"\x00\x09t" }.message(Version::V311), None);
    }

    #[test]
    fn a_connack_tells_what_the_broker_allows() {
        let plain = ConnAck { code: 0, receive_maximum: u16::MAX, maximum_qos: 2 };
        assert_eq!(ConnAck::read(&[0, 0], Version::V311), Some(plain));
        let v5 = b"\x00\x00\x0f\x22\x00\x0a\x26\x00\x01a\x00\x01b\x21\x00\x14\x24\x01";
        assert_eq!(ConnAck::read(v5, Version::V5), Some(ConnAck { receive_maximum: 20, maximum_qos: 1, ..plain }));
        assert_eq!(ConnAck::read(b"\x00\x00\x02\x7f\x00", Version::V5), None, "no property of a CONNACK");
        assert_eq!(ConnAck::read(&[0], Version::V5), None);
    }
}
