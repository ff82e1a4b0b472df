//! What must survive a restart, in an embedded database.
//!
//! Whoever changes something durable says so here at once ([`Store::put_message`] and its like): that costs a look-up in
//! a map, no disk and no wait. One thread commits what has gathered, over and over; a [`Ticket`] says which commit a
//! change will be in, and whoever must not acknowledge before it is safe waits for that ticket ([`Store::settle`]). So
//! a thousand publishes a second share a few fsyncs, and what is put and taken back before the next commit (a message
//! that its subscriber acknowledges at once) never touches the disk.
//!
//! Changes that belong together are made under one [`Scope`]: they are committed together or not at all.
//!
//! Concurrency: any thread may call; the map's lock is a leaf, so that changes are made under the lock of what they are
//! about and come in its order. A scope is entered with no other lock held.

mod record;
mod ticket;

pub use record::{Entry, SavedMessage, SavedSession, Will};
pub use ticket::{Settled, Ticket};

use crate::message::Message;
use std::num::NonZeroU16;
use std::sync::Arc;

/// Everything that was there at the start.
#[derive(Debug, Default)]
pub struct Saved {
    /// The sessions, each with what belongs to it.
    pub sessions: Vec<SavedSession>,
    /// The retained messages.
    pub retained: Vec<Message>,
    /// The ledger's gateways by serial number, as the ledger wrote them.
    pub gateways: Vec<(Box<str>, Vec<u8>)>,
    /// The ledger's ended uploads by their place in the order of endings, as the ledger wrote them.
    pub ended: Vec<(u64, Vec<u8>)>,
    /// The key of the hook's digests: what it was at the first start.
    pub digest_key: Option<[u8; 32]>,
}

/// Changes made while it is held are committed together.
#[derive(Debug)]
pub struct Scope<'a>(std::marker::PhantomData<&'a ()>);

/// The store.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// No store: nothing is kept, and nothing has to be waited for.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::new(Self {})
    }

    /// Whether anything is kept.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        false
    }

    /// How often this store has been started, from 1; 0 if there is none. Numbers that must never come again begin with it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        0
    }

    /// Begins changes that belong together.
    #[must_use]
    pub fn scope(&self) -> Scope<'_> {
        Scope(std::marker::PhantomData)
    }

    /// A message waits for a session, under a number that grows with each.
    pub fn put_message(&self, _session: u64, _number: u64, _entry: Entry) -> Ticket {
        Ticket::NONE
    }

    /// It is being sent under this packet identifier.
    pub fn sent(&self, _session: u64, _number: u64, _packet_id: NonZeroU16) -> Ticket {
        Ticket::NONE
    }

    /// Its client has it (PUBREC): only the identifier is kept, until PUBCOMP.
    pub fn released(&self, _session: u64, _number: u64, _packet_id: NonZeroU16) -> Ticket {
        Ticket::NONE
    }

    /// Nothing of it is needed any more.
    pub fn done(&self, _session: u64, _number: u64) -> Ticket {
        Ticket::NONE
    }

    /// The client sent a QoS 2 message under this identifier, which it has not released (MQTT-4.3.3-2).
    pub fn received(&self, _session: u64, _packet_id: NonZeroU16) -> Ticket {
        Ticket::NONE
    }

    /// It has released it.
    pub fn unreceived(&self, _session: u64, _packet_id: NonZeroU16) -> Ticket {
        Ticket::NONE
    }

    /// A session begins or changes: its record, JSON.
    pub fn put_session(&self, _session: u64, _record: Vec<u8>) -> Ticket {
        Ticket::NONE
    }

    /// The will of a session; none when it has been published or must not be.
    pub fn put_will(&self, _session: u64, _will: Option<Will>) -> Ticket {
        Ticket::NONE
    }

    /// A session ends, with all that belongs to it. Its number never comes again.
    pub fn end_session(&self, _session: u64) -> Ticket {
        Ticket::NONE
    }

    /// A session subscribes, or changes a subscription: its record, JSON.
    pub fn subscribe(&self, _session: u64, _filter: &str, _record: Vec<u8>) -> Ticket {
        Ticket::NONE
    }

    /// A session unsubscribes.
    pub fn unsubscribe(&self, _session: u64, _filter: &str) -> Ticket {
        Ticket::NONE
    }

    /// A message is retained on its topic, in place of the one before.
    pub fn retain(&self, _message: &Message) -> Ticket {
        Ticket::NONE
    }

    /// Nothing is retained on a topic any more.
    pub fn unretain(&self, _topic: &str) -> Ticket {
        Ticket::NONE
    }

    /// The ledger's record of a gateway has changed; none when it is forgotten.
    pub fn put_gateway(&self, _gateway: &str, _record: Option<Vec<u8>>) -> Ticket {
        Ticket::NONE
    }

    /// The ledger's record of an ended upload, by its place in the order of endings; none when it is forgotten.
    pub fn put_ended(&self, _place: u64, _record: Option<Vec<u8>>) -> Ticket {
        Ticket::NONE
    }

    /// A ticket for everything that has been put so far.
    #[must_use]
    pub fn latest(&self) -> Ticket {
        Ticket::NONE
    }

    /// What has come of a ticket; none as long as its commit is not over.
    #[must_use]
    pub fn settled(&self, _ticket: Ticket) -> Option<Settled> {
        Some(Settled::Committed)
    }

    /// Waits for a commit to be over.
    pub fn settle(self: &Arc<Self>, _ticket: Ticket) -> impl Future<Output = Settled> + Send + use<> {
        std::future::ready(Settled::Committed)
    }

    /// Whether the last commit failed: what needs the disk has to be refused. A ticket for that is [`Store::refused`].
    #[must_use]
    pub fn is_failing(&self) -> bool {
        false
    }

    /// A ticket that has failed.
    #[must_use]
    pub fn refused(&self) -> Ticket {
        Ticket::NONE
    }
}
