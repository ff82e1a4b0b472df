//! Bytes to packets.
//!
//! The packets that make up the traffic (PUBLISH, its acknowledgements and PINGREQ) are read here in place, without
//! an allocation; the rest goes through `rmqtt-codec`. What the codec lets pass and the specification does not is
//! checked here too: reserved bits, trailing bytes, U+0000.

use crate::message::QoS;
use crate::metrics::Version;
use crate::mqtt::fault::Fault;
use crate::mqtt::properties::{Properties, id};
use bytes::BytesMut;
use bytestring::ByteString;
use rmqtt_codec::v5::{Disconnect, SubscriptionOptions};
use rmqtt_codec::{v3, v5};
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use tokio_util::codec::Decoder;

/// One packet as it lies in the read buffer.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// Packet type and flags.
    pub(super) first_byte: u8,
    /// Fixed header and body.
    pub(super) bytes: &'a [u8],
    /// The body: variable header and payload.
    pub(super) body: &'a [u8],
}

impl fmt::Debug for Frame<'_> {
    /// Never prints its bytes: they may hold a password or credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("first_byte", &self.first_byte)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Finds the first whole packet in `buffer`; `None` while it is not all there.
///
/// # Errors
/// A remaining length of more than four bytes, or a packet larger than `max_size` bytes in all: the latter is told
/// from the fixed header, before the rest has arrived.
pub(super) fn next_frame(buffer: &[u8], max_size: usize) -> Result<Option<Frame<'_>>, Fault> {
    let (mut remaining, mut header) = (0usize, 1);
    loop {
        let Some(&byte) = buffer.get(header) else { return Ok(None) };
        remaining |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if header > 4 {
            return Err(Fault::malformed("the remaining length has more than four bytes"));
        }
    }
    if header + remaining > max_size {
        return Err(Fault::TOO_LARGE);
    }
    let Some(bytes) = buffer.get(..header + remaining) else { return Ok(None) };
    Ok(Some(Frame { first_byte: bytes[0], bytes, body: &bytes[header..] }))
}

/// A packet from a connected client.
#[derive(Debug)]
pub(super) enum Packet<'a> {
    /// PUBLISH.
    Publish(Publish<'a>),
    /// PUBACK; whatever its reason code, the message is done with (MQTT 5, 4.3.2).
    PubAck(NonZeroU16),
    /// PUBREC with its reason code.
    PubRec(NonZeroU16, u8),
    /// PUBREL.
    PubRel(NonZeroU16),
    /// PUBCOMP.
    PubComp(NonZeroU16),
    /// SUBSCRIBE of any version.
    Subscribe(Subscribe),
    /// UNSUBSCRIBE of any version.
    Unsubscribe(NonZeroU16, Vec<ByteString>),
    /// PINGREQ.
    Ping,
    /// DISCONNECT; in MQTT 3 always code 0.
    Disconnect(Disconnect),
}

/// A PUBLISH, borrowed from the read buffer.
pub(super) struct Publish<'a> {
    /// Quality of service.
    pub(super) qos: QoS,
    /// RETAIN flag.
    pub(super) retain: bool,
    /// Packet identifier; there is one if and only if the QoS is 1 or 2.
    pub(super) packet_id: Option<NonZeroU16>,
    /// Topic name as sent; empty where a topic alias stands for it.
    pub(super) topic: &'a str,
    /// MQTT 5 properties; of an MQTT 3 packet, none.
    pub(super) properties: Properties<'a>,
    /// Application payload.
    pub(super) payload: &'a [u8],
}

impl fmt::Debug for Publish<'_> {
    /// Never prints the payload: it may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("topic", &self.topic)
            .field("qos", &self.qos)
            .field("packet_id", &self.packet_id)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// A SUBSCRIBE of any version; MQTT 3 has the default options.
