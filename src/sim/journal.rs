//! What a simulated dock received and sent, byte for byte, so that its users can check what reached it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// One PUBLISH as it came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic name.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
}

/// The last messages of a dock. Clones share one journal.
#[derive(Debug, Clone)]
pub struct Journal {
    /// How many messages to keep each way; a thousand docks with a long memory would be a gigabyte.
    keep: usize,
    /// Held only for the push or the copy, never across an await.
    pages: Arc<Mutex<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    received: VecDeque<Message>,
    sent: VecDeque<Message>,
}

impl Journal {
    /// Keeps the last `keep` messages each way; 0 keeps none.
    pub fn keeping(keep: usize) -> Self {
        Self {
            keep,
            pages: Arc::default(),
        }
    }

    /// What the dock received, oldest first.
    pub fn received(&self) -> Vec<Message> {
        self.pages.lock().received.iter().cloned().collect()
    }

    /// What the dock sent, oldest first.
    pub fn sent(&self) -> Vec<Message> {
        self.pages.lock().sent.iter().cloned().collect()
    }

    pub(super) fn note_received(&self, message: Message) {
        push(&mut self.pages.lock().received, self.keep, message);
    }

    pub(super) fn note_sent(&self, message: Message) {
        push(&mut self.pages.lock().sent, self.keep, message);
    }
}

fn push(page: &mut VecDeque<Message>, keep: usize, message: Message) {
    page.push_back(message);
    while page.len() > keep {
        page.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str) -> Message {
        Message {
            topic: topic.to_owned(),
            payload: Bytes::new(),
        }
    }

    #[test]
    fn a_journal_keeps_the_last_messages_only() {
        let journal = Journal::keeping(2);
        for topic in ["a", "b", "c"] {
            journal.note_received(message(topic));
        }
        assert_eq!(journal.received(), [message("b"), message("c")]);
        assert_eq!(journal.sent(), []);
    }
}
