//! Topic aliases towards one client (MQTT 5, 3.3.2.3.4): on a dock's mobile link they save most of a small packet.

use crate::message::Message;
use ahash::AHashMap;
use bytes::Bytes;

/// The topics that have an alias, first come, first served. Those that come later are sent by name.
#[derive(Debug)]
pub(super) struct OwnAliases {
    known: AHashMap<Bytes, u16>,
    max: u16,
}

/// How a topic is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alias {
    /// By name.
    None,
    /// By name, with an alias for the next time.
    Defines(u16),
    /// By its alias alone.
    Is(u16),
}

impl OwnAliases {
    /// For a client that takes `max` aliases; 0 is none.
    pub(super) fn new(max: u16) -> Self {
        Self { known: AHashMap::new(), max }
    }

    /// How to send a message's topic. The message must be sent then: the next one may rely on its alias.
    pub(super) fn of(&mut self, message: &Message) -> Alias {
        if self.max == 0 {
            return Alias::None;
        }
        let topic = message.topic_bytes();
        if let Some(&alias) = self.known.get(topic) {
            return Alias::Is(alias);
        }
        match u16::try_from(self.known.len() + 1) {
            Ok(alias) if alias <= self.max => {
                self.known.insert(Bytes::copy_from_slice(topic), alias);
                Alias::Defines(alias)
            }
            _ => Alias::None,
        }
    }
}
