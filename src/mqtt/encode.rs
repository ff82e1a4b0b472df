//! Packets to bytes.
//!
//! PUBLISH and its short acknowledgements are written straight into the output buffer; the rest goes through
//! `rmqtt-codec`, whose own size limits are not used (they underflow with small ones).

use super::aliases::Alias;
use crate::message::{Message, NEVER, QoS};
use crate::metrics::Version;
use bytes::{BufMut, BytesMut};
use rmqtt_codec::{v3, v5};
use std::num::{NonZeroU16, NonZeroU32};
use tokio_util::codec::Encoder;

/// How a message is sent to one subscriber.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublishHeader<'a> {
    /// QoS of this delivery.
    pub(super) qos: QoS,
    /// Packet identifier; set if and only if the QoS is 1 or 2.
    pub(super) packet_id: Option<NonZeroU16>,
    /// DUP flag.
    pub(super) dup: bool,
    /// RETAIN flag.
    pub(super) retain: bool,
    /// Identifiers of the matching subscriptions; MQTT 5 only.
    pub(super) subscription_ids: &'a [NonZeroU32],
    /// How the topic is named; MQTT 5 only.
    pub(super) alias: Alias,
}

/// Whole size in bytes of a PUBLISH, to compare with the client's Maximum Packet Size.
#[must_use]
pub(super) fn publish_size(message: &Message, header: &PublishHeader<'_>, version: Version) -> usize {
    let remaining = remaining_length(message, header, version);
    1 + variable_size(remaining) + remaining
}

fn properties_length(message: &Message, header: &PublishHeader<'_>) -> usize {
    let ids: usize = header.subscription_ids.iter().map(|id| 1 + variable_size(id.get() as usize)).sum();
    let expiry = if message.expires_at() == NEVER { 0 } else { 5 };
    let alias = if header.alias == Alias::None { 0 } else { 3 };
    message.properties().len() + ids + expiry + alias
}

fn topic<'a>(message: &'a Message, header: &PublishHeader<'_>) -> &'a [u8] {
    if matches!(header.alias, Alias::Is(_)) { &[] } else { message.topic_bytes() }
}

fn remaining_length(message: &Message, header: &PublishHeader<'_>, version: Version) -> usize {
    let fixed = 2 + topic(message, header).len() + header.packet_id.map_or(0, |_| 2) + message.payload().len();
    if version == Version::V5 {
        let properties = properties_length(message, header);
        fixed + variable_size(properties) + properties
    } else {
        fixed
    }
}

/// Writes a PUBLISH.
///
/// An MQTT 3 client gets the message without properties. `now_ms` is for the Message Expiry Interval, which says
/// how long the message still lives (MQTT-3.3.2-6).
pub(super) fn publish(
    out: &mut BytesMut,
    message: &Message,
    header: &PublishHeader<'_>,
    version: Version,
    now_ms: u64,
) {
    let remaining = remaining_length(message, header, version);
    let topic = topic(message, header);
    out.reserve(5 + remaining);
    out.put_u8(0x30 | u8::from(header.dup) << 3 | header.qos.value() << 1 | u8::from(header.retain));
    put_variable(out, remaining);
    out.put_u16(u16::try_from(topic.len()).expect("a message's topic has at most 65,535 bytes"));
    out.put_slice(topic);
    if let Some(id) = header.packet_id {
        out.put_u16(id.get());
    }
    if version == Version::V5 {
        put_variable(out, properties_length(message, header));
        if message.expires_at() != NEVER {
            let left = message.expires_at().saturating_sub(now_ms).div_ceil(1000);
            out.put_u8(0x02);
            out.put_u32(u32::try_from(left).unwrap_or(u32::MAX));
        }
        if let Alias::Defines(alias) | Alias::Is(alias) = header.alias {
            out.put_u8(0x23);
            out.put_u16(alias);
        }
        out.put_slice(message.properties());
        for id in header.subscription_ids {
            out.put_u8(0x0b);
            put_variable(out, id.get() as usize);
        }
    }
    out.put_slice(message.payload());
}

/// The four acknowledgements of a publish, by their first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Ack {
    /// PUBACK.
    Puback = 0x40,
    /// PUBREC.
    Pubrec = 0x50,
    /// PUBREL.
    Pubrel = 0x62,
    /// PUBCOMP.
    Pubcomp = 0x70,
}

