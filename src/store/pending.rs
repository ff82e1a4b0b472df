//! Changes that wait for their commit, the latest of each key.
//!
//! What is put and taken back within one batch leaves no trace, if nothing of it can be on the disk: a change knows
//! whether its key was absent when the batch began ([`Change::is_new`], [`Slot::is_new`]).

use super::record::{Entry, Will};
use crate::message::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::ops::Range;
use std::sync::Arc;

/// The key of a row that is not a message waiting for a session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// A session's record.
    Session(u64),
    /// Its will.
    Will(u64),
    /// One of its subscriptions, by filter.
    Subscription(u64, Arc<str>),
    /// A QoS 2 message that its client has not released, by packet identifier.
    Received(u64, u16),
    /// A retained message, by topic.
    Retained(Arc<str>),
    /// A gateway of the ledger, by serial number.
    Gateway(Arc<str>),
    /// An ended upload of the ledger, by its place.
    Ended(u64),
}

/// What such a row becomes.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A room's own record, or none at all where the key says everything.
    Record(Vec<u8>),
    /// A retained message.
    Message(Message),
    /// A will.
    Will(Will),
}

/// The latest change of a row.
#[derive(Debug)]
pub(super) struct Change {
    /// Nothing of the key can be on the disk.
    is_new: bool,
    /// What it becomes; none if it is deleted.
    pub(super) value: Option<Value>,
}

/// The latest change of the row that holds a message, or of the one that holds its flight.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Of<T> {
    /// As it is.
    Unchanged,
    /// Becomes this.
    Put(T),
    /// Is deleted.
    Delete,
}

/// How a message has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flight {
    /// Under this identifier.
    Sent(NonZeroU16),
    /// Its client has it and owes a PUBCOMP.
    Released(NonZeroU16),
}

/// The latest change of a message that waits for a session.
#[derive(Debug)]
pub(super) struct Slot {
    is_new: bool,
    pub(super) body: Of<Entry>,
    pub(super) flight: Of<Flight>,
}

/// The changes of one batch.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Sessions that end, with all that the disk has of them.
    pub(super) ended: BTreeSet<u64>,
    pub(super) rows: BTreeMap<Key, Change>,
    /// By session and number.
    pub(super) messages: BTreeMap<(u64, u64), Slot>,
}

/// The keys that may be on the disk: written, or in the batch that is being written.
#[derive(Debug, Default)]
pub(super) struct OnDisk(BTreeSet<Key>);

impl OnDisk {
    pub(super) fn insert(&mut self, key: Key) {
        self.0.insert(key);
    }

    /// A batch goes to the disk: from now on its keys may be there.
    pub(super) fn begin(&mut self, batch: &Pending) {
        self.0.extend(batch.rows.iter().filter(|(_, change)| change.value.is_some()).map(|(key, _)| key.clone()));
    }

    /// A batch is on the disk.
    pub(super) fn committed(&mut self, batch: &Pending) {
        for key in batch.rows.iter().filter(|(_, change)| change.value.is_none()).map(|(key, _)| key) {
            self.0.remove(key);
        }
        for &session in &batch.ended {
            for keys in of_session(session) {
                let gone: Vec<Key> = self.0.range(keys).cloned().collect();
                for key in &gone {
                    self.0.remove(key);
                }
            }
        }
    }

    /// A batch certainly did not get to the disk.
    fn failed(&mut self, batch: &Pending) {
        for key in batch.rows.iter().filter(|(_, change)| change.is_new).map(|(key, _)| key) {
            self.0.remove(key);
        }
    }
}

impl Key {
    /// The session that the row goes with.
    fn session(&self) -> Option<u64> {
        match *self {
            Self::Session(session)
            | Self::Will(session)
            | Self::Subscription(session, _)
            | Self::Received(session, _) => Some(session),
            Self::Retained(_) | Self::Gateway(_) | Self::Ended(_) => None,
        }
    }
}

/// The ranges of keys that go with a session.
fn of_session(session: u64) -> [Range<Key>; 4] {
    let (next, none) = (session.saturating_add(1), Arc::<str>::from(""));
    [
        Key::Session(session)..Key::Session(next),
        Key::Will(session)..Key::Will(next),
        Key::Subscription(session, none.clone())..Key::Subscription(next, none),
        Key::Received(session, 0)..Key::Received(next, 0),
    ]
}

impl<T> Of<T> {
    /// What `newer` makes of it.
    fn then(self, newer: Self) -> Self {
        match newer {
            Self::Unchanged => self,
            newer => newer,
        }
    }
}

