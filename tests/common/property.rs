//! MQTT 5 properties (OASIS MQTT 5.0, 2.2.2), written and read independently of the broker's codec.

use super::packet::{Reader, put_bytes, put_variable};

/// A property's value, by its type on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Byte(u8),
    Two(u16),
    Four(u32),
    Variable(u32),
    Text(String),
    Bytes(Vec<u8>),
    Pair(String, String),
}

/// A property: its identifier and its value.
pub(crate) type Property = (u8, Value);

pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION: u8 = 0x09;
pub(crate) const SUBSCRIPTION_ID: u8 = 0x0b;
pub(crate) const SESSION_EXPIRY: u8 = 0x11;
pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(crate) const AUTH_METHOD: u8 = 0x15;
pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(crate) const WILL_DELAY: u8 = 0x18;
pub(crate) const REASON: u8 = 0x1f;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const USER: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;

/// A property with a text.
pub(crate) fn text(id: u8, value: &str) -> Property {
    (id, Value::Text(value.to_owned()))
}

/// A user property.
pub(crate) fn user(name: &str, value: &str) -> Property {
    (USER, Value::Pair(name.to_owned(), value.to_owned()))
}

/// How long the server keeps the session after the connection, in seconds.
pub(crate) fn session_expiry(seconds: u32) -> Property {
    (SESSION_EXPIRY, Value::Four(seconds))
}

/// Appends the properties with their length in front.
pub(crate) fn put_properties(out: &mut Vec<u8>, properties: &[Property]) {
    let mut body = Vec::new();
    for (id, value) in properties {
        body.push(*id);
        match value {
            Value::Byte(v) => body.push(*v),
            Value::Two(v) => body.extend_from_slice(&v.to_be_bytes()),
            Value::Four(v) => body.extend_from_slice(&v.to_be_bytes()),
            Value::Variable(v) => put_variable(&mut body, *v),
            Value::Text(v) => put_bytes(&mut body, v.as_bytes()),
            Value::Bytes(v) => put_bytes(&mut body, v),
            Value::Pair(name, v) => {
                put_bytes(&mut body, name.as_bytes());
                put_bytes(&mut body, v.as_bytes());
            }
        }
    }
    put_variable(out, u32::try_from(body.len()).expect("properties fit"));
    out.extend_from_slice(&body);
}

/// Reads a property block; none is there when the packet ends before it.
pub(crate) fn take_properties(reader: &mut Reader<'_>) -> Vec<Property> {
    let mut properties = Vec::new();
    if reader.is_empty() {
        return properties;
    }
    let length = reader.variable() as usize;
    let mut block = Reader::new(reader.take(length));
    while !block.is_empty() {
        let id = block.byte();
        let value = match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => Value::Byte(block.byte()),
            0x13 | 0x21 | 0x22 | 0x23 => Value::Two(block.two()),
            0x02 | 0x11 | 0x18 | 0x27 => Value::Four(block.four()),
            0x0b => Value::Variable(block.variable()),
            0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => Value::Text(block.text()),
            0x09 | 0x16 => Value::Bytes(block.bytes()),
            0x26 => Value::Pair(block.text(), block.text()),
            other => panic!("the broker sent the unknown property {other:#04x}"),
        };
        properties.push((id, value));
    }
    properties
}

/// The value of the first property with this identifier.
pub(crate) fn find(properties: &[Property], id: u8) -> Option<&Value> {
    properties.iter().find(|(found, _)| *found == id).map(|(_, value)| value)
}
