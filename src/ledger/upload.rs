//! One upload: its names, its files, and where it stands.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::event::{Digest, Progress, ProgressFile, Start};
use super::module::{Module, Modules, Slots};
use super::record::{is_default, small};
use super::rules::{Now, Rules};
use super::status::{EndedBy, Outcome, State, Status};
use super::text::{self, cut, learn};

/// Modules kept of one upload. Two are published; the rest is room for what is not.
const MAX_FILES: usize = 8;

/// One sending of a start: the demo backend sends the same start up to three times, each with a new
/// tid and bid, and the dock may answer any of them.
#[derive(Debug, Clone, Hash, Serialize, Deserialize)]
pub(crate) struct Alias {
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) tid: Box<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) bid: Box<str>,
    /// The dock has answered this sending.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) is_answered: bool,
    /// `data.result` of the answer; none counts as accepted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) result: Option<i64>,
}

impl Alias {
    /// Takes the dock's answer; false if it is known.
    pub(crate) fn is_news(&mut self, result: Option<i64>) -> bool {
        let was_answered = std::mem::replace(&mut self.is_answered, true);
        let known = std::mem::replace(&mut self.result, result);
        !was_answered || known != result
    }
}

/// One module's archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) module: Module,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) device_sn: Box<str>,
    /// `object_key` of the start and `key` of the progress are the same thing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) key: Box<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) fingerprint: Box<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) status: Box<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) size: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) progress: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) current_step: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) total_step: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) upload_rate: Option<f64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) finish_time: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) result: Option<i64>,
    /// Since when a cancel of this module has been accepted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) cancelling: Option<Now>,
    /// How it ended. What the dock says of it after that is out of order and changes nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) over: Option<Outcome>,
    /// It is over only by the broker's clock, after a cancel: what the dock says of it still counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) is_given_up: bool,
}

impl File {
    fn new(module: Module, device_sn: &str, key: &str) -> File {
        File {
            module,
            device_sn: cut(device_sn, text::SERIAL).into(),
            key: cut(key, text::KEY).into(),
            fingerprint: Box::default(),
            status: Box::default(),
            size: None,
            progress: None,
            current_step: None,
            total_step: None,
            upload_rate: None,
            finish_time: None,
            result: None,
            cancelling: None,
            over: None,
            is_given_up: false,
        }
    }

    /// Takes over what an event says; true if its status word is not a published one.
    fn update(&mut self, said: &ProgressFile<'_>) -> bool {
        let status = Status::read(said.status);
        if self.is_given_up && status != Status::Absent {
            self.reopen();
        }
        if self.over.is_some() {
            return false;
        }
        learn(&mut self.device_sn, said.device_sn, text::SERIAL);
        // What the start says stands: a key tells which upload an event belongs to.
        if self.key.is_empty() {
            learn(&mut self.key, said.key, text::KEY);
        }
        learn(&mut self.fingerprint, said.fingerprint, text::FINGERPRINT);
        learn(&mut self.status, said.status, text::STATUS);
        self.size = said.size.or(self.size);
        self.progress = said.progress.or(self.progress);
        self.current_step = said.current_step.or(self.current_step);
        self.total_step = said.total_step.or(self.total_step);
        self.upload_rate = said.upload_rate.or(self.upload_rate);
        self.result = said.result.or(self.result);
        self.over = status.outcome();
        if self.over.is_some() {
            // What finish_time means before the end is not documented; 0 means none.
            self.finish_time = said.finish_time.filter(|at| *at > 0);
        }
        status == Status::Unknown
    }

    /// Its cancel has had its time.
    fn give_up(&mut self) {
        self.over = Some(Outcome::Canceled);
        self.is_given_up = true;
    }

    /// The dock is at it in spite of a cancel.
    pub(crate) fn reopen(&mut self) {
        self.cancelling = None;
        if std::mem::take(&mut self.is_given_up) {
            self.over = None;
        }
    }
}

/// An upload, running or ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// Unique, ascending with the start.
    pub(crate) id: u64,
    /// The ledger saw no start of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) adopted: bool,
    pub(crate) state: State,
    /// What it occupies while it runs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) slots: Slots,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<Alias>,
    #[serde(default, with = "small", skip_serializing_if = "SmallVec::is_empty")]
    pub(crate) files: SmallVec<[File; 2]>,
    /// When the first start passed, or the first event of an adopted one.
    pub(crate) begun: Now,
    /// When the dock last gave a sign of it: the accepting reply, then each progress.
    pub(crate) heard: Now,
    /// Since when `state` is `Cancelling`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) cancelling: Option<Now>,
    /// `output.status` as last written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) status: Box<str>,
    /// `data.result` of the progress.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) result: Option<i64>,
    /// How often the same start came again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) retries: u64,
}

