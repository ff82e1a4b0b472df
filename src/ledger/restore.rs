//! The ledger as it was before the restart, from the records that its journal kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::gateway::{Gateway, MAX_ASKED, MAX_LET_THROUGH, MAX_REFUSALS, MAX_SEEN, Own};
use super::journal::{Journal, Records};
use super::record::{EndedRecord, GatewayRecord, SpeakerRecord};
use super::remembered::Ended;
use super::rules::{Now, Rules};
use super::table::Ledger;
use super::upload::{File, Upload};

/// Unreadable records that are logged one by one.
const LINES: usize = 20;

/// What has become of the records.
#[derive(Debug, Default)]
pub struct Restored {
    /// Gateways that are known again.
    pub gateways: usize,
    /// Uploads that are running again.
    pub running: usize,
    /// Ended uploads that are remembered again.
    pub ended: usize,
    /// Gateways and ended uploads that the limits had no room for any more: the oldest.
    pub forgotten: usize,
    /// Records that could not be read. They have been logged, and left where they are: perhaps another version can read
    /// them.
    pub unreadable: Vec<Unreadable>,
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Of a gateway: what was running on it is unknown until it is heard of.
    #[error("the record of gateway {gateway} cannot be read: {error}")]
    Gateway {
        /// Its serial number.
        gateway: Box<str>,
        /// Where it is wrong.
        error: serde_json::Error,
    },
    /// Of an ended upload.
    #[error("the record of an ended upload cannot be read (place {place}): {error}")]
    Ended {
        /// Its place in the order of endings.
        place: u64,
        /// Where it is wrong.
        error: serde_json::Error,
    },
}

impl Ledger {
    /// The ledger that kept these records in `journal`, which is told from now on of what changes.
    ///
    /// Time-outs go on by the clock: what should have ended meanwhile ends with the next [`tick`](Ledger::tick). No client
    /// is connected yet, so whoever was there is gone from now on. Where a record says that something is still to come
    /// (the clock was set back), it is now. What is running is taken in whatever the rules say; of what has ended, and
    /// of idle gateways, the oldest go if the limits have become lower.
    #[must_use]
    pub fn restore(rules: Rules, journal: Arc<dyn Journal>, records: Records, now: Now) -> (Ledger, Restored) {
        let ledger = Ledger::with_journal(rules, journal);
        let restored = Restoring { ledger: &ledger, now, states: HashMap::default(), restored: Restored::default() };
        let restored = restored.run(records);
        restored.log();
        (ledger, restored)
    }
}

/// The work of a restart.
struct Restoring<'l> {
    ledger: &'l Ledger,
    now: Now,
    states: HashMap<Arc<str>, Gateway, ahash::RandomState>,
    restored: Restored,
}

