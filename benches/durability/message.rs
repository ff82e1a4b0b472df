//! Messages that can be told apart, so that what is lost or comes twice is seen.

use anyhow::{Context, bail};
use dockgate::bench::{Packet, Version};

use crate::client::packet::{self, Message, PUBLISH};

/// The number stands at the payload's beginning.
pub(crate) const SMALLEST_PAYLOAD: usize = 8;

/// The PUBLISH packets at QoS 1 to one topic, which differ in their identifier and their number only.
#[derive(Debug)]
pub(crate) struct Numbered {
    bytes: Vec<u8>,
    identifier: usize,
    next: u64,
}

impl Numbered {
    pub(crate) fn new(topic: &str, payload_bytes: usize) -> Self {
        let payload = vec![b'x'; payload_bytes.max(SMALLEST_PAYLOAD)];
        let message = Message { topic, payload: &payload, qos: 1, retain: false };
        let bytes = packet::publish(Version::V311, 0, &message);
        let identifier = bytes.len() - payload.len() - 2;
        Self { bytes, identifier, next: 0 }
    }

    /// The next message, under this packet identifier.
    pub(crate) fn next(&mut self, identifier: u16) -> &[u8] {
        let payload = self.identifier + 2;
        self.bytes[self.identifier..payload].copy_from_slice(&identifier.to_be_bytes());
        self.bytes[payload..payload + SMALLEST_PAYLOAD].copy_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        &self.bytes
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.next
    }
}

/// The packet identifier and the number of a message that a subscriber to `topic` got.
pub(crate) fn read(packet: Packet<'_>, topic: &str, payload_bytes: usize) -> anyhow::Result<([u8; 2], u64)> {
    let length = 2 + topic.len() + 2 + payload_bytes.max(SMALLEST_PAYLOAD);
    if packet.kind() != PUBLISH || packet.qos() != 1 || packet.body.len() != length {
        bail!("got a packet of type {:#04x} and {} bytes, not a message", packet.first, packet.body.len());
    }
    if packet.body[2..2 + topic.len()] != *topic.as_bytes() {
        bail!("got a message that is not for {topic}");
    }
    let identifier = packet.identifier().context("a PUBLISH without identifier")?;
    let number = packet.body[2 + topic.len() + 2..].first_chunk().context("a PUBLISH without number")?;
    Ok((identifier, u64::from_be_bytes(*number)))
}
