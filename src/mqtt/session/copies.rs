//! Copies of messages that overlapping subscriptions bring a second time.

use crate::message::Message;
use std::collections::VecDeque;

/// How many a session waits for.
const MOST: usize = 4096;
/// Bytes that these may keep alive.
const MOST_BYTES: usize = 4 << 20;

/// Messages delivered by an exact subscription whose wildcard copy is still on its way.
#[derive(Debug, Default)]
pub(super) struct Copies {
    expected: VecDeque<Message>,
    bytes: usize,
}

impl Copies {
    /// A wildcard copy of a message that has just been delivered will come. If too many are on their way, it will be
    /// delivered too, which MQTT allows (MQTT-3.3.4-5).
    pub(super) fn expect(&mut self, message: &Message) {
        if self.expected.len() < MOST && self.bytes < MOST_BYTES {
            self.bytes += message.size();
            self.expected.push_back(message.clone());
        }
    }

    /// Whether a message is one of them; then it is expected no longer.
    pub(super) fn take(&mut self, message: &Message) -> bool {
        let Some(at) = self.expected.iter().position(|copy| copy.is_same(message)) else { return false };
        self.bytes -= message.size();
        self.expected.remove(at);
        true
    }

    /// Forgets those that will not come.
    pub(super) fn retain(&mut self, will_come: impl Fn(&Message) -> bool) {
        self.expected.retain(will_come);
        self.bytes = self.expected.iter().map(Message::size).sum();
    }
}
