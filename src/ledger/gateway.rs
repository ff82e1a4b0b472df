//! One gateway: its running uploads, what it remembers, and how time ends them.
//!
//! ```text
//!            start, slot free                reply 0, or progress
//!   (free) ───────────────────▶ pending ──────────────────────────▶ active ◀──┐ cancel's reply ≠ 0
//!      ▲                          │  │                               │  │     │
//!      │   reply ≠ 0 → rejected   │  └──── cancel's reply 0 ───▶ cancelling ──┘
//!      │   no reply → unanswered  │                               │     │
//!      └──────────────────────────┴───────────────────────────────┴─────┘
//!        active: a terminal status, all files over, stalled, lost
//!        cancelling: the same, or cancel_timeout → by its files, else canceled
//!        rejected: once no sending is left that the dock may yet accept
//!        any of them: released, by an operator
//! ```
//!
//! Everything here is a function of the state, the event and the time. What is to be counted, logged
//! or indexed is returned as [`Effects`](super::Effects).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::effects::{Note, Turn};
use super::event::{Body, Event};
use super::journal::Kept;
use super::module::Slots;
use super::observation::{Method, Observation};
use super::presence::Speaker;
use super::rate::spend;
use super::remembered::{Asked, Ended, Listed, RefusedStart};
use super::rules::Now;
use super::status::{EndedBy, Outcome, State};
use super::text::{self, cut};
use super::upload::{File, Upload};

/// Requests remembered to match replies that do not name their method, and cancels.
pub(crate) const MAX_ASKED: usize = 16;
/// Progress messages remembered to recognise one that is sent again.
pub(crate) const MAX_SEEN: usize = 32;
/// Starts let through under `Policy::Observe` that are remembered.
pub(crate) const MAX_LET_THROUGH: usize = 8;
/// Lines about a gateway that are logged at once, before it is one a second.
const LOG_BURST: u64 = 30;
/// Entries of lists kept over all gateways: 32 MB.
pub(crate) const MAX_LISTED_FILES: u64 = 500_000;
/// Pairs of tid and bid remembered of an ended upload.
const MAX_ENDED_ALIASES: usize = 8;
/// Modules whose list is remembered.
const MAX_LISTED: usize = 4;
/// Refused starts remembered.
pub(crate) const MAX_REFUSALS: usize = 10;

/// All that is known of one gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// At most one in each slot.
    pub(crate) running: SmallVec<[Upload; 2]>,
    /// Oldest first.
    pub(crate) history: VecDeque<Ended>,
    pub(crate) listed: SmallVec<[Listed; 2]>,
    pub(crate) asked: VecDeque<Asked>,
    /// The tid and content of events since the last start, hashed.
    pub(crate) seen: VecDeque<u64>,
    /// Names of starts that `Policy::Observe` let through since the last start that took a slot.
    pub(crate) let_through: VecDeque<Box<str>>,
    pub(crate) refused: u64,
    /// The last starts that were refused, or would have been, oldest first.
    pub(crate) refusals: VecDeque<RefusedStart>,
    /// The last message about it.
    pub(crate) touched: Now,
    /// The client that last spoke as this gateway, unless its id is the gateway's serial number.
    pub(crate) speaker: Option<Arc<Speaker>>,
    /// The speaker's record has it among the busy ones.
    pub(crate) is_followed: bool,
    /// The client whose id is the serial number.
    pub(crate) own: Own,
    /// It has had a start, and counts no longer among those that only spoke.
    pub(crate) is_started: bool,
    /// The place of the last upload that ended here; 0 if none has.
    pub(crate) buried: u64,
    /// What the journal has of it.
    pub(crate) kept: Kept,
    /// Up to when its share of the log is used.
    pub(crate) logged: Now,
    /// Where it stands in the deadline index.
    pub(crate) indexed: Option<Now>,
    /// Where it stands among the idle ones; none while an upload is running.
    pub(crate) idle: Option<Now>,
}

