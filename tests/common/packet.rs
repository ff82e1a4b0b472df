//! What a client sends, as bytes, for MQTT 3.1, 3.1.1 and 5; and the reader for what comes back.

use super::property::{Property, put_properties};

/// The protocol level of CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V31 = 3,
    V311 = 4,
    V5 = 5,
}

pub(crate) use Version::{V5, V31, V311};

/// The three versions that one port takes.
pub(crate) const VERSIONS: [Version; 3] = [V31, V311, V5];

pub(crate) const PINGREQ: [u8; 2] = [0xc0, 0];
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];

/// A subscription option of MQTT 5: own messages do not come back.
pub(crate) const NO_LOCAL: u8 = 0x04;
/// A subscription option of MQTT 5: the retain flag stays as published.
pub(crate) const RETAIN_AS_PUBLISHED: u8 = 0x08;
/// A subscription option of MQTT 5: retained messages only if the subscription is new.
pub(crate) const RETAIN_IF_NEW: u8 = 0x10;
/// A subscription option of MQTT 5: no retained messages.
pub(crate) const RETAIN_NEVER: u8 = 0x20;

/// A whole packet: the first byte, the remaining length, the body.
pub(crate) fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    put_variable(&mut out, u32::try_from(body.len()).expect("the body fits"));
    out.extend_from_slice(body);
    out
}

/// Appends a variable byte integer (1.5.5).
pub(crate) fn put_variable(out: &mut Vec<u8>, mut value: u32) {
    loop {
        let byte = u8::try_from(value % 128).expect("less than 128");
        value /= 128;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Appends a length of two bytes and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("at most 65,535 bytes");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A message that the broker is to publish when the client is gone.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) properties: Vec<Property>,
}

/// CONNECT.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    id: String,
    clean: bool,
    keep_alive: u16,
    properties: Vec<Property>,
    will: Option<Will>,
    username: Option<String>,
    password: Option<String>,
}

impl Connect {
    /// A clean CONNECT with a keep-alive of 60 s.
    pub(crate) fn new(version: Version, id: &str) -> Self {
        Self {
            version,
            id: id.to_owned(),
            clean: true,
            keep_alive: 60,
            properties: Vec::new(),
            will: None,
            username: None,
            password: None,
        }
    }

    /// A CONNECT whose session outlives the connection, in the way of its version.
    pub(crate) fn persistent(version: Version, id: &str) -> Self {
        let connect = Self::new(version, id).resuming();
        if version == V5 {
            return connect.property(super::property::session_expiry(3600));
        }
        connect
    }

    pub(crate) fn resuming(mut self) -> Self {
        self.clean = false;
        self
    }

    pub(crate) fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    pub(crate) fn property(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    pub(crate) fn will(mut self, topic: &str, payload: &str) -> Self {
        self.will = Some(Will {
            topic: topic.to_owned(),
            payload: payload.as_bytes().to_vec(),
            qos: 1,
            retain: false,
            properties: Vec::new(),
        });
        self
    }

    pub(crate) fn change_will(mut self, change: impl FnOnce(&mut Will)) -> Self {
        change(self.will.as_mut().expect("a will was set"));
        self
    }

    pub(crate) fn login(mut self, username: &str, password: &str) -> Self {
        self.username = Some(username.to_owned());
        self.password = Some(password.to_owned());
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        if let Some(will) = &self.will {
            flags |= 0x04 | (will.qos << 3) | (u8::from(will.retain) << 5);
        }
        flags |= u8::from(self.password.is_some()) << 6;
        flags |= u8::from(self.username.is_some()) << 7;
        let mut body = Vec::new();
        let name: &[u8] = if self.version == V31 { b"MQIsdp" } else { b"MQTT" };
        put_bytes(&mut body, name);
        body.push(self.version as u8);
        body.push(flags);
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        if self.version == V5 {
            put_properties(&mut body, &self.properties);
        }
        put_bytes(&mut body, self.id.as_bytes());
        if let Some(will) = &self.will {
            if self.version == V5 {
                put_properties(&mut body, &will.properties);
            }
            put_bytes(&mut body, will.topic.as_bytes());
            put_bytes(&mut body, &will.payload);
        }
        for text in [&self.username, &self.password].into_iter().flatten() {
            put_bytes(&mut body, text.as_bytes());
        }
        frame(0x10, &body)
    }
}

/// PUBLISH, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    /// The packet identifier; on the wire only with QoS 1 and 2.
    pub(crate) pid: u16,
    pub(crate) properties: Vec<Property>,
}