impl Restoring<'_> {
    fn run(mut self, mut records: Records) -> Restored {
        for (gateway, record) in &records.gateways {
            match serde_json::from_slice(record) {
                Ok(read) => self.gateway(gateway, read),
                Err(error) => {
                    self.restored.unreadable.push(Unreadable::Gateway { gateway: gateway.clone(), error });
                }
            }
        }
        // Of the others no record knows when they went.
        for speaker in self.states.values().filter_map(|state| state.speaker.as_ref()) {
            if speaker.gone().is_none() {
                speaker.was_gone(self.now);
            }
        }
        // Those of one gateway oldest first.
        records.ended.sort_unstable_by_key(|(place, _)| *place);
        for (place, record) in &records.ended {
            self.number(*place);
            match serde_json::from_slice(record) {
                Ok(read) => self.ended(*place, read),
                Err(error) => self.restored.unreadable.push(Unreadable::Ended { place: *place, error }),
            }
        }
        let written: HashMap<&str, &[u8]> =
            records.gateways.iter().map(|(gateway, record)| (&**gateway, &**record)).collect();
        for (key, mut state) in std::mem::take(&mut self.states) {
            self.reconcile(&mut state);
            state.kept.shape = state.shape(self.ledger.gateways.hasher());
            // Written anew, lest it be read differently next time: who was there is gone now, not only then.
            state.kept.is_behind = state.record().as_deref() != written.get(&*key).copied();
            self.restored.running += state.running.len();
            self.ledger.take_in(key, state);
        }
        self.restored.forgotten += self.ledger.trim_history() + self.ledger.make_room();
        (self.restored.gateways, self.restored.ended) = self.ledger.held();
        self.restored
    }

    /// A number that has been given out.
    fn number(&self, number: u64) {
        self.ledger.serial.fetch_max(number.saturating_add(1), Ordering::Relaxed);
    }

    fn gateway(&mut self, name: &str, record: GatewayRecord<'_>) {
        let mut state = Gateway::new(record.touched.min(self.now), record.is_started);
        state.running = record.running.into_owned().into();
        for upload in &mut state.running {
            upload.come_back(self.ledger.rules.max_aliases, self.now);
            self.number(upload.id);
        }
        state.asked = last(record.asked.into_owned(), MAX_ASKED);
        state.seen = last(record.seen.into_owned(), MAX_SEEN);
        state.let_through = last(record.let_through.into_owned(), 2 * MAX_LET_THROUGH);
        state.refused = record.refused;
        state.refusals = last(record.refusals.into_owned(), MAX_REFUSALS);
        state.own = match record.own {
            Own::Unknown => Own::Unknown,
            Own::Here => Own::Gone(self.now),
            Own::Gone(at) => Own::Gone(at.min(self.now)),
        };
        state.buried = record.buried;
        self.number(record.buried);
        if let Some(SpeakerRecord { client, gone }) = record.speaker {
            state.speaker = self.ledger.presence.speaks(&client);
            if let (Some(speaker), false) = (&state.speaker, state.running.is_empty()) {
                speaker.was_gone(gone.unwrap_or(self.now).min(self.now));
            }
        }
        state.kept.is_written = true;
        self.states.insert(name.into(), state);
    }

    fn ended(&mut self, place: u64, record: EndedRecord<'_>) {
        let EndedRecord { gateway, upload, outcome, by, code, at } = record;
        let (mut upload, at) = (upload.into_owned(), at.min(self.now));
        upload.come_back(usize::MAX, self.now);
        self.number(upload.id);
        let is_started = !upload.adopted;
        // Of a gateway without a record, all that is known is what ended on it.
        let state = self.states.entry(gateway.into()).or_insert_with(|| Gateway::new(at, is_started));
        if !state.kept.is_written {
            state.touched = state.touched.max(at);
            state.is_started |= is_started;
        }
        state.history.push_back(Ended { place, upload, outcome, by, code, at });
    }

    /// Where the process died between two records that belong together, the newer one counts.
    fn reconcile(&mut self, state: &mut Gateway) {
        let journal = self.ledger.journal.as_deref();
        let forget = |place| journal.map(|journal| journal.ended(place, None));
        let buried = state.buried;
        let (running, history) = (&mut state.running, &mut state.history);
        // It ended after the gateway was written.
        running.retain(|upload| !history.iter().any(|ended| ended.upload.id == upload.id && ended.place > buried));
        let mut at = 0;
        while let Some(ended) = history.get(at) {
            let is_same = |upload: &Upload| upload.id == ended.upload.id;
            // It was taken up again, and may have ended once more.
            if running.iter().any(is_same) || history.iter().skip(at + 1).any(|later| is_same(&later.upload)) {
                forget(ended.place);
                history.remove(at);
            } else {
                at += 1;
            }
        }
        while history.len() > self.ledger.rules.history_per_gateway {
            if let Some(ended) = history.pop_front() {
                forget(ended.place);
                self.restored.forgotten += 1;
            }
        }
        state.buried = history.back().map_or(buried, |ended| ended.place.max(buried));
    }
}

impl Restored {
    fn log(&self) {
        for unreadable in self.unreadable.iter().take(LINES) {
            match unreadable {
                Unreadable::Gateway { gateway, error } => {
                    tracing::warn!(gateway = &**gateway, %error, "the record of a gateway cannot be read");
                }
                Unreadable::Ended { place, error } => {
                    tracing::warn!(place, %error, "the record of an ended upload cannot be read");
                }
            }
        }
        let more = self.unreadable.len().saturating_sub(LINES);
        if more > 0 {
            tracing::warn!(more, "more records of the ledger cannot be read");
        }
    }
}

impl Upload {
    /// No moment of it is to come, and it has no more names than it may have.
    fn come_back(&mut self, max_aliases: usize, now: Now) {
        self.begun = self.begun.min(now);
        self.heard = self.heard.min(now);
        self.cancelling = self.cancelling.map(|at| at.min(now));
        let not_to_come = |file: &mut File| file.cancelling = file.cancelling.map(|at| at.min(now));
        self.files.iter_mut().for_each(not_to_come);
        self.keep_names(max_aliases.max(1));
    }
}

fn last<T>(mut list: VecDeque<T>, limit: usize) -> VecDeque<T> {
    list.drain(..list.len().saturating_sub(limit));
    list
}