/// What is known of the client whose id is a gateway's serial number. It decides over whoever else
/// spoke as the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Own {
    /// Nothing, or it left and another has spoken since.
    #[default]
    Unknown,
    Here,
    Gone(Now),
}

/// What is new when a client speaks as a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoke {
    /// Nothing.
    AsBefore,
    /// It was taken for gone.
    Back,
    /// It is another client than before.
    New,
}

impl Gateway {
    pub(crate) fn new(now: Now, is_started: bool) -> Gateway {
        Gateway {
            running: SmallVec::new(),
            history: VecDeque::new(),
            listed: SmallVec::new(),
            asked: VecDeque::new(),
            seen: VecDeque::new(),
            let_through: VecDeque::new(),
            refused: 0,
            refusals: VecDeque::new(),
            touched: now,
            speaker: None,
            is_followed: false,
            own: Own::Unknown,
            is_started,
            buried: 0,
            kept: Kept::default(),
            logged: Now(0),
            indexed: None,
            idle: None,
        }
    }

    /// One event. What time has ended by now is ended first, whether or not a tick has come by.
    pub(crate) fn apply(&mut self, event: &Event<'_>, turn: &mut Turn<'_>) {
        self.expire(turn);
        self.touched = turn.now;
        match &event.body {
            Body::List => self.ask(Method::List, event, Slots::NONE),
            Body::Start(start) => self.start(event, start, turn),
            Body::Cancel(modules) => self.ask(Method::Update, event, *modules),
            Body::ListReply(reply) => self.list_replied(event, reply, turn),
            Body::StartReply(result) => self.start_replied(event, *result, turn),
            Body::CancelReply(result) => self.cancel_replied(event, *result, turn),
            Body::UnnamedReply(reply) => self.unnamed_replied(event, reply, turn),
            Body::Progress(progress) => self.progressed(event, progress, turn),
            Body::UnnamedEvent(progress) => {
                if self.running.iter().any(|upload| upload.has_bid(event.bid)) {
                    self.progressed(event, progress, turn);
                }
            }
        }
    }

    /// Whether an event shows that the gateway is there: it is not its will, and it is certain that
    /// it is about an upload.
    pub(crate) fn is_spoken_for(&self, event: &Event<'_>) -> bool {
        event.is_here
            && match &event.body {
                Body::UnnamedEvent(_) => self.running.iter().any(|upload| upload.has_bid(event.bid)),
                Body::UnnamedReply(_) => self.knows_tid(event.tid),
                body => body.is_from_gateway(),
            }
    }

    fn knows_tid(&self, tid: &str) -> bool {
        let tid = cut(tid, text::ID);
        let ended = self.history.iter().map(|ended| &ended.upload);
        let mut names = self.running.iter().chain(ended).flat_map(|upload| &upload.aliases);
        !tid.is_empty() && (names.any(|alias| *alias.tid == *tid) || self.asked.iter().any(|asked| *asked.tid == *tid))
    }

    fn ask(&mut self, method: Method, event: &Event<'_>, modules: Slots) {
        keep(
            &mut self.asked,
            MAX_ASKED,
            Asked {
                method,
                tid: cut(event.tid, text::ID).into(),
                bid: cut(event.bid, text::ID).into(),
                modules,
                accepted: false,
            },
        );
    }

