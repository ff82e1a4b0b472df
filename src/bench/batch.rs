//! What a publisher writes, made once and sent again and again.

use super::payload::Mark;
use super::shape::Publisher;
use super::wire;
use crate::sim::fleet::Version;

/// Several PUBLISH packets that leave in one write; only packet identifiers and marks change from write to write.
#[derive(Debug)]
pub(super) struct PublishBatch {
    bytes: Vec<u8>,
    /// The length of one packet, and where in it the packet identifier and the payload stand.
    length: usize,
    identifier: usize,
    payload: usize,
    qos: u8,
    mark: Mark,
    /// The publisher's number.
    number: u32,
    next: u32,
}

impl PublishBatch {
    pub(super) fn new(publisher: &Publisher, number: u32, version: Version, qos: u8, messages: usize) -> Self {
        let form = &publisher.form;
        let (one, identifier, payload) = wire::publish(version, &publisher.topic, qos, &form.bytes);
        let (length, mark) = (one.len(), form.mark);
        Self { bytes: one.repeat(messages), length, identifier, payload, qos, mark, number, next: 0 }
    }

    /// The bytes of the next write. Identifiers go round through 1..=65535 [MQTT-2.3.1-1]; the window of
    /// unacknowledged messages is far shorter, so none is reused too early.
    pub(super) fn next(&mut self) -> &[u8] {
        for packet in self.bytes.chunks_exact_mut(self.length) {
            if self.qos > 0 {
                let identifier = (self.next % u32::from(u16::MAX)) as u16 + 1;
                packet[self.identifier..self.identifier + 2].copy_from_slice(&identifier.to_be_bytes());
            }
            self.mark.write(&mut packet[self.payload..], self.number, self.next);
            self.next = self.next.wrapping_add(1);
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::payload::Form;

    #[test]
    fn every_message_has_its_own_identifier_and_mark() {
        let publisher = Publisher { topic: "t".to_owned(), form: Form::plain(8), uploading: None };
        let mut batch = PublishBatch::new(&publisher, 7, Version::V311, 1, 2);
        let first = |bytes: &[u8]| bytes.chunks(15).map(|packet| (packet[6], packet[14])).collect::<Vec<_>>();
        assert_eq!(first(batch.next()), [(1, 0), (2, 1)]);
        assert_eq!(first(batch.next()), [(3, 2), (4, 3)]);
        assert_eq!(batch.next()[7..15], [0, 0, 0, 7, 0, 0, 0, 4]);
    }

    #[test]
    fn identifiers_go_round_and_are_never_zero() {
        let publisher = Publisher { topic: "t".to_owned(), form: Form::plain(8), uploading: None };
        let mut batch = PublishBatch::new(&publisher, 0, Version::V5, 2, 1);
        let mut next = || {
            let bytes = batch.next();
            u16::from_be_bytes([bytes[5], bytes[6]])
        };
        let identifiers: Vec<u16> = (0..65_537).map(|_| next()).collect();
        assert_eq!(identifiers[0], 1);
        assert_eq!(identifiers[65_534..], [65_535, 1, 2]);
    }
}