impl Upload {
    pub(crate) fn started(id: u64, start: &Start<'_>, slots: Slots, now: Now) -> Upload {
        let mut upload = Upload::new(id, State::Pending, slots, now);
        upload.digest = start.digest;
        for file in &start.files {
            let known = upload.files.iter().any(|kept| kept.module == file.module);
            if !known && upload.files.len() < MAX_FILES {
                upload.files.push(File::new(file.module.clone(), file.device_sn, file.object_key));
            }
        }
        upload
    }

    pub(crate) fn adopted(id: u64, slots: Slots, now: Now) -> Upload {
        Upload { adopted: true, ..Upload::new(id, State::Active, slots, now) }
    }

    fn new(id: u64, state: State, slots: Slots, now: Now) -> Upload {
        Upload {
            id,
            adopted: false,
            state,
            slots,
            digest: None,
            aliases: Vec::new(),
            files: SmallVec::new(),
            begun: now,
            heard: now,
            cancelling: None,
            status: Box::default(),
            result: None,
            retries: 0,
        }
    }

    /// Remembers one more pair of names, unless there are too many; false if it was known.
    pub(crate) fn name(&mut self, tid: &str, bid: &str, limit: usize) -> bool {
        let (tid, bid) = (cut(tid, text::ID), cut(bid, text::ID));
        if self.aliases.iter().any(|alias| *alias.tid == *tid && *alias.bid == *bid) {
            return false;
        }
        if self.aliases.len() < limit.max(1) {
            self.aliases.push(Alias { tid: tid.into(), bid: bid.into(), is_answered: false, result: None });
        }
        true
    }

    /// Forgets names beyond a limit; those under which the dock accepted it are kept first.
    pub(crate) fn keep_names(&mut self, limit: usize) {
        if self.aliases.len() > limit {
            self.aliases.sort_by_key(|alias| !(alias.is_answered && alias.result.unwrap_or(0) == 0));
            self.aliases.truncate(limit);
            self.aliases.shrink_to_fit();
        }
    }

    /// The sending that a reply answers: by tid and bid, else by either.
    pub(crate) fn answered(&self, tid: &str, bid: &str) -> Option<usize> {
        let (tid, bid) = (cut(tid, text::ID), cut(bid, text::ID));
        let has = |name: &str, said: &str| !said.is_empty() && name == said;
        let at = |matches: &dyn Fn(&Alias) -> bool| self.aliases.iter().position(matches);
        at(&|alias| has(&alias.tid, tid) && has(&alias.bid, bid))
            .or_else(|| at(&|alias| has(&alias.tid, tid)))
            .or_else(|| at(&|alias| has(&alias.bid, bid)))
    }

    pub(crate) fn has_bid(&self, bid: &str) -> bool {
        let bid = cut(bid, text::ID);
        !bid.is_empty() && self.aliases.iter().any(|alias| *alias.bid == *bid)
    }

    /// Whether an event names an object key of this upload.
    pub(crate) fn has_key_of(&self, progress: &Progress<'_>) -> bool {
        progress.files.iter().any(|said| {
            let key = cut(said.key, text::KEY);
            !key.is_empty() && self.files.iter().any(|file| *file.key == *key)
        })
    }

    /// Whether any sending was accepted.
    pub(crate) fn is_accepted(&self) -> bool {
        self.aliases.iter().any(|alias| alias.is_answered && alias.result.unwrap_or(0) == 0)
    }