#[derive(Debug)]
pub(super) struct Subscribe {
    /// Packet identifier.
    pub(super) packet_id: NonZeroU16,
    /// Subscription identifier for all its filters.
    pub(super) id: Option<NonZeroU32>,
    /// Filters with their options, not validated yet.
    pub(super) filters: Vec<(ByteString, SubscriptionOptions)>,
}

/// Reads one packet of a connected client.
///
/// # Errors
/// Whatever the specification forbids, with the reason code that it asks for.
pub(super) fn decode<'a>(frame: Frame<'a>, version: Version, user_properties: usize) -> Result<Packet<'a>, Fault> {
    let Frame { first_byte, body, .. } = frame;
    match first_byte {
        // MQTT 3.1 has DUP in these, too.
        0x6a | 0x8a | 0xaa if version == Version::V31 => {
            decode(Frame { first_byte: first_byte & !0b1000, ..frame }, version, user_properties)
        }
        0x30..=0x3f => decode_publish(first_byte, body, version, user_properties).map(Packet::Publish),
        0x40 => ack(body, version, user_properties).map(|(id, _)| Packet::PubAck(id)),
        0x50 => ack(body, version, user_properties).map(|(id, code)| Packet::PubRec(id, code)),
        0x62 => ack(body, version, user_properties).map(|(id, _)| Packet::PubRel(id)),
        0x70 => ack(body, version, user_properties).map(|(id, _)| Packet::PubComp(id)),
        0xc0 if body.is_empty() => Ok(Packet::Ping),
        0x10 => Err(Fault::protocol("a second CONNECT on the connection")),
        0x20 | 0x90 | 0xb0 | 0xd0 => Err(Fault::protocol("a packet that only a server sends")),
        0xf0 => Err(Fault::protocol("AUTH without an authentication method in CONNECT")),
        _ if version == Version::V5 => decode_v5(frame, user_properties).and_then(without_zero),
        _ => decode_v3(frame).and_then(without_zero),
    }
}

