//! What a client says in MQTT 3.1.1 and 5, as bytes. By hand, as in `dockgate bench`: the generator shares
//! the machine with what it measures.

use dockgate::bench::Version;

/// First bytes of packets, without their flags.
pub(crate) const CONNACK: u8 = 0x20;
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x60;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const SUBACK: u8 = 0x90;
pub(crate) const UNSUBACK: u8 = 0xb0;

/// A whole DISCONNECT, in either version.
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];

/// The flags that MQTT prescribes for PUBREL, SUBSCRIBE and UNSUBSCRIBE [MQTT-2.2.2-1].
const PRESCRIBED: u8 = 0x02;
/// Identifier of the property Session Expiry Interval.
const SESSION_EXPIRY: u8 = 0x11;

/// Long enough that no client sends a PINGREQ, and not 0, which rumqttd takes for "at once".
const KEEP_ALIVE_SECONDS: u16 = 3600;

/// Who connects, and how.
#[derive(Debug, Clone)]
pub(crate) struct Connect<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) version: Version,
    /// Whether it starts without what it had.
    pub(crate) clean: bool,
    /// Seconds that its session is kept after it has gone; only MQTT 5 can say it.
    pub(crate) expiry: u32,
    pub(crate) will: Option<Message<'a>>,
}

impl<'a> Connect<'a> {
    /// In MQTT 3.1.1, without a will.
    pub(crate) fn plain(client_id: &'a str, clean: bool) -> Self {
        Self { client_id, version: Version::V311, clean, expiry: 0, will: None }
    }
}

/// What is published, now or as a will.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// A CONNECT without credentials.
pub(crate) fn connect(who: &Connect<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    push(&mut body, b"MQTT");
    let will = who.will.map_or(0, |will| 0x04 | will.qos << 3 | u8::from(will.retain) << 5);
    let level = match who.version {
        Version::V311 => 4,
        Version::V5 => 5,
    };
    body.extend_from_slice(&[level, u8::from(who.clean) << 1 | will]);
    body.extend_from_slice(&KEEP_ALIVE_SECONDS.to_be_bytes());
    if who.version == Version::V5 {
        body.extend_from_slice(&[5, SESSION_EXPIRY]);
        body.extend_from_slice(&who.expiry.to_be_bytes());
    }
    push(&mut body, who.client_id.as_bytes());
    if let Some(will) = who.will {
        push_no_properties(&mut body, who.version);
        push(&mut body, will.topic.as_bytes());
        push(&mut body, will.payload);
    }
    packet(0x10, &body)
}

/// A SUBSCRIBE to all filters at one QoS.
pub(crate) fn subscribe(version: Version, identifier: u16, filters: &[String], qos: u8) -> Vec<u8> {
    let mut body = identifier.to_be_bytes().to_vec();
    push_no_properties(&mut body, version);
    for filter in filters {
        push(&mut body, filter.as_bytes());
        body.push(qos);
    }
    packet(0x80 | PRESCRIBED, &body)
}

/// An UNSUBSCRIBE from all filters.
pub(crate) fn unsubscribe(version: Version, identifier: u16, filters: &[String]) -> Vec<u8> {
    let mut body = identifier.to_be_bytes().to_vec();
    push_no_properties(&mut body, version);
    for filter in filters {
        push(&mut body, filter.as_bytes());
    }
    packet(0xa0 | PRESCRIBED, &body)
}

/// A PUBLISH; at QoS 0 its identifier is not sent.
pub(crate) fn publish(version: Version, identifier: u16, message: &Message<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(message.topic.len() + message.payload.len() + 8);
    push(&mut body, message.topic.as_bytes());
    if message.qos > 0 {
        body.extend_from_slice(&identifier.to_be_bytes());
    }
    push_no_properties(&mut body, version);
    body.extend_from_slice(message.payload);
    packet(PUBLISH | message.qos << 1 | u8::from(message.retain), &body)
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP.
pub(crate) fn acknowledgement(kind: u8, identifier: [u8; 2]) -> [u8; 4] {
    let flags = if kind == PUBREL { PRESCRIBED } else { 0 };
    [kind | flags, 2, identifier[0], identifier[1]]
}

fn push_no_properties(body: &mut Vec<u8>, version: Version) {
    if version == Version::V5 {
        body.push(0);
    }
}

fn push(body: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("the bench's own names are short");
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(bytes);
}

/// A packet of this first byte and body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 5);
    bytes.push(first);
    let mut length = body.len();
    while length >= 128 {
        bytes.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(body);
    bytes
}
