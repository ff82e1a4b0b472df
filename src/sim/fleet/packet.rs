//! The client's half of MQTT 3.1.1 and 5: what it writes, straight into the buffer that goes to the socket, and what
//! it reads, as slices of the buffer that came from there.
//!
//! It is written out here, and strict, because this client judges brokers: the codec of the broker that stands in
//! this crate would not see its own mistakes.

use bytes::{BufMut as _, BytesMut};
use thiserror::Error;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// What a broker sends that it must not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the broker broke the protocol: {0}")]
pub(super) struct Malformed(&'static str);

/// What a CONNECT says. The session is always new: what is lost with a connection is what is to be seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connect<'a> {
    pub(super) client_id: &'a str,
    pub(super) keep_alive: u16,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a [u8]>,
}

/// A packet from the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    ConnAck(ConnAck),
    Publish {
        topic: &'a str,
        payload: &'a [u8],
        /// The packet identifier, if it is to be acknowledged.
        acknowledge: Option<u16>,
    },
    PubAck {
        pid: u16,
        code: u8,
    },
    PubRec {
        pid: u16,
        code: u8,
    },
    PubComp {
        pid: u16,
    },
    SubAck {
        codes: &'a [u8],
    },
    PingResp,
    /// MQTT 5 only.
    Disconnect {
        code: u8,
    },
}

/// What the broker allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnAck {
    /// 0, or why not.
    pub(super) code: u8,
    /// Messages of QoS 1 and 2 that may wait for their acknowledgement.
    pub(super) receive_maximum: u16,
    /// Seconds, if the broker wants another keep-alive than was asked for.
    pub(super) keep_alive: Option<u16>,
}

/// What a reason code says, of those with which brokers turn clients away: below 0x80 MQTT 3.1.1's, from there MQTT 5's.
pub(crate) fn reason(code: u8) -> &'static str {
    match code {
        0x01 | 0x84 => "unacceptable protocol version",
        0x02 | 0x85 => "client identifier not valid",
        0x03 | 0x88 => "server unavailable",
        0x04 | 0x86 => "bad user name or password",
        0x05 | 0x87 => "not authorized",
        0x80 => "failure",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x89 => "server busy",
        0x8a => "banned",
        0x8b => "server shutting down",
        0x8d => "keep-alive timeout",
        0x8e => "session taken over",
        0x93 => "receive maximum exceeded",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x9f => "connection rate exceeded",
        _ => "for another reason",
    }
}

/// CONNECT.
pub(super) fn connect(out: &mut BytesMut, version: Version, connect: &Connect<'_>) {
    let properties = usize::from(version == Version::V5);
    let text = |text: &[u8]| 2 + text.len();
    let length = 10
        + properties
        + text(connect.client_id.as_bytes())
        + connect.user.map_or(0, |user| text(user.as_bytes()))
        + connect.password.map_or(0, text);
    header(out, 0x10, length);
    put_text(out, b"MQTT");
    out.put_u8(if version == Version::V5 { 5 } else { 4 });
    let flag = |is_set: bool, bit: u8| u8::from(is_set) << bit;
    out.put_u8(0x02 | flag(connect.user.is_some(), 7) | flag(connect.password.is_some(), 6));
    out.put_u16(connect.keep_alive);
    if version == Version::V5 {
        out.put_u8(0);
    }
    put_text(out, connect.client_id.as_bytes());
    if let Some(user) = connect.user {
        put_text(out, user.as_bytes());
    }
    if let Some(password) = connect.password {
        put_text(out, password);
    }
}

/// SUBSCRIBE to all of these at QoS 1.
pub(super) fn subscribe(out: &mut BytesMut, version: Version, pid: u16, filters: &[String]) {
    let properties = usize::from(version == Version::V5);
    let length = 2 + properties + filters.iter().map(|filter| 3 + filter.len()).sum::<usize>();
    header(out, 0x82, length);
    out.put_u16(pid);
    if version == Version::V5 {
        out.put_u8(0);
    }
    for filter in filters {
        put_text(out, filter.as_bytes());
        out.put_u8(1);
    }
}

/// PUBLISH up to its payload, of which exactly `payload` bytes must follow. `pid` is read at QoS 1 and 2 only.
pub(super) fn publish(out: &mut BytesMut, version: Version, topic: &str, qos: u8, pid: u16, payload: usize) {
    let properties = usize::from(version == Version::V5);
    let pid_bytes = if qos > 0 { 2 } else { 0 };
    let length = 2 + topic.len() + pid_bytes + properties + payload;
    out.reserve(length + 5);
    header(out, 0x30 | qos << 1, length);
    put_text(out, topic.as_bytes());
    if qos > 0 {
        out.put_u16(pid);
    }
    if version == Version::V5 {
        out.put_u8(0);
    }
}

/// PUBACK.
pub(super) fn puback(out: &mut BytesMut, pid: u16) {
    acknowledge(out, 0x40, pid);
}

/// PUBREL.
pub(super) fn pubrel(out: &mut BytesMut, pid: u16) {
    acknowledge(out, 0x62, pid);
}

fn acknowledge(out: &mut BytesMut, first: u8, pid: u16) {
    out.put_slice(&[first, 2]);
    out.put_u16(pid);
}

