//! Retained messages (MQTT 5, 3.3.1.3).

use crate::message::Message;
use crate::metrics::Limit;
use crate::store::{self, Ticket};
use crate::tree::TopicTree;
use parking_lot::RwLock;
use std::sync::Arc;

/// The last retained message of every topic that has one.
#[derive(Debug)]
pub(super) struct Retained {
    store: RwLock<Store>,
    /// The broker's own, under `$SYS`, where nobody else may publish: in no account, and not stored.
    own: RwLock<TopicTree<Message>>,
    max_messages: usize,
    max_bytes: usize,
    /// Told of every change under the lock, so that it hears of them in their order.
    disk: Arc<store::Store>,
}

#[derive(Debug, Default)]
struct Store {
    tree: TopicTree<Message>,
    bytes: usize,
    /// When expired messages were last looked for.
    swept_ms: u64,
}

/// Memory of one level of a topic in the tree, in the account of `limits.retained_bytes`.
const NODE: usize = 400;
/// Expired messages are looked for when the store is full, but not more often than this.
const SWEEP_MS: u64 = 1000;

impl Store {
    fn remove(&mut self, topic: &str) -> Option<Message> {
        let removed = self.tree.remove(topic)?;
        self.bytes -= removed.size();
        Some(removed)
    }

    fn sweep(&mut self, now_ms: u64, disk: &store::Store) {
        self.swept_ms = now_ms;
        let mut expired = Vec::new();
        self.tree.for_each(|message| {
            if message.expires_at() <= now_ms {
                expired.push(message.clone());
            }
        });
        for message in expired {
            self.remove(message.topic());
            disk.unretain(message.topic());
        }
    }
}

/// The store is full, by this limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not retained: the store is at limits.{}", .0.as_str())]
pub(super) struct Full(pub(super) Limit);

impl Retained {
    /// An empty store with its bounds.
    #[must_use]
    pub(super) fn new(max_messages: usize, max_bytes: usize, disk: Arc<store::Store>) -> Self {
        Self { store: RwLock::default(), own: RwLock::default(), max_messages, max_bytes, disk }
    }

    /// Takes up what was there before a restart, whatever the limits are now.
    pub(super) fn restore(&self, messages: Vec<Message>, now_ms: u64) {
        let mut store = self.store.write();
        for message in messages {
            if message.expires_at() <= now_ms {
                self.disk.unretain(message.topic());
                continue;
            }
            store.bytes += message.size();
            let topic = message.topic().to_owned();
            store.tree.insert(&topic, message);
        }
    }

    /// Keeps a message in place of the one before; an empty payload removes that one (MQTT-3.3.1-6). It is not to be said
    /// before the ticket is settled.
    ///
    /// # Errors
    /// [`Full`] if there is no room; what was retained before stays.
    pub(super) fn put(&self, message: &Message, now_ms: u64) -> Result<Ticket, Full> {
        let mut store = self.store.write();
        let topic = message.topic();
        if message.payload().is_empty() {
            // Also where nothing is: it may just have been removed, and not be safe yet.
            store.remove(topic);
            return Ok(self.disk.unretain(topic));
        }
        let before = store.tree.get(topic).map(Message::size);
        let room = |store: &Store| {
            let bytes = store.bytes - before.unwrap_or(0) + message.size() + store.tree.nodes() * NODE;
            if bytes > self.max_bytes {
                Err(Full(Limit::RetainedBytes))
            } else if before.is_none() && store.tree.len() >= self.max_messages {
                Err(Full(Limit::RetainedMessages))
            } else {
                Ok(())
            }
        };
        if room(&store).is_err() && store.swept_ms + SWEEP_MS <= now_ms {
            store.sweep(now_ms, &self.disk);
        }
        room(&store)?;
        // Counted anew: what was there before may just have been swept.
        let kept = message.detached();
        let ticket = self.disk.retain(&kept);
        if let Some(before) = store.tree.insert(topic, kept) {
            store.bytes -= before.size();
        }
        store.bytes += message.size();
        Ok(ticket)
    }

    /// Keeps a message of the broker's own, until it stops.
    pub(super) fn show(&self, message: &Message) {
        self.own.write().insert(message.topic(), message.detached());
    }

    /// The messages whose topics match `filter`, except for expired ones, which are removed.
    #[must_use]
    pub(super) fn matching(&self, filter: &str, now_ms: u64) -> Vec<Message> {
        let mut found = Vec::new();
        // No wildcard stands for a first level that begins with $ (MQTT-4.7.2-1).
        if filter.starts_with("$SYS/") {
            self.own.read().topics_matching(filter, |message| found.push(message.clone()));
            return found;
        }
        self.store.read().tree.topics_matching(filter, |message| found.push(message.clone()));
        if found.iter().any(|message| message.expires_at() <= now_ms) {
            let mut store = self.store.write();
            for message in found.extract_if(.., |message| message.expires_at() <= now_ms) {
                if store.tree.get(message.topic()).is_some_and(|stored| stored.is_same(&message)) {
                    store.remove(message.topic());
                    self.disk.unretain(message.topic());
                }
            }
        }
        found
    }

    /// Number of messages, and their bytes.
    #[must_use]
    pub(super) fn size(&self) -> (usize, usize) {
        let store = self.store.read();
        (store.tree.len(), store.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{NEVER, Parts, QoS};

    fn message(topic: &str, payload: &[u8], expires_at: u64) -> Message {
        let (qos, retain, publisher) = (QoS::AtLeastOnce, true, 1);
        Message::new(&Parts { qos, retain, publisher, expires_at, topic, properties: &[], payload })
    }

    #[test]
    fn the_last_message_stays_and_an_empty_one_removes_it() {
        let retained = Retained::new(10, 10_000, store::Store::none());
        retained.put(&message("a/b", b"1", NEVER), 0).unwrap();
        retained.put(&message("a/b", b"2", NEVER), 0).unwrap();
        assert_eq!(retained.matching("a/+", 0)[0].payload(), b"2");
        retained.put(&message("a/b", b"", NEVER), 0).unwrap();
        assert_eq!((retained.matching("#", 0).len(), retained.size()), (0, (0, 0)));
    }

    #[test]
    fn expired_messages_are_neither_found_nor_kept() {
        let retained = Retained::new(10, 10_000, store::Store::none());
        retained.put(&message("a", b"1", 5), 0).unwrap();
        retained.put(&message("b", b"1", 6), 0).unwrap();
        assert_eq!(retained.matching("+", 5).len(), 1);
        assert_eq!(retained.size().0, 1);
    }

    #[test]
    fn a_full_store_keeps_what_it_has() {
        let retained = Retained::new(1, 2000, store::Store::none());
        retained.put(&message("a", b"1", NEVER), 0).unwrap();
        assert_eq!(retained.put(&message("b", b"1", NEVER), 0), Err(Full(Limit::RetainedMessages)));
        retained.put(&message("a", b"2", NEVER), 0).unwrap();
        assert_eq!(retained.put(&message("a", &[0; 2000], NEVER), 0), Err(Full(Limit::RetainedBytes)));
        assert_eq!(retained.matching("#", 0)[0].payload(), b"2");
    }

    #[test]
    fn expired_messages_make_room_in_a_full_store() {
        let retained = Retained::new(1, 2000, store::Store::none());
        retained.put(&message("a", b"1", 5_000), 0).unwrap();
        assert_eq!(retained.put(&message("b", b"1", NEVER), 4_999), Err(Full(Limit::RetainedMessages)));
        retained.put(&message("b", b"1", NEVER), 6_000).unwrap();
        assert_eq!(retained.matching("#", 6_000)[0].topic(), "b");
    }
}