/// The packet, unless a filter in it has U+0000 (MQTT-1.5.4-2), which the codec lets pass.
fn without_zero(packet: Packet<'_>) -> Result<Packet<'_>, Fault> {
    let has_zero = match &packet {
        Packet::Subscribe(packet) => packet.filters.iter().any(|(filter, _)| filter.contains('\0')),
        Packet::Unsubscribe(_, filters) => filters.iter().any(|filter| filter.contains('\0')),
        _ => false,
    };
    if has_zero { Err(Fault::malformed("U+0000 in a string")) } else { Ok(packet) }
}

fn decode_v3(frame: Frame<'_>) -> Result<Packet<'static>, Fault> {
    let mut bytes = BytesMut::from(frame.bytes);
    bytes[0] = frame.first_byte;
    let packet = v3::Codec::new(0).decode(&mut bytes)?.map(|(packet, _)| packet);
    match packet {
        Some(v3::Packet::Subscribe { packet_id, topic_filters }) => {
            let mut at = 2;
            for (filter, _) in &topic_filters {
                at += 2 + filter.len() + 1;
                // MQTT-3-8.3-4: the upper six bits of the requested QoS byte are reserved.
                if frame.body.get(at - 1).is_some_and(|byte| byte & !0b11 != 0) {
                    return Err(Fault::malformed("reserved bits in the requested QoS"));
                }
            }
            let options = |qos| SubscriptionOptions { qos, ..SubscriptionOptions::default() };
            let filters = topic_filters.into_iter().map(|(filter, qos)| (filter, options(qos))).collect();
            Ok(Packet::Subscribe(Subscribe { packet_id, id: None, filters }))
        }
        Some(v3::Packet::Unsubscribe { packet_id, topic_filters }) => Ok(Packet::Unsubscribe(packet_id, topic_filters)),
        Some(v3::Packet::Disconnect) if frame.body.is_empty() => Ok(Packet::Disconnect(Disconnect::default())),
        _ => Err(Fault::malformed("reserved packet type, flags or length")),
    }
}

fn decode_v5(frame: Frame<'_>, user_properties: usize) -> Result<Packet<'static>, Fault> {
    // What the codec takes for malformed is mostly a protocol error, of which the client should learn.
    let (before, allowed) = match frame.first_byte {
        0x82 => (2, id::SUBSCRIBE),
        0xa2 => (2, id::UNSUBSCRIBE),
        0xe0 => (1, id::DISCONNECT),
        _ => return Err(Fault::malformed("reserved packet type or flags")),
    };
    if frame.body.len() > before {
        let mut body = Reader(&frame.body[before..]);
        let length = body.variable()?;
        Properties::read(body.take(length)?, allowed, user_properties)?;
    }
    let packet = v5::Codec::new(0, 0).decode(&mut BytesMut::from(frame.bytes))?.map(|(packet, _)| packet);
    match packet {
        Some(v5::Packet::Subscribe(v5::Subscribe { packet_id, id, topic_filters, .. })) => {
            Ok(Packet::Subscribe(Subscribe { packet_id, id, filters: topic_filters }))
        }
        Some(v5::Packet::Unsubscribe(v5::Unsubscribe { packet_id, topic_filters, .. })) => {
            Ok(Packet::Unsubscribe(packet_id, topic_filters))
        }
        Some(v5::Packet::Disconnect(disconnect)) => Ok(Packet::Disconnect(disconnect)),
        _ => Err(Fault::malformed("reserved packet type, flags or length")),
    }
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP: packet identifier and, in MQTT 5, a reason code and properties.
fn ack(body: &[u8], version: Version, user_properties: usize) -> Result<(NonZeroU16, u8), Fault> {
    let mut body = Reader(body);
    let packet_id = NonZeroU16::new(body.u16()?).ok_or(Fault::malformed("packet identifier 0"))?;
    if body.0.is_empty() {
        return Ok((packet_id, 0));
    }
    if version != Version::V5 {
        return Err(Fault::malformed("trailing bytes in an acknowledgement"));
    }
    let code = body.u8()?;
    if !body.0.is_empty() {
        let length = body.variable()?;
        Properties::read(body.take(length)?, id::ACKNOWLEDGEMENT, user_properties)?;
    }
    if body.0.is_empty() { Ok((packet_id, code)) } else { Err(Fault::malformed("trailing bytes")) }
}

fn decode_publish(first_byte: u8, body: &[u8], version: Version, user_properties: usize) -> Result<Publish<'_>, Fault> {
    let qos = QoS::try_from((first_byte >> 1) & 0b11).map_err(|_| Fault::malformed("QoS 3"))?;
    if qos == QoS::AtMostOnce && first_byte & 0b1000 != 0 {
        return Err(Fault::malformed("DUP on a QoS 0 publish")); // MQTT-3.3.1-2
    }
    let mut body = Reader(body);
    let topic = body.string()?;
    let packet_id = match qos {
        QoS::AtMostOnce => None,
        _ => Some(NonZeroU16::new(body.u16()?).ok_or(Fault::malformed("packet identifier 0"))?),
    };
    let properties = if version == Version::V5 {
        let length = body.variable()?;
        Properties::read(body.take(length)?, id::PUBLISH, user_properties)?
    } else {
        Properties::default()
    };
    Ok(Publish { qos, retain: first_byte & 1 != 0, packet_id, topic, properties, payload: body.0 })
}

/// Reads the primitive types of section 1.5.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    const SHORT: Fault = Fault::malformed("the packet ends too early");

    /// The next `length` bytes.
    ///
    /// # Errors
    /// As all of them: malformed if the packet ends before.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Self::SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// See [`Reader::take`].
    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        self.take(1).map(|b| b[0])
    }

    /// Two byte integer.
    ///
    /// # Errors
    /// See [`Reader::take`].
    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// Four byte integer.
    ///
    /// # Errors
    /// See [`Reader::take`].
    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.take(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// UTF-8 string; U+0000 is malformed (MQTT-1.5.4-2).
    ///
    /// # Errors
    /// See [`Reader::take`].
    pub(super) fn string(&mut self) -> Result<&'a str, Fault> {
        let length = self.u16()?;
        let bytes = self.take(usize::from(length))?;
        if memchr::memchr(0, bytes).is_some() {
            return Err(Fault::malformed("U+0000 in a string"));
        }
        std::str::from_utf8(bytes).map_err(|_| Fault::malformed("a string is not UTF-8"))
    }

    /// Binary data.
    ///
    /// # Errors
    /// See [`Reader::take`].
    pub(super) fn binary(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// Variable byte integer.
    ///
    /// # Errors
    /// See [`Reader::take`].
    pub(super) fn variable(&mut self) -> Result<usize, Fault> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::malformed("a variable byte integer has more than four bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(bytes: &[u8]) -> Result<Publish<'_>, Fault> {
        let frame = next_frame(bytes, 1024)?.expect("a whole packet");
        match decode(frame, Version::V5, 4)? {
            Packet::Publish(publish) => Ok(publish),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_packet_is_found_only_when_it_is_whole() {
        let bytes = b"\x30\x05\x00\x01a\x00x";
        for end in 0..bytes.len() {
            assert!(next_frame(&bytes[..end], 1024).unwrap().is_none(), "{end}");
        }
        assert_eq!(next_frame(bytes, 1024).unwrap().unwrap().body, b"\x00\x01a\x00x");
    }

    #[test]
    fn a_lying_length_is_refused_before_the_packet_arrives() {
        assert_eq!(next_frame(b"\x30\xff\xff\xff\x7f", 1024).unwrap_err(), Fault::TOO_LARGE);
        assert!(next_frame(b"\x30\xff\xff\xff\xff\x01", 1 << 30).is_err());
    }

    #[test]
    fn alias_and_expiry_end_at_the_broker_and_the_rest_keeps_its_order() {
        let bytes = b"\x30\x19\x00\x01a\x14\x26\x00\x01k\x00\x01v\x23\x00\x02\x02\x00\x00\x00\x09\x01\x01\x03\x00\x00x";
        let publish = publish(bytes).unwrap();
        assert_eq!((publish.properties.topic_alias, publish.properties.expiry), (Some(2), Some(9)));
        assert_eq!(&publish.properties.forwarded()[..], b"\x26\x00\x01k\x00\x01v\x01\x01\x03\x00\x00");
        assert_eq!(publish.payload, b"x");
    }

    #[test]
    fn forbidden_publishes_are_refused() {
        for (bytes, what) in [
            (&b"\x36\x05\x00\x01a\x00\x01"[..], "QoS 3"),
            (b"\x38\x04\x00\x01a\x00", "DUP with QoS 0"),
            (b"\x32\x06\x00\x01a\x00\x00\x00", "packet identifier 0"),
            (b"\x30\x06\x00\x01a\x02\x0b\x01", "subscription identifier"),
            (b"\x30\x08\x00\x01a\x04\x01\x01\x01\x01", "a property twice"),
            (b"\x30\x09\x00\x01a\x05\x08\x00\x02a#", "wildcard in the response topic"),
            (b"\x30\x04\x00\x01\x00\x00", "U+0000"),
            (b"\x30\x04\x00\x01\xff\x00", "not UTF-8"),
            (b"\x30\x05\x00\x01a\x01\x7e", "unknown property"),
        ] {
            assert!(publish(bytes).is_err(), "{what}");
        }
    }

    #[test]
    fn the_upper_bits_of_a_requested_qos_are_reserved_in_mqtt_3() {
        let frame = next_frame(b"\x82\x06\x00\x01\x00\x01a\x05", 64).unwrap().unwrap();
        assert!(decode(frame, Version::V311, 0).is_err());
    }
}