/// PINGREQ.
pub(super) fn pingreq(out: &mut BytesMut) {
    out.put_slice(&[0xc0, 0]);
}

/// DISCONNECT, the normal one.
pub(super) fn disconnect(out: &mut BytesMut) {
    out.put_slice(&[0xe0, 0]);
}

fn header(out: &mut BytesMut, first: u8, mut length: usize) {
    out.put_u8(first);
    loop {
        let more = length > 0x7f;
        // Seven bits.
        out.put_u8((length & 0x7f) as u8 | u8::from(more) << 7);
        length >>= 7;
        if !more {
            return;
        }
    }
}

/// Who calls it has text of at most 64 KiB: topics, names and passwords.
fn put_text(out: &mut BytesMut, text: &[u8]) {
    out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text);
}

/// The first packet in `bytes` and its length, if all of it is there.
pub(super) fn decode(bytes: &[u8], version: Version) -> Result<Option<(Packet<'_>, usize)>, Malformed> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut rest = Reader(rest);
    let length = match rest.variable() {
        Ok(length) => length,
        Err(_) if rest.0.len() >= 4 => return Err(Malformed("a remaining length of more than four bytes")),
        Err(_) => return Ok(None),
    };
    let body_at = bytes.len() - rest.0.len();
    let Some(body) = rest.0.get(..length) else { return Ok(None) };
    let packet = body_of(first, Reader(body), version)?;
    Ok(Some((packet, body_at + length)))
}

fn body_of(first: u8, mut body: Reader<'_>, version: Version) -> Result<Packet<'_>, Malformed> {
    let is_v5 = version == Version::V5;
    let packet = match first {
        0x20 => {
            body.byte()?;
            let mut ack = ConnAck { code: body.byte()?, receive_maximum: u16::MAX, keep_alive: None };
            if is_v5 {
                body.properties(|id, value| match id {
                    0x21 => ack.receive_maximum = value,
                    0x13 => ack.keep_alive = Some(value),
                    _ => {}
                })?;
            }
            Packet::ConnAck(ack)
        }
        0x30..=0x3f => {
            let qos = first >> 1 & 3;
            if qos > 1 {
                return Err(Malformed("a message of QoS 2 or 3 to a subscription of QoS 1"));
            }
            let topic = std::str::from_utf8(body.text()?).map_err(|_| Malformed("a topic that is not UTF-8"))?;
            let acknowledge = if qos == 1 { Some(body.two()?) } else { None };
            if is_v5 {
                body.properties(|_, _| {})?;
            }
            return Ok(Packet::Publish { topic, payload: body.0, acknowledge });
        }
        0x40 => {
            let (pid, code) = body.acknowledgement(is_v5)?;
            Packet::PubAck { pid, code }
        }
        0x50 => {
            let (pid, code) = body.acknowledgement(is_v5)?;
            Packet::PubRec { pid, code }
        }
        0x70 => Packet::PubComp { pid: body.acknowledgement(is_v5)?.0 },
        0x90 => {
            body.two()?;
            if is_v5 {
                body.properties(|_, _| {})?;
            }
            return Ok(Packet::SubAck { codes: body.0 });
        }
        0xd0 => Packet::PingResp,
        0xe0 if is_v5 => {
            let code = if body.0.is_empty() { 0 } else { body.byte()? };
            body.0 = &[];
            Packet::Disconnect { code }
        }
        _ => return Err(Malformed("a packet of a type or with flags that no server sends")),
    };
    if body.0.is_empty() { Ok(packet) } else { Err(Malformed("bytes behind the end of a packet")) }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

const SHORT: Malformed = Malformed("a packet that ends too early");

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn two(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.two()?;
        self.take(usize::from(length))
    }

    /// A variable byte integer.
    fn variable(&mut self) -> Result<usize, Malformed> {
        let mut value = 0;
        for (at, byte) in self.0.iter().enumerate().take(4) {
            value |= usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(SHORT)
    }

    fn acknowledgement(&mut self, is_v5: bool) -> Result<(u16, u8), Malformed> {
        let pid = self.two()?;
        if !is_v5 || self.0.is_empty() {
            return Ok((pid, 0));
        }
        let code = self.byte()?;
        if !self.0.is_empty() {
            self.properties(|_, _| {})?;
        }
        Ok((pid, code))
    }

    /// Goes through the properties and tells of those that are two-byte integers.
    fn properties(&mut self, mut tell: impl FnMut(u8, u16)) -> Result<(), Malformed> {
        let length = self.variable()?;
        let mut block = Self(self.take(length)?);
        while !block.0.is_empty() {
            let id = block.byte()?;
            match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => {
                    block.byte()?;
                }
                0x13 | 0x21 | 0x22 | 0x23 => tell(id, block.two()?),
                0x02 | 0x11 | 0x18 | 0x27 => {
                    block.take(4)?;
                }
                0x0b => {
                    block.variable()?;
                }
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => {
                    block.text()?;
                }
                0x26 => {
                    block.text()?;
                    block.text()?;
                }
                _ => return Err(Malformed("a property that MQTT 5 does not have")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
