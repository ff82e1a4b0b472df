//! The backends' conversations with docks: which commands wait for which reply, and how every upload goes.
//!
//! No socket and no clock: a reply or an event comes in, and the next command comes out. One desk serves all
//! backends, as in a shared group a reply may come to another backend than the one that asked.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::Value;

use super::ask::{self, Ask, Command, Told, What};
use super::book::Book;
use super::jobs::Job;
use super::stamp::Stamp;
use super::track::histogram;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a dock may tell nothing of an upload before its backend takes it for stalled. A dock that restarts is back
/// sooner.
const SILENCE: Duration = Duration::from_secs(10);
/// "Dock is exporting logs to cloud. Try again later": what the broker answers to a second start.
const CONFLICT: i64 = 325_009;
/// Ended uploads that are remembered, to know late events of theirs.
const ENDED: usize = 10_000;

/// What became of the commands of one kind.
#[derive(Debug)]
pub(super) struct Fate {
    pub(super) sent: u64,
    /// With result 0.
    pub(super) ok: u64,
    /// With the broker's code.
    pub(super) refused: u64,
    /// With another code.
    pub(super) codes: BTreeMap<i64, u64>,
    /// Not answered in time, as the dock chose or was away.
    pub(super) excused: u64,
    /// Not answered in time, and nobody knows why.
    pub(super) unanswered: u64,
    /// From the command to its reply, in microseconds.
    pub(super) took: Histogram<u64>,
}

impl Default for Fate {
    fn default() -> Self {
        let codes = BTreeMap::new();
        Self { sent: 0, ok: 0, refused: 0, codes, excused: 0, unanswered: 0, took: histogram() }
    }
}

/// What became of the uploads.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// Those that a backend wanted.
    pub(super) wanted: u64,
    /// The broker did not let them begin.
    pub(super) refused: u64,
    /// The dock did not begin them: by code.
    pub(super) rejected: BTreeMap<i64, u64>,
    /// The list or the start had no answer.
    pub(super) unanswered: u64,
    pub(super) ok: u64,
    /// By code.
    pub(super) failed: BTreeMap<i64, u64>,
    pub(super) canceled: u64,
    /// The dock told nothing more of them.
    pub(super) stalled: u64,
    /// Progress of an upload that was over.
    pub(super) late_events: u64,
}

#[derive(Debug)]
struct Pending {
    command: Command,
    dock: u32,
    sent: Duration,
    /// The upload that it belongs to.
    upload: Option<u128>,
    /// See [`Page::absences`](super::book::Page::absences).
    absences: u64,
}

#[derive(Debug)]
struct Upload {
    job: Job,
    bid: String,
    is_running: bool,
    is_canceling: bool,
    /// When something was last heard of it.
    heard: Duration,
}

/// All conversations.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pending: HashMap<u128, Pending>,
    /// The same in order of time. What has been answered is still here.
    deadlines: VecDeque<(Duration, u128)>,
    uploads: HashMap<u128, Upload>,
    ended: VecDeque<u128>,
    /// What docks chose not to answer.
    ignored: HashSet<u128>,
    pub(super) fates: BTreeMap<Command, Fate>,
    pub(super) outcome: Uploads,
    /// Replies to what nobody waited for: too late, or a second time.
    pub(super) surplus: u64,
    /// Replies and progress that cannot be read.
    pub(super) unreadable: u64,
}

impl Desk {
    /// A backend wants an upload: the list is asked for first.
    pub(super) fn begin(&mut self, job: Job, bid: Stamp, now: Duration) -> Ask {
        self.outcome.wanted += 1;
        let text = bid.to_text();
        let upload = Upload { job, bid: text.clone(), is_running: false, is_canceling: false, heard: now };
        self.uploads.insert(bid.key(), upload);
        Ask { dock: job.dock, bid: text, what: What::List }
    }

    /// A command has gone out with this tid.
    pub(super) fn sent(&mut self, tid: Stamp, ask: &Ask, book: &Book, now: Duration) {
        self.fates.entry(ask.command()).or_default().sent += 1;
        let upload = Stamp::read(ask.bid.as_bytes()).map(Stamp::key);
        let pending = Pending {
            command: ask.command(),
            dock: ask.dock,
            sent: now,
            upload: upload.filter(|bid| self.uploads.contains_key(bid)),
            absences: book.dock(ask.dock).absences(),
        };
        self.pending.insert(tid.key(), pending);
        self.deadlines.push_back((now + PATIENCE, tid.key()));
    }

    /// A dock chose not to answer the command with this tid.
    pub(super) fn ignored(&mut self, tid: Stamp) {
        self.ignored.insert(tid.key());
    }

