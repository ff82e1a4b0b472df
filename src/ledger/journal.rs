//! What outlives the process: a [`Journal`] is told of every gateway and every ended upload as they change.
//!
//! A *transition* is told at once: whatever decides what becomes of a later message. An upload begins, changes its state,
//! its slots, its names or what the dock has answered; a file of it is over, is being cancelled or becomes known by its
//! key; a cancel is asked for; a start is let through; an upload ends, or is taken up again. Who must not acknowledge
//! before that is safe waits for [`Effects::mark`](super::Effects::mark).
//!
//! The rest (how far an upload is, who is there, list requests, refusals counted, messages seen) is told at most once in
//! [`COALESCE_MS`] for each gateway: by the turn that changes it if the last time is long enough ago, else by
//! [`tick`](super::Ledger::tick). Nothing waits for it.
//!
//! Which of the two a turn was is found by comparing a hash of all that makes a transition ([`Gateway::shape`]) with that
//! of the gateway's last record: nothing that changes a gateway has to remember to say so.
//!
//! An ending changes two records, and the process may die between them. The ended upload is told first, and its gateway's
//! record says up to which place in the order of endings it knows; so [`restore`](super::Ledger::restore) finds out which
//! of the two is the newer one.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use super::effects::Turn;
use super::gateway::Gateway;
use super::observation::Method;
use super::rules::Now;
use super::table::Ledger;
use super::upload::Upload;

/// Least time between two records of a gateway that differ only in its progress, in milliseconds.
pub(crate) const COALESCE_MS: u64 = 1_000;

/// Keeps records for the next start. They are JSON, and only the ledger reads them.
///
/// Both methods are called with a gateway's lock held, so that a gateway's records come in the order of its changes: they
/// must not block, and must not call the ledger. They return a mark: a number by which the caller can later wait until the
/// record is safe, greater for a later one, so that the greatest of several stands for them all; 0 if there is nothing to
/// wait for.
pub trait Journal: Send + Sync + Debug {
    /// The record of a gateway, in place of the one before; none if it is forgotten.
    fn gateway(&self, gateway: &str, record: Option<Vec<u8>>) -> u64;

    /// The record of an ended upload, by its place in the order of endings; none if it is forgotten.
    fn ended(&self, place: u64, record: Option<Vec<u8>>) -> u64;
}

/// Records as a journal keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// Of gateways, with the serial number.
    pub gateways: Vec<(Box<str>, Vec<u8>)>,
    /// Of ended uploads, with the place in the order of endings.
    pub ended: Vec<(u64, Vec<u8>)>,
}

/// What the journal has of a gateway.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// It has a record.
    pub(crate) is_written: bool,
    /// Something has changed since.
    pub(crate) is_behind: bool,
    /// What of it makes a transition, as it stands in the record.
    pub(crate) shape: u64,
    /// When the record was written.
    at: Now,
    /// The mark of the last transition.
    mark: u64,
}

impl Kept {
    /// When the journal is to be told.
    pub(crate) fn due(&self) -> Option<Now> {
        self.is_behind.then_some(Now(self.at.0.saturating_add(COALESCE_MS)))
    }
}

impl Gateway {
    /// A hash of all whose change is a transition; 0 of a gateway without any of it.
    pub(crate) fn shape(&self, hasher: &impl BuildHasher) -> u64 {
        let mut cancels = self.asked.iter().filter(|asked| asked.method == Method::Update).peekable();
        if !self.is_started && self.running.is_empty() && self.let_through.is_empty() && cancels.peek().is_none() {
            return 0;
        }
        let mut hash = hasher.build_hasher();
        self.is_started.hash(&mut hash);
        self.running.len().hash(&mut hash);
        self.running.iter().for_each(|upload| upload.hash_shape(&mut hash));
        self.let_through.hash(&mut hash);
        cancels.for_each(|asked| asked.hash(&mut hash));
        hash.finish().max(1)
    }

    fn write(&mut self, key: &str, journal: &dyn Journal, now: Now) -> u64 {
        self.kept.is_behind = false;
        self.kept.at = now;
        let record = self.record();
        let was_written = std::mem::replace(&mut self.kept.is_written, record.is_some());
        if was_written || record.is_some() { journal.gateway(key, record) } else { 0 }
    }
}

impl Upload {
    fn hash_shape(&self, hash: &mut impl Hasher) {
        (self.id, self.state, self.slots, self.cancelling, self.retries, &self.aliases).hash(hash);
        self.files.len().hash(hash);
        for file in &self.files {
            (&file.module, &file.key, file.cancelling, file.over, file.is_given_up).hash(hash);
        }
    }
}

impl Ledger {
    /// Tells the journal what a turn has changed in a gateway, under its lock.
    pub(super) fn keep(&self, key: &Arc<str>, state: &mut Gateway, turn: &mut Turn<'_>) {
        let Some(journal) = self.journal.as_deref() else {
            return;
        };
        let effects = &mut turn.effects;
        let mut mark = 0;
        for place in effects.ended.iter().chain(&effects.amended) {
            // It may have gone again in the same turn.
            if let Some(ended) = state.history.iter().rev().find(|ended| ended.place == *place) {
                mark = mark.max(journal.ended(*place, Some(ended.record(key))));
            }
        }
        let shape = state.shape(self.gateways.hasher());
        state.kept.is_behind |= !turn.is_silent;
        if state.kept.shape != shape {
            state.kept.shape = shape;
            mark = mark.max(state.write(key, journal, turn.now));
        } else if state.kept.due().is_some_and(|due| due <= turn.now) {
            state.write(key, journal, turn.now);
        }
        for place in effects.forgotten.iter().filter(|place| !effects.ended.contains(place)) {
            mark = mark.max(journal.ended(*place, None));
        }
        state.kept.mark = state.kept.mark.max(mark);
        let is_mere_progress = mark == 0 && (turn.is_progress || turn.is_silent);
        effects.mark = if is_mere_progress { 0 } else { state.kept.mark };
    }

    /// Tells the journal at once of all that it has not been told. Returns the mark by which to wait for it. For the
    /// broker's end: a process that is killed loses [`COALESCE_MS`] of progress at most.
    pub fn flush(&self, now: Now) -> u64 {
        let Some(journal) = self.journal.as_deref() else {
            return 0;
        };
        let keys: Vec<Arc<str>> = self.gateways.iter().map(|entry| Arc::clone(entry.key())).collect();
        let write = |key: &Arc<str>| {
            let mut state = self.gateways.get_mut(key)?;
            state.kept.is_behind.then(|| state.write(key, journal, now))
        };
        keys.iter().filter_map(write).max().unwrap_or(0)
    }

    /// Every record as it would be written now, in the order of names and of places.
    #[must_use]
    pub fn records(&self) -> Records {
        let mut records = Records::default();
        for entry in &self.gateways {
            let (key, state) = entry.pair();
            records.gateways.extend(state.record().map(|record| (Box::from(&**key), record)));
            records.ended.extend(state.history.iter().map(|ended| (ended.place, ended.record(key))));
        }
        records.gateways.sort_unstable();
        records.ended.sort_unstable_by_key(|(place, _)| *place);
        records
    }
}