impl Slot {
    fn settle(mut self) -> Option<Self> {
        if self.is_new {
            // What is not there need not be deleted.
            if matches!(self.body, Of::Delete) {
                self.body = Of::Unchanged;
            }
            if matches!(self.flight, Of::Delete) {
                self.flight = Of::Unchanged;
            }
        }
        let nothing = matches!((&self.body, &self.flight), (Of::Unchanged, Of::Unchanged));
        (!nothing).then_some(self)
    }
}

impl Pending {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes that wait.
    pub(super) fn len(&self) -> usize {
        self.ended.len() + self.rows.len() + self.messages.len()
    }

    /// A row changes.
    pub(super) fn change(&mut self, key: Key, value: Option<Value>, disk: &OnDisk) {
        use std::collections::btree_map::Entry::{Occupied, Vacant};
        if key.session().is_some_and(|session| self.ended.contains(&session)) {
            return;
        }
        match self.rows.entry(key) {
            Occupied(mut row) if value.is_some() || !row.get().is_new => row.get_mut().value = value,
            Occupied(row) => drop(row.remove()),
            Vacant(row) => {
                let is_new = !disk.0.contains(row.key());
                if value.is_some() || !is_new {
                    row.insert(Change { is_new, value });
                }
            }
        }
    }

    /// A message waits; its number is new.
    pub(super) fn put_message(&mut self, session: u64, number: u64, entry: Entry) {
        if self.ended.contains(&session) {
            return;
        }
        let fresh = || Slot { is_new: true, body: Of::Unchanged, flight: Of::Unchanged };
        let slot = self.messages.entry((session, number)).or_insert_with(fresh);
        slot.body = Of::Put(entry);
    }

    /// A message is sent under an identifier.
    pub(super) fn sent(&mut self, session: u64, number: u64, packet_id: NonZeroU16) {
        if let Some(slot) = self.slot(session, number) {
            slot.flight = Of::Put(Flight::Sent(packet_id));
        }
    }

    /// Of a message only the identifier is left.
    pub(super) fn released(&mut self, session: u64, number: u64, packet_id: NonZeroU16) {
        if let Some(slot) = self.slot(session, number) {
            slot.body = if slot.is_new { Of::Unchanged } else { Of::Delete };
            slot.flight = Of::Put(Flight::Released(packet_id));
        }
    }

    /// Nothing of a message is left.
    pub(super) fn done(&mut self, session: u64, number: u64) {
        match self.slot(session, number) {
            Some(slot) if !slot.is_new => (slot.body, slot.flight) = (Of::Delete, Of::Delete),
            Some(_) => drop(self.messages.remove(&(session, number))),
            None => {}
        }
    }

    /// A slot that is not there yet is of a message on the disk. None if the session has ended.
    fn slot(&mut self, session: u64, number: u64) -> Option<&mut Slot> {
        let on_disk = || Slot { is_new: false, body: Of::Unchanged, flight: Of::Unchanged };
        (!self.ended.contains(&session)).then(|| self.messages.entry((session, number)).or_insert_with(on_disk))
    }

    /// A session ends; nothing of it is put any more.
    pub(super) fn end_session(&mut self, session: u64, disk: &OnDisk) {
        self.forget(session);
        // Whatever the disk has of a session, it has the session's own row.
        if disk.0.contains(&Key::Session(session)) {
            self.ended.insert(session);
        }
    }

    /// Drops what waits to be written for a session.
    fn forget(&mut self, session: u64) {
        for keys in of_session(session) {
            let gone: Vec<Key> = self.rows.range(keys).map(|(key, _)| key.clone()).collect();
            for key in &gone {
                self.rows.remove(key);
            }
        }
        let gone: Vec<_> = self.messages.range((session, 0)..=(session, u64::MAX)).map(|(key, _)| *key).collect();
        for key in gone {
            self.messages.remove(&key);
        }
    }

    /// Takes back a batch that certainly did not get to the disk: what has changed since wins.
    pub(super) fn take_back(&mut self, mut older: Self, disk: &mut OnDisk) {
        disk.failed(&older);
        for &session in &self.ended {
            older.forget(session);
        }
        self.ended.append(&mut older.ended);
        // What was never there need not be deleted.
        self.ended.retain(|session| disk.0.contains(&Key::Session(*session)));
        for (key, Change { is_new, value }) in older.rows {
            let value = self.rows.remove(&key).map_or(value, |newer| newer.value);
            if value.is_some() || !is_new {
                self.rows.insert(key, Change { is_new, value });
            }
        }
        for (key, Slot { is_new, body, flight }) in older.messages {
            let (body, flight) = match self.messages.remove(&key) {
                Some(newer) => (body.then(newer.body), flight.then(newer.flight)),
                None => (body, flight),
            };
            if let Some(slot) = (Slot { is_new, body, flight }).settle() {
                self.messages.insert(key, slot);
            }
        }
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