    /// A reply to the command with this tid came; perhaps something is to be asked next.
    pub(super) fn reply(&mut self, tid: Stamp, payload: &[u8], now: Duration) -> Option<Ask> {
        let Some(pending) = self.pending.remove(&tid.key()) else {
            self.surplus += 1;
            return None;
        };
        let fate = self.fates.entry(pending.command).or_default();
        let took = u64::try_from(now.saturating_sub(pending.sent).as_micros()).unwrap_or(u64::MAX);
        fate.took.saturating_record(took);
        let Ok(reply) = serde_json::from_slice::<Value>(payload) else {
            self.unreadable += 1;
            return None;
        };
        let result = ask::result(&reply).unwrap_or(-1);
        match result {
            0 => fate.ok += 1,
            CONFLICT => fate.refused += 1,
            code => *fate.codes.entry(code).or_default() += 1,
        }
        let bid = pending.upload?;
        let upload = self.uploads.get_mut(&bid)?;
        upload.heard = now;
        match (pending.command, result) {
            (Command::List, 0) => {
                let files = ask::logs(&reply, &upload.bid);
                Some(Ask { dock: pending.dock, bid: upload.bid.clone(), what: What::Start(files) })
            }
            (Command::Start, 0) => {
                upload.is_running = true;
                None
            }
            (Command::List | Command::Start, code) => {
                self.end(bid);
                match code {
                    CONFLICT => self.outcome.refused += 1,
                    code => *self.outcome.rejected.entry(code).or_default() += 1,
                }
                None
            }
            // Canceled is what the dock tells in its next event.
            (Command::Cancel | Command::Quality, _) => None,
        }
    }

    /// A progress event with this bid came; perhaps the upload is to be canceled now.
    pub(super) fn progress(&mut self, bid: Stamp, payload: &[u8], now: Duration) -> Option<Ask> {
        let bid = bid.key();
        let Some(upload) = self.uploads.get_mut(&bid) else {
            self.outcome.late_events += u64::from(self.ended.contains(&bid));
            return None;
        };
        let told = serde_json::from_slice(payload).ok().and_then(|event| ask::told(&event));
        let Some(told) = told else {
            self.unreadable += 1;
            return None;
        };
        upload.heard = now;
        // A dock whose reply is late tells of its progress before.
        upload.is_running = true;
        match told {
            Told::Percent(percent) => {
                let is_due = upload.job.cancel_at.is_some_and(|at| percent >= at);
                if is_due && !upload.is_canceling {
                    upload.is_canceling = true;
                    return Some(Ask { dock: upload.job.dock, bid: upload.bid.clone(), what: What::Cancel });
                }
                return None;
            }
            Told::Ok => self.outcome.ok += 1,
            Told::Canceled => self.outcome.canceled += 1,
            Told::Failed(code) => *self.outcome.failed.entry(code).or_default() += 1,
        }
        self.end(bid);
        None
    }

    /// Gives up what has waited too long.
    pub(super) fn expire(&mut self, book: &Book, now: Duration) {
        while let Some((_, tid)) = self.deadlines.pop_front_if(|(deadline, _)| *deadline <= now) {
            let is_ignored = self.ignored.remove(&tid);
            let Some(pending) = self.pending.remove(&tid) else { continue };
            let is_excused = is_ignored || pending.was_away(book);
            let fate = self.fates.entry(pending.command).or_default();
            if is_excused {
                fate.excused += 1;
            } else {
                fate.unanswered += 1;
            }
            if let Some(bid) = pending.upload
                && self.uploads.get(&bid).is_some_and(|upload| !upload.is_running)
            {
                self.end(bid);
                self.outcome.unanswered += 1;
            }
        }
        let is_silent = |upload: &Upload| upload.is_running && upload.heard + SILENCE <= now;
        let silent: Vec<u128> =
            self.uploads.iter().filter(|(_, upload)| is_silent(upload)).map(|(bid, _)| *bid).collect();
        for bid in silent {
            self.end(bid);
            self.outcome.stalled += 1;
        }
    }

    /// Whether all commands are answered but those of which it is known why not.
    pub(super) fn is_quiet(&self, book: &Book) -> bool {
        self.pending.iter().all(|(tid, pending)| self.ignored.contains(tid) || pending.was_away(book))
    }

    /// Commands that still wait for their reply, of which it is known why they will have none, and others.
    pub(super) fn open(&self, command: Command, book: &Book) -> (u64, u64) {
        let of_kind = self.pending.iter().filter(|(_, pending)| pending.command == command);
        let (excused, open): (Vec<_>, Vec<_>) =
            of_kind.partition(|(tid, pending)| self.ignored.contains(tid) || pending.was_away(book));
        (excused.len() as u64, open.len() as u64)
    }

    /// Uploads that are not over.
    pub(super) fn running(&self) -> u64 {
        self.uploads.len() as u64
    }

    fn end(&mut self, bid: u128) {
        self.uploads.remove(&bid);
        self.ended.push_back(bid);
        if self.ended.len() > ENDED {
            self.ended.pop_front();
        }
    }
}

impl Pending {
    /// Whether the dock was away at some time since.
    fn was_away(&self, book: &Book) -> bool {
        let now = book.dock(self.dock).absences();
        self.absences % 2 == 1 || now != self.absences
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