impl Publish {
    /// A message at QoS 0.
    pub(crate) fn new(topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            retain: false,
            dup: false,
            pid: 0,
            properties: Vec::new(),
        }
    }

    pub(crate) fn qos(mut self, qos: u8, pid: u16) -> Self {
        self.qos = qos;
        self.pid = pid;
        self
    }

    pub(crate) fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    pub(crate) fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    pub(crate) fn property(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// The payload as text, for messages that tests compare.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    pub(crate) fn bytes(&self, version: Version) -> Vec<u8> {
        let first = 0x30 | (u8::from(self.dup) << 3) | (self.qos << 1) | u8::from(self.retain);
        let mut body = Vec::new();
        put_bytes(&mut body, self.topic.as_bytes());
        if self.qos > 0 {
            body.extend_from_slice(&self.pid.to_be_bytes());
        }
        if version == V5 {
            put_properties(&mut body, &self.properties);
        }
        body.extend_from_slice(&self.payload);
        frame(first, &body)
    }
}

/// SUBSCRIBE: filters with their options byte.
pub(crate) fn subscribe(version: Version, pid: u16, properties: &[Property], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = pid.to_be_bytes().to_vec();
    if version == V5 {
        put_properties(&mut body, properties);
    }
    for (filter, options) in filters {
        put_bytes(&mut body, filter.as_bytes());
        body.push(*options);
    }
    frame(0x82, &body)
}

/// UNSUBSCRIBE.
pub(crate) fn unsubscribe(version: Version, pid: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = pid.to_be_bytes().to_vec();
    if version == V5 {
        put_properties(&mut body, &[]);
    }
    for filter in filters {
        put_bytes(&mut body, filter.as_bytes());
    }
    frame(0xa2, &body)
}

/// The four acknowledgements of QoS 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    Puback = 0x40,
    Pubrec = 0x50,
    Pubrel = 0x60,
    Pubcomp = 0x70,
}

pub(crate) use Ack::{Puback, Pubcomp, Pubrec, Pubrel};

/// An acknowledgement without a reason code, which all versions read as success.
pub(crate) fn ack(kind: Ack, pid: u16) -> Vec<u8> {
    let flags = if kind == Pubrel { 0x02 } else { 0 };
    frame(kind as u8 | flags, &pid.to_be_bytes())
}

/// DISCONNECT of MQTT 5 with a reason code.
pub(crate) fn disconnect(code: u8, properties: &[Property]) -> Vec<u8> {
    let mut body = vec![code];
    put_properties(&mut body, properties);
    frame(0xe0, &body)
}

/// Reads a packet's body; a body that is too short fails the test.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        assert!(length <= self.rest.len(), "the broker's packet ends {} bytes too early", length - self.rest.len());
        let (head, rest) = self.rest.split_at(length);
        self.rest = rest;
        head
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.take(self.rest.len())
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub(crate) fn two(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    pub(crate) fn four(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    pub(crate) fn variable(&mut self) -> u32 {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte();
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
        }
        panic!("the broker sent a variable byte integer of five bytes");
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.two());
        self.take(length).to_vec()
    }

    pub(crate) fn text(&mut self) -> String {
        String::from_utf8(self.bytes()).expect("the broker sends UTF-8")
    }
}
