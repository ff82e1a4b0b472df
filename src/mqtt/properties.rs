//! MQTT 5 properties (2.2.2): one walk over them that checks what holds for all packets.

use super::fault::Fault;
use super::topic::has_wildcard;
use super::wire::Reader;
use smallvec::SmallVec;
use std::ops::Range;

/// Identifiers that the broker looks at.
pub(super) mod id {
    pub(in crate::mqtt) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(in crate::mqtt) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
    pub(in crate::mqtt) const TOPIC_ALIAS: u8 = 0x23;
    const PAYLOAD_FORMAT: u8 = 0x01;
    const CONTENT_TYPE: u8 = 0x03;
    const RESPONSE_TOPIC: u8 = 0x08;
    const CORRELATION_DATA: u8 = 0x09;
    const SESSION_EXPIRY: u8 = 0x11;
    const AUTHENTICATION_METHOD: u8 = 0x15;
    const AUTHENTICATION_DATA: u8 = 0x16;
    const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    const WILL_DELAY: u8 = 0x18;
    const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    const REASON_STRING: u8 = 0x1f;
    const RECEIVE_MAXIMUM: u8 = 0x21;
    const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    const USER: u8 = 0x26;
    const MAXIMUM_PACKET_SIZE: u8 = 0x27;

    /// What a client's packets may have, by packet (table 2-4).
    pub(in crate::mqtt) const CONNECT: u64 = bits(&[
        SESSION_EXPIRY,
        AUTHENTICATION_METHOD,
        AUTHENTICATION_DATA,
        REQUEST_PROBLEM_INFORMATION,
        REQUEST_RESPONSE_INFORMATION,
        RECEIVE_MAXIMUM,
        TOPIC_ALIAS_MAXIMUM,
        USER,
        MAXIMUM_PACKET_SIZE,
    ]);
    pub(in crate::mqtt) const WILL: u64 =
        bits(&[PAYLOAD_FORMAT, MESSAGE_EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA, WILL_DELAY, USER]);
    pub(in crate::mqtt) const PUBLISH: u64 = bits(&[
        PAYLOAD_FORMAT,
        MESSAGE_EXPIRY,
        CONTENT_TYPE,
        RESPONSE_TOPIC,
        CORRELATION_DATA,
        SUBSCRIPTION_IDENTIFIER,
        TOPIC_ALIAS,
        USER,
    ]);
    pub(in crate::mqtt) const ACKNOWLEDGEMENT: u64 = bits(&[REASON_STRING, USER]);
    pub(in crate::mqtt) const SUBSCRIBE: u64 = bits(&[SUBSCRIPTION_IDENTIFIER, USER]);
    pub(in crate::mqtt) const UNSUBSCRIBE: u64 = bits(&[USER]);
    pub(in crate::mqtt) const DISCONNECT: u64 = bits(&[SESSION_EXPIRY, REASON_STRING, USER]);

    const fn bits(ids: &[u8]) -> u64 {
        let (mut bits, mut at) = (0, 0);
        while at < ids.len() {
            bits |= 1 << ids[at];
            at += 1;
        }
        bits
    }
}

/// The properties of one packet.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    /// All as encoded, without their length.
    raw: &'a [u8],
    /// Where in `raw` those of a PUBLISH stand that end at the broker.
    ended_here: SmallVec<[Range<usize>; 2]>,
    /// Topic Alias.
    pub(super) topic_alias: Option<u16>,
    /// Message Expiry Interval in seconds.
    pub(super) expiry: Option<u32>,
}

impl<'a> Properties<'a> {
    /// Checks properties: known, allowed in the packet (`allowed`, one of [`id`]'s), at most once, with valid values.
    pub(super) fn read(raw: &'a [u8], allowed: u64, user_properties: usize) -> Result<Self, Fault> {
        let mut found = Self { raw, ..Self::default() };
        let (mut seen, mut users) = (0u64, 0usize);
        let mut reader = Reader(raw);
        while !reader.0.is_empty() {
            let start = raw.len() - reader.0.len();
            let id = reader.u8()?;
            if id > 0x2a || allowed & (1 << id) == 0 {
                return Err(Fault::malformed("a property that the packet doesn't have"));
            }
            if id != 0x26 && seen & (1 << id) != 0 {
                return Err(Fault::protocol("a property stands twice"));
            }
            seen |= 1 << id;
            match id {
                0x01 | 0x17 | 0x19 => {
                    if reader.u8()? > 1 {
                        return Err(Fault::protocol("a flag property that is neither 0 nor 1"));
                    }
                }
                0x02 => found.expiry = Some(reader.u32()?),
                0x11 | 0x18 => drop(reader.u32()?),
                0x27 => nonzero(reader.u32()?)?,
                0x21 => nonzero(u32::from(reader.u16()?))?,
                0x22 => drop(reader.u16()?),
                0x23 => found.topic_alias = Some(reader.u16()?),
                0x0b => nonzero(u32::try_from(reader.variable()?).unwrap_or(u32::MAX))?,
                0x08 => {
                    if has_wildcard(reader.string()?) {
                        return Err(Fault::protocol("a wildcard in the response topic")); // MQTT-3.3.2-14
                    }
                }
                0x03 | 0x15 | 0x1f => drop(reader.string()?),
                0x09 | 0x16 => drop(reader.binary()?),
                0x26 => {
                    reader.string()?;
                    reader.string()?;
                    users += 1;
                    if users > user_properties {
                        return Err(Fault::USER_PROPERTIES);
                    }
                }
                _ => return Err(Fault::malformed("a property that no client sends")),
            }
            if matches!(id, id::MESSAGE_EXPIRY | id::TOPIC_ALIAS) {
                found.ended_here.push(start..raw.len() - reader.0.len());
            }
        }
        if allowed == id::PUBLISH && seen & (1 << id::SUBSCRIPTION_IDENTIFIER) != 0 {
            return Err(Fault::protocol("a subscription identifier from a client")); // MQTT-3.3.4-6
        }
        Ok(found)
    }

    /// Those to forward to MQTT 5 subscribers, in their order (MQTT-3.3.2-17: user properties keep it).
    ///
    /// Topic Alias concerns one connection only, and Message Expiry Interval is written anew when it is sent on.
    #[must_use]
    pub(super) fn forwarded(&self) -> std::borrow::Cow<'a, [u8]> {
        if self.ended_here.is_empty() {
            return self.raw.into();
        }
        let mut kept = Vec::with_capacity(self.raw.len());
        let mut at = 0;
        for range in &self.ended_here {
            kept.extend_from_slice(&self.raw[at..range.start]);
            at = range.end;
        }
        kept.extend_from_slice(&self.raw[at..]);
        kept.into()
    }
}

fn nonzero(value: u32) -> Result<(), Fault> {
    if value == 0 { Err(Fault::protocol("a property that must not be 0")) } else { Ok(()) }
}