    /// Ends what time has ended.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_>) {
        let mut at = 0;
        let gone = self.gone();
        while at < self.running.len() {
            let upload = &mut self.running[at];
            let (deadline, outcome) = upload.deadline(gone, turn.rules);
            upload.give_up_cancelled_files(turn.rules, turn.now);
            let ending = match outcome {
                _ if deadline > turn.now => upload.ending(),
                Outcome::Canceled => Some((upload.give_up(), EndedBy::Clock)),
                outcome => Some((outcome, EndedBy::Clock)),
            };
            match ending {
                Some((outcome, by)) => self.end(at, outcome, by, turn),
                None => at += 1,
            }
        }
    }

    /// The next moment at which time changes something, or the journal is to be told of what has changed.
    pub(crate) fn deadline(&self, rules: &super::Rules) -> Option<Now> {
        let (uploads, gone) = (self.running.iter(), self.gone());
        let ends = uploads.flat_map(|upload| [Some(upload.deadline(gone, rules).0), upload.file_deadline(rules)]);
        ends.chain([self.kept.due()]).flatten().min()
    }

    /// Moves a running upload into the history and frees its slot.
    pub(crate) fn end(&mut self, at: usize, outcome: Outcome, by: EndedBy, turn: &mut Turn<'_>) {
        let upload = self.running.remove(at);
        self.bury(upload, outcome, by, turn);
    }

    pub(crate) fn bury(&mut self, mut upload: Upload, outcome: Outcome, by: EndedBy, turn: &mut Turn<'_>) {
        let code = upload.code(outcome);
        let age_ms = turn.now.since(upload.begun);
        turn.count(Observation::Ended { outcome, modules: upload.modules() });
        // Replies have been counted when they came.
        if let (Some(code), false) = (code.filter(|code| *code != 0), outcome == Outcome::Rejected) {
            turn.count(Observation::ResultCode(code));
        }
        if !upload.adopted {
            turn.count(Observation::UploadDuration(age_ms));
        }
        for file in &upload.files {
            // Where the dock says only of the whole that it has arrived, so has the file.
            let is_covered = file.over.is_none() && file.status.is_empty() && outcome == Outcome::Ok;
            let has_arrived = file.over == Some(Outcome::Ok) || is_covered;
            if let (true, Some(size)) = (has_arrived, file.size) {
                turn.count(Observation::FileSize(u64::try_from(size).unwrap_or(0)));
            }
        }
        self.note(Note::Ended { bid: first_bid(&upload), outcome, code, age_ms }, turn);
        upload.keep_names(MAX_ENDED_ALIASES);
        let place = turn.next_id();
        turn.effects.ended.push(place);
        self.buried = place;
        self.history.push_back(Ended { place, upload, outcome, by, code, at: turn.now });
        while self.history.len() > turn.rules.history_per_gateway {
            turn.effects.forgotten.extend(self.history.pop_front().map(|ended| ended.place));
        }
    }

    /// Takes an ended upload up again: what the dock says now shows that it is going on.
    pub(crate) fn revive(&mut self, at: usize, turn: &mut Turn<'_>) -> Option<usize> {
        let Ended { place, mut upload, .. } = self.history.remove(at)?;
        turn.effects.forgotten.push(place);
        turn.count(Observation::Late);
        turn.count(Observation::Adopted);
        self.note(Note::Adopted { bid: first_bid(&upload) }, turn);
        upload.state = State::Active;
        upload.cancelling = None;
        upload.files.iter_mut().for_each(File::reopen);
        upload.heard = turn.now;
        self.running.push(upload);
        Some(self.running.len() - 1)
    }

    /// The upload that holds any of these slots.
    pub(crate) fn holder(&self, slots: Slots) -> Option<&Upload> {
        self.running.iter().find(|upload| upload.slots.meets(slots))
    }

    pub(crate) fn remember_let_through(&mut self, event: &Event<'_>) {
        for name in [event.tid, event.bid] {
            if !name.is_empty() {
                keep(&mut self.let_through, 2 * MAX_LET_THROUGH, cut(name, text::ID).into());
            }
        }
    }

    pub(crate) fn remember_refused(&mut self, event: &Event<'_>, state: State, let_through: bool, turn: &Turn<'_>) {
        // Of a client that does not stand for a gateway, the ledger's name has more behind U+0000 than the identifier.
        let client = event.client.split('\0').next().unwrap_or_default();
        let refused = RefusedStart {
            at: turn.now,
            client: cut(client, text::SERIAL).into(),
            bid: cut(event.bid, text::ID).into(),
            state,
            code: (!let_through).then_some(turn.rules.conflict_result),
            let_through,
        };
        keep(&mut self.refusals, MAX_REFUSALS, refused);
    }

    pub(crate) fn was_let_through(&self, name: &str) -> bool {
        !name.is_empty() && self.let_through.iter().any(|kept| **kept == *cut(name, text::ID))
    }

    /// Whether an event has been seen since the last start; remembers it.
    pub(crate) fn has_seen(&mut self, hash: u64) -> bool {
        if self.seen.contains(&hash) {
            return true;
        }
        keep(&mut self.seen, MAX_SEEN, hash);
        false
    }

    /// Keeps a list in place of the last one of its module; without its files, if all gateways' lists
    /// have become too many.
    pub(crate) fn keep_list(&mut self, mut listed: Listed, turn: &mut Turn<'_>) {
        let before = self.listed_files() as u64;
        self.listed.retain(|kept| kept.module != listed.module);
        if self.listed.len() == MAX_LISTED {
            self.listed.remove(0);
        }
        turn.listed.fetch_sub(before - self.listed_files() as u64, Ordering::Relaxed);
        let more = listed.files.len() as u64;
        if turn.listed.fetch_add(more, Ordering::Relaxed) + more > MAX_LISTED_FILES {
            turn.listed.fetch_sub(more, Ordering::Relaxed);
            listed.files = Vec::new();
        }
        self.listed.push(listed);
    }

    /// How many entries of lists it keeps.
    pub(crate) fn listed_files(&self) -> usize {
        self.listed.iter().map(|listed| listed.files.len()).sum()
    }

    /// Leaves a line for the log, if this gateway has not filled it.
    pub(crate) fn note(&mut self, note: Note, turn: &mut Turn<'_>) {
        if let Some(until) = spend(self.logged, turn.now, LOG_BURST) {
            self.logged = until;
            turn.effects.notes.push(note);
        }
    }

    /// How many uploads are pending, active and cancelling.
    pub(crate) fn counts(&self) -> [i64; 3] {
        let mut counts = [0; 3];
        for upload in &self.running {
            counts[upload.state as usize] += 1;
        }
        counts
    }

    /// Since when it is gone, as far as is known.
    pub(crate) fn gone(&self) -> Option<Now> {
        match self.own {
            Own::Here => None,
            Own::Gone(at) => Some(at),
            Own::Unknown => self.speaker.as_ref()?.gone(),
        }
    }

    /// Whether a client that speaks for it is known to be there.
    pub(crate) fn is_present(&self) -> bool {
        match self.own {
            Own::Here => true,
            Own::Gone(_) => false,
            Own::Unknown => self.speaker.as_ref().is_some_and(|speaker| speaker.gone().is_none()),
        }
    }

    /// The client spoke as this gateway.
    pub(crate) fn spoke(&mut self, client: &str, is_own: bool) -> Spoke {
        if is_own {
            self.own = Own::Here;
            return Spoke::AsBefore;
        }
        if let Own::Gone(_) = self.own {
            self.own = Own::Unknown;
        }
        match &self.speaker {
            Some(speaker) if *speaker.client == *client => {
                if speaker.is_here() {
                    Spoke::Back
                } else {
                    Spoke::AsBefore
                }
            }
            _ => Spoke::New,
        }
    }

    /// The client with its serial number left.
    pub(crate) fn own_left(&mut self, now: Now) {
        if !matches!(self.own, Own::Gone(_)) {
            self.own = Own::Gone(now);
        }
    }
}

/// The name to log an upload by.
pub(crate) fn first_bid(upload: &Upload) -> Box<str> {
    upload.aliases.first().map(|alias| alias.bid.clone()).unwrap_or_default()
}

fn keep<T>(ring: &mut VecDeque<T>, limit: usize, item: T) {
    if ring.len() >= limit {
        ring.pop_front();
    }
    ring.push_back(item);
}
