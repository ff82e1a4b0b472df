//! What a publisher writes, made once and sent again and again.

use crate::wire::{PUBLISH, packet, push_text};

/// Several PUBLISH packets that leave in one write; only their packet identifiers change from write to write.
#[derive(Debug)]
pub(crate) struct PublishBatch {
    bytes: Vec<u8>,
    /// Where each packet's identifier stands; empty at QoS 0, which has none.
    identifiers: Vec<usize>,
    next_identifier: u16,
}

impl PublishBatch {
    pub(crate) fn new(topic: &str, payload_bytes: usize, qos: u8, messages: usize) -> Self {
        let mut body = Vec::new();
        push_text(&mut body, topic);
        let identifier = body.len();
        if qos > 0 {
            body.extend_from_slice(&[0, 0]);
        }
        body.resize(body.len() + payload_bytes, b'x');
        let one = packet(PUBLISH | qos << 1, &body);
        let header = one.len() - body.len();
        let identifiers = match qos {
            0 => Vec::new(),
            _ => (0..messages).map(|i| i * one.len() + header + identifier).collect(),
        };
        Self { bytes: one.repeat(messages), identifiers, next_identifier: 1 }
    }

    /// The bytes of the next write. Identifiers go round through 1..=65535 [MQTT-2.3.1-1]; the window of
    /// unacknowledged messages is far shorter, so none is reused too early.
    pub(crate) fn next(&mut self) -> &[u8] {
        for at in &self.identifiers {
            self.bytes[*at..*at + 2].copy_from_slice(&self.next_identifier.to_be_bytes());
            self.next_identifier = self.next_identifier.checked_add(1).unwrap_or(1);
        }
        &self.bytes
    }
}
