//! What a turn of the ledger brings about, as data: carried out and logged after the lock is gone.

use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use super::observation::Observation;
use super::rules::{Now, Rules};
use super::status::{Outcome, State};

/// Why a start was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The state of the upload that holds the slot.
    pub state: State,
    /// How long ago that upload was started, in milliseconds.
    pub age_ms: u64,
    /// `data.result` for the answer.
    pub result: i64,
}

/// What came of an event, or of time passing.
#[derive(Debug, Default)]
pub struct Effects {
    /// The start must not reach the dock.
    pub refused: Option<Conflict>,
    /// The start may reach the dock before this moment, and not after it: then it would be past the guard. For
    /// every start that was accepted as a new one or as a retry under [`Policy::Enforce`](super::Policy::Enforce).
    pub forward_until: Option<Now>,
    /// When what the ledger now says is safe in the [`Journal`](super::Journal): its greatest mark; 0 if nothing has to be
    /// waited for. It may be that of an earlier change, and then has perhaps been safe for long: whoever says again what
    /// was said before must not hear sooner that it is settled.
    pub mark: u64,
    /// What is to be counted.
    pub observations: SmallVec<[Observation; 4]>,
    /// What is to be logged.
    pub(crate) notes: SmallVec<[Note; 1]>,
    /// Uploads that went into the history, by their place in the order of endings.
    pub(crate) ended: SmallVec<[u64; 2]>,
    /// Uploads in the history that have learned something.
    pub(crate) amended: SmallVec<[u64; 1]>,
    /// Uploads that left the history.
    pub(crate) forgotten: SmallVec<[u64; 2]>,
}

impl Effects {
    pub(crate) fn count(&mut self, observation: Observation) {
        self.observations.push(observation);
    }
}

/// A line for the log.
#[derive(Debug)]
pub(crate) enum Note {
    Started { bid: Box<str> },
    Refused { bid: Box<str>, by: State, let_through: bool },
    Adopted { bid: Box<str> },
    Ended { bid: Box<str>, outcome: Outcome, code: Option<i64>, age_ms: u64 },
}

impl Note {
    pub(crate) fn log(&self, gateway: &str, suppressed: u64) {
        // Not shown where it is none.
        let hidden = (suppressed > 0).then_some(suppressed);
        match self {
            Note::Started { bid } => tracing::info!(gateway, suppressed = hidden, bid = &**bid, "upload started"),
            Note::Refused { bid, by, let_through: false } => {
                tracing::info!(
                    gateway,
                    suppressed = hidden,
                    bid = &**bid,
                    by = by.as_str(),
                    "start refused: the slot is taken"
                );
            }
            Note::Refused { bid, by, let_through: true } => {
                tracing::info!(
                    gateway,
                    suppressed = hidden,
                    bid = &**bid,
                    by = by.as_str(),
                    "start would be refused: the slot is taken"
                );
            }
            Note::Adopted { bid } => {
                tracing::info!(gateway, suppressed = hidden, bid = &**bid, "upload found going on")
            }
            Note::Ended { bid, outcome, code, age_ms } => {
                tracing::info!(
                    gateway,
                    suppressed = hidden,
                    bid = &**bid,
                    outcome = outcome.as_str(),
                    code,
                    age_ms,
                    "upload ended"
                );
            }
        }
    }
}

/// One turn of one gateway: what it may read, and what it brings about.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) rules: &'a Rules,
    pub(crate) serial: &'a AtomicU64,
    /// Entries of lists kept, over all gateways.
    pub(crate) listed: &'a AtomicU64,
    pub(crate) effects: Effects,
    /// Nothing was said: only time passes.
    pub(crate) is_silent: bool,
    /// Progress was taken over: what it changes besides may wait to be written.
    pub(crate) is_progress: bool,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(now: Now, rules: &'a Rules, serial: &'a AtomicU64, listed: &'a AtomicU64) -> Turn<'a> {
        Turn { now, rules, serial, listed, effects: Effects::default(), is_silent: false, is_progress: false }
    }

    /// The next number of a sequence: an upload's id, or its place among the endings.
    pub(crate) fn next_id(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn count(&mut self, observation: Observation) {
        self.effects.count(observation);
    }
}