    /// Whether any sending was refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.aliases.iter().any(|alias| alias.result.is_some_and(|code| code != 0))
    }

    /// Whether the dock may yet accept a sending: one that it has not answered, or whose names were one
    /// pair too many to be kept.
    pub(crate) fn has_an_open_sending(&self) -> bool {
        self.retries >= self.aliases.len() as u64 || self.aliases.iter().any(|alias| !alias.is_answered)
    }

    /// Whether an event names object keys and none of them is one of this upload's.
    pub(crate) fn contradicts(&self, progress: &Progress<'_>) -> bool {
        self.files.iter().any(|file| !file.key.is_empty())
            && progress.files.iter().any(|said| !said.key.is_empty())
            && !self.has_key_of(progress)
    }

    /// The dock is at it.
    pub(crate) fn accept(&mut self, now: Now) {
        if self.state == State::Pending {
            self.state = State::Active;
            self.heard = now;
        }
    }

    /// Takes over what an event says; returns how many status words were not published ones.
    pub(crate) fn advance(&mut self, progress: &Progress<'_>, now: Now) -> usize {
        self.accept(now);
        self.heard = now;
        self.result = progress.result.or(self.result);
        // The last event's word, or its silence, counts: files decide where it says nothing.
        if progress.status.is_empty() {
            self.status = Box::default();
        }
        learn(&mut self.status, progress.status, text::STATUS);
        let mut unknown = usize::from(Status::read(progress.status) == Status::Unknown);
        for said in &progress.files {
            let at = self.files.iter().position(|file| file.module == said.module);
            let file = match at {
                Some(at) => &mut self.files[at],
                None if self.files.len() < MAX_FILES => {
                    self.files.push(File::new(said.module.clone(), "", ""));
                    let last = self.files.len() - 1;
                    &mut self.files[last]
                }
                None => continue,
            };
            unknown += usize::from(file.update(said));
        }
        unknown
    }

    /// How the upload ended, if what is known says so: by `output.status`; where that is absent, by
    /// all files. `output.status` alone decides where it is given, unless it only waits for a file
    /// that was given up.
    pub(crate) fn ending(&self) -> Option<(Outcome, EndedBy)> {
        let is_given_up = self.files.iter().any(|file| file.is_given_up);
        match Status::read(&self.status) {
            Status::Over(outcome) => Some((outcome, EndedBy::Event)),
            _ if is_given_up => Some((self.ending_by_files()?, EndedBy::Clock)),
            Status::Absent => Some((self.ending_by_files()?, EndedBy::Event)),
            Status::GoingOn | Status::Unknown => None,
        }
    }

    fn ending_by_files(&self) -> Option<Outcome> {
        if self.files.is_empty() || self.files.iter().any(|file| file.over.is_none()) {
            return None;
        }
        Some(Outcome::of_files(self.files.iter().filter_map(|file| file.over)))
    }

    /// The dock accepted a cancel of these modules. If that leaves nothing going on, the upload as a
    /// whole is being cancelled. With no modules known, only a cancel of all of them says that much.
    pub(crate) fn cancel(&mut self, modules: Slots, now: Now) {
        for file in &mut self.files {
            if file.over.is_none() && modules.covers(file.module.slots()) {
                file.cancelling.get_or_insert(now);
            }
        }
        let whole = if self.files.is_empty() { modules == Slots::ALL } else { !self.has_a_file_left() };
        if whole && self.state != State::Cancelling {
            self.state = State::Cancelling;
            self.cancelling = Some(now);
        }
    }

    /// The dock takes its word back.
    pub(crate) fn resume(&mut self, modules: Slots, now: Now) {
        for file in &mut self.files {
            if modules.covers(file.module.slots()) {
                file.cancelling = None;
            }
        }
        if self.state == State::Cancelling && (self.files.is_empty() || self.has_a_file_left()) {
            self.state = State::Active;
            self.cancelling = None;
            self.heard = now;
        }
    }

    fn has_a_file_left(&self) -> bool {
        self.files.iter().any(|file| file.over.is_none() && file.cancelling.is_none())
    }

    /// Files whose cancel has had its time count as cancelled; the others go on.
    pub(crate) fn give_up_cancelled_files(&mut self, rules: &Rules, now: Now) {
        for file in &mut self.files {
            if file.over.is_none() && file.cancelling.is_some_and(|at| at.after(rules.cancel_timeout) <= now) {
                file.give_up();
            }
        }
    }

    /// The cancel of the whole has had its time: what is not over by now counts as cancelled, and the
    /// files say how it ended.
    pub(crate) fn give_up(&mut self) -> Outcome {
        self.files.iter_mut().filter(|file| file.over.is_none()).for_each(File::give_up);
        self.ending_by_files().unwrap_or(Outcome::Canceled)
    }

    /// When it ends if nothing more is heard, and as what.
    pub(crate) fn deadline(&self, gone: Option<Now>, rules: &Rules) -> (Now, Outcome) {
        let lost = gone.map(|at| (at.after(rules.offline_grace), Outcome::Lost));
        let own = match (self.state, self.cancelling) {
            // Whether its dock is there does not matter: it has to answer.
            (State::Pending, _) => {
                let outcome = if self.is_refused() { Outcome::Rejected } else { Outcome::Unanswered };
                return (self.begun.after(rules.reply_timeout), outcome);
            }
            (State::Cancelling, Some(at)) => (at.after(rules.cancel_timeout), Outcome::Canceled),
            _ => (self.heard.after(rules.stall_timeout), Outcome::Stalled),
        };
        lost.map_or(own, |lost| if lost.0 < own.0 { lost } else { own })
    }

    /// When one of its files is next to be given up.
    pub(crate) fn file_deadline(&self, rules: &Rules) -> Option<Now> {
        let waiting = self.files.iter().filter(|file| file.over.is_none());
        waiting.filter_map(|file| Some(file.cancelling?.after(rules.cancel_timeout))).min()
    }

    /// The code that says why it ended: the dock's answer, else the event's, else a file's.
    pub(crate) fn code(&self, outcome: Outcome) -> Option<i64> {
        let of_reply = self.aliases.iter().rev().find_map(|alias| alias.result.filter(|code| *code != 0));
        let of_files = || self.files.iter().find_map(|file| file.result.filter(|code| *code != 0));
        let of_event = self.result.filter(|code| *code != 0);
        match outcome {
            Outcome::Rejected => of_reply.or(of_event).or_else(of_files),
            _ => of_event.or_else(of_files).or(self.result),
        }
    }

    pub(crate) fn modules(&self) -> Modules {
        Modules::of(self.files.iter().map(|file| &file.module))
    }
}