/// Writes an acknowledgement; the reason goes to MQTT 5 clients only, and with code 0 is left out (3.4.2.1).
pub(super) fn ack(
    out: &mut BytesMut,
    ack: Ack,
    packet_id: NonZeroU16,
    code: u8,
    reason: Option<&str>,
    version: Version,
) {
    if version != Version::V5 || code == 0 {
        out.put_slice(&[ack as u8, 2]);
        out.put_u16(packet_id.get());
        return;
    }
    let reason = reason.filter(|reason| reason.len() <= 1024).unwrap_or_default().as_bytes();
    if reason.is_empty() {
        out.put_slice(&[ack as u8, 3]);
        out.put_u16(packet_id.get());
        out.put_u8(code);
        return;
    }
    let properties = 3 + reason.len();
    out.put_u8(ack as u8);
    put_variable(out, 3 + variable_size(properties) + properties);
    out.put_u16(packet_id.get());
    out.put_u8(code);
    put_variable(out, properties);
    out.put_u8(0x1f);
    out.put_u16(u16::try_from(reason.len()).expect("at most 1,024"));
    out.put_slice(reason);
}

/// Writes an MQTT 3.1 or 3.1.1 packet.
pub(super) fn v3(out: &mut BytesMut, packet: v3::Packet) {
    if let Err(error) = v3::Codec::new(0).encode(packet, out) {
        tracing::error!(%error, "a packet of our own could not be encoded");
    }
}

/// Writes an MQTT 5 packet.
pub(super) fn v5(out: &mut BytesMut, packet: v5::Packet) {
    if let Err(error) = v5::Codec::new(0, 0).encode(packet, out) {
        tracing::error!(%error, "a packet of our own could not be encoded");
    }
}

fn variable_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn put_variable(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 0x80")]
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Parts;

    fn message(expires_at: u64) -> Message {
        Message::new(&Parts {
            qos: QoS::AtLeastOnce,
            retain: false,
            publisher: 1,
            expires_at,
            topic: "a/b",
            properties: b"\x01\x01",
            payload: b"hello",
        })
    }

    fn encoded(message: &Message, ids: &[NonZeroU32], alias: Alias, version: Version) -> BytesMut {
        let header = PublishHeader {
            qos: QoS::AtLeastOnce,
            packet_id: NonZeroU16::new(7),
            dup: true,
            retain: false,
            subscription_ids: ids,
            alias,
        };
        let mut out = BytesMut::new();
        publish(&mut out, message, &header, version, 1_000);
        assert_eq!(out.len(), publish_size(message, &header, version));
        out
    }

    #[test]
    fn mqtt_3_clients_get_the_message_without_properties() {
        assert_eq!(&encoded(&message(9_000), &[], Alias::None, Version::V311)[..], b"\x3a\x0c\x00\x03a/b\x00\x07hello");
    }

    #[test]
    fn mqtt_5_clients_get_properties_identifiers_and_the_time_left() {
        assert_eq!(
            &encoded(&message(3_500), &[5, 300].map(|id| NonZeroU32::new(id).unwrap()), Alias::None, Version::V5)[..],
            b"\x3a\x19\x00\x03a/b\x00\x07\x0c\x02\x00\x00\x00\x03\x01\x01\x0b\x05\x0b\xac\x02hello"
        );
    }

    #[test]
    fn an_alias_stands_beside_the_topic_first_and_for_it_then() {
        assert_eq!(
            &encoded(&message(NEVER), &[], Alias::Defines(2), Version::V5)[..],
            b"\x3a\x12\x00\x03a/b\x00\x07\x05\x23\x00\x02\x01\x01hello"
        );
        assert_eq!(
            &encoded(&message(NEVER), &[], Alias::Is(2), Version::V5)[..],
            b"\x3a\x0f\x00\x00\x00\x07\x05\x23\x00\x02\x01\x01hello"
        );
    }

    #[test]
    fn a_reason_goes_to_mqtt_5_clients_only() {
        let id = NonZeroU16::new(9).unwrap();
        let mut out = BytesMut::new();
        ack(&mut out, Ack::Puback, id, 0x97, Some("busy"), Version::V311);
        ack(&mut out, Ack::Puback, id, 0x97, Some("busy"), Version::V5);
        ack(&mut out, Ack::Puback, id, 0x97, None, Version::V5);
        assert_eq!(&out[..], b"\x40\x02\x00\x09\x40\x0b\x00\x09\x97\x07\x1f\x00\x04busy\x40\x03\x00\x09\x97");
    }
}
