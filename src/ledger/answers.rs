//! What a gateway says: replies, and the progress of its uploads.

use smallvec::SmallVec;

use super::effects::{Note, Turn};
use super::event::{Event, ListReply, Progress};
use super::gateway::Gateway;
use super::module::Slots;
use super::observation::{Method, Observation};
use super::remembered::Listed;
use super::rules::Scope;
use super::status::{EndedBy, Outcome, State};
use super::text::{self, cut};
use super::upload::Upload;

/// Where an event belongs.
enum Belongs {
    /// To a running upload.
    Running(usize),
    /// To one in the history.
    Ended(usize),
    /// To a start that `Policy::Observe` let through while the slot was taken.
    LetThrough,
    /// To none that is known.
    Nowhere,
}

impl Gateway {
    pub(crate) fn list_replied(&mut self, event: &Event<'_>, reply: &ListReply<'_>, turn: &mut Turn<'_>) {
        self.asked.retain(|asked| asked.method != Method::List || *asked.tid != *cut(event.tid, text::ID));
        turn.effects.observations.extend(reply.result.map(Observation::ResultCode));
        for listed in &reply.modules {
            let files = listed.files.iter().filter(|file| file.says_something());
            let files: Vec<_> = files.take(turn.rules.max_listed_files).copied().collect();
            let listed = Listed {
                module: listed.module.clone(),
                device_sn: cut(listed.device_sn, text::SERIAL).into(),
                result: listed.result,
                files,
                offered: listed.offered,
                at: turn.now,
            };
            self.keep_list(listed, turn);
        }
    }

    /// The dock answered a sending of a start. No `data.result` (the page says "Data: null") counts
    /// as accepted: it guards for longer, and the stall time-out ends it if that was wrong.
    pub(crate) fn start_replied(&mut self, event: &Event<'_>, result: Option<i64>, turn: &mut Turn<'_>) {
        turn.effects.observations.extend(result.map(Observation::ResultCode));
        let is_accepted = result.unwrap_or(0) == 0;
        let found = self.running.iter().enumerate().find_map(|(at, upload)| {
            let alias = upload.answered(event.tid, event.bid)?;
            Some((at, alias))
        });
        let Some((at, alias)) = found else {
            return self.ended_start_replied(event, result, turn);
        };
        let upload = &mut self.running[at];
        if !upload.aliases[alias].is_news(result) {
            return turn.count(Observation::Duplicate);
        }
        if is_accepted {
            upload.accept(turn.now);
        } else if upload.state != State::Active && !upload.is_accepted() && !upload.has_an_open_sending() {
            // An active upload whose dock now says no is going on all the same: its progress, or
            // another sending's answer, has shown it. While a sending is open, "no" to another may mean
            // that the dock is busy with this one.
            self.end(at, Outcome::Rejected, EndedBy::Answer, turn);
        }
    }

    /// A slow dock that refuses one sending and accepts another, or accepts after `reply_timeout`, is
    /// uploading: the upload runs again if its slot is still free.
    fn ended_start_replied(&mut self, event: &Event<'_>, result: Option<i64>, turn: &mut Turn<'_>) {
        let found = self.history.iter().enumerate().rev().find_map(|(at, ended)| {
            let alias = ended.upload.answered(event.tid, event.bid)?;
            Some((at, alias))
        });
        let Some((at, alias)) = found else {
            return turn.count(Observation::Unmatched);
        };
        let ended = &mut self.history[at];
        let is_news = ended.upload.aliases[alias].is_news(result);
        // "rejected" as a status is the dock's last word, as an answer only to one sending.
        let may_run = ended.by != EndedBy::Event && matches!(ended.outcome, Outcome::Rejected | Outcome::Unanswered);
        let (slots, place) = (ended.upload.slots, ended.place);
        if result.unwrap_or(0) == 0 && is_news && may_run && self.holder(slots).is_none() {
            self.revive(at, turn);
        } else {
            if is_news {
                turn.effects.amended.push(place);
            }
            turn.count(Observation::Late);
        }
    }

    /// The dock answered a cancel: of the request with this tid, else with this bid, else the only
    /// one that is still open.
    pub(crate) fn cancel_replied(&mut self, event: &Event<'_>, result: Option<i64>, turn: &mut Turn<'_>) {
        turn.effects.observations.extend(result.map(Observation::ResultCode));
        let accepted = result.unwrap_or(0) == 0;
        let Some(at) = self.cancel_asked(event) else {
            return turn.count(Observation::Unmatched);
        };
        let asked = &mut self.asked[at];
        let modules = asked.modules;
        let was_accepted = std::mem::replace(&mut asked.accepted, accepted);
        // With two sendings of one cancel, a "no" to the second does not undo the first.
        let agreed = self.asked.iter().filter(|asked| asked.accepted);
        let still_agreed = agreed.fold(Slots::NONE, |all, asked| all.with(asked.modules));
        let mut was_late = true;
        for upload in self.running.iter_mut().filter(|upload| upload.slots.meets(modules)) {
            was_late = false;
            if accepted {
                upload.cancel(modules, turn.now);
            } else if was_accepted && !still_agreed.meets(modules) {
                upload.resume(modules, turn.now);
            }
        }
        if was_late {
            turn.count(Observation::Late);
        }
    }

    fn cancel_asked(&self, event: &Event<'_>) -> Option<usize> {
        let (tid, bid) = (cut(event.tid, text::ID), cut(event.bid, text::ID));
        let last = |name: &dyn Fn(&super::remembered::Asked) -> bool| {
            self.asked.iter().rposition(|asked| asked.method == Method::Update && name(asked))
        };
        last(&|asked| !tid.is_empty() && *asked.tid == *tid)
            .or_else(|| last(&|asked| !bid.is_empty() && *asked.bid == *bid))
            .or_else(|| {
                let mut open = self.asked.iter().filter(|asked| asked.method == Method::Update && !asked.accepted);
                match (open.next(), open.next()) {
                    (Some(_), None) => last(&|asked| !asked.accepted),
                    _ => None,
                }
            })
    }

    /// A reply without `method` (some samples of v1.11): its tid says what was asked.
    pub(crate) fn unnamed_replied(&mut self, event: &Event<'_>, reply: &ListReply<'_>, turn: &mut Turn<'_>) {
        let tid = cut(event.tid, text::ID);
        if tid.is_empty() {
            return;
        }
        let started = self.running.iter().any(|upload| upload.aliases.iter().any(|alias| *alias.tid == *tid));
        let asked = self.asked.iter().rev().find(|asked| *asked.tid == *tid).map(|asked| asked.method);
        let was_started = || {
            let names = self.history.iter().flat_map(|ended| &ended.upload.aliases);
            names.into_iter().any(|alias| *alias.tid == *tid)
        };
        match (started, asked) {
            (true, _) => self.start_replied(event, reply.result, turn),
            (false, None) if was_started() => self.start_replied(event, reply.result, turn),
            (false, Some(Method::Update)) => self.cancel_replied(event, reply.result, turn),
            (false, Some(_)) => self.list_replied(event, reply, turn),
            // Some other service's reply.
            (false, None) => {}
        }
    }

    pub(crate) fn progressed(&mut self, event: &Event<'_>, progress: &Progress<'_>, turn: &mut Turn<'_>) {
        // The tid alone would not do: whether each progress has a tid of its own is not published.
        // The same tid with the same bytes is a message sent again.
        if !event.tid.is_empty() && self.has_seen(progress.content) {
            return turn.count(Observation::Duplicate);
        }
        match self.belongs(event, progress, turn.rules.scope) {
            Belongs::Running(at) => self.advance(at, event, progress, turn),
            Belongs::Ended(at) => {
                let ended = &self.history[at];
                // The broker's clock gave it up, or the dock refused a sending of it, and the dock says
                // it goes on: the slot is taken again. What the dock reported as over stays over.
                let may_run = !progress.is_over() && ended.by != EndedBy::Event;
                let goes_on = may_run && self.holder(ended.upload.slots).is_none();
                match if goes_on { self.revive(at, turn) } else { None } {
                    Some(at) => self.advance(at, event, progress, turn),
                    None => turn.count(Observation::Late),
                }
            }
            Belongs::LetThrough if !self.running.is_empty() => turn.count(Observation::Late),
            Belongs::LetThrough | Belongs::Nowhere => self.adopt(event, progress, turn),
        }
    }

    fn advance(&mut self, at: usize, event: &Event<'_>, progress: &Progress<'_>, turn: &mut Turn<'_>) {
        turn.is_progress = true;
        let upload = &mut self.running[at];
        if !event.bid.is_empty() && !upload.has_bid(event.bid) && !upload.contradicts(progress) {
            upload.name("", event.bid, turn.rules.max_aliases);
        }
        let unknown = upload.advance(progress, turn.now);
        let words = std::iter::repeat_n(Observation::UnknownStatusWord, unknown);
        turn.effects.observations.extend(words);
        if turn.rules.scope == Scope::Module {
            self.widen(at, slots_of(progress));
        }
        if let Some((outcome, by)) = self.running[at].ending() {
            self.end(at, outcome, by, turn);
        }
    }

    /// An adopted upload turns out to have more modules than its first event named: it takes their
    /// slots too, if they are free.
    fn widen(&mut self, at: usize, named: Slots) {
        let wanted = self.running[at].slots.with(named);
        let others = self.running.iter().enumerate().filter(|(other, _)| *other != at);
        let is_free = !others.into_iter().any(|(_, other)| other.slots.meets(wanted));
        if self.running[at].adopted && is_free {
            self.running[at].slots = wanted;
        }
    }

    /// An upload that the ledger saw no start of: a broker that has just restarted learns what is
    /// going on. One that is already over takes no slot and only goes into the history. Where the
    /// slot is taken, nothing is known well enough to say which upload it is.
    fn adopt(&mut self, event: &Event<'_>, progress: &Progress<'_>, turn: &mut Turn<'_>) {
        let slots = match turn.rules.scope {
            Scope::Gateway => Slots::ALL,
            Scope::Module => slots_of(progress).or_all(),
        };
        let mut upload = Upload::adopted(turn.next_id(), slots, turn.now);
        upload.name(event.tid, event.bid, turn.rules.max_aliases);
        let unknown = upload.advance(progress, turn.now);
        let ending = upload.ending();
        if ending.is_none() && self.holder(slots).is_some() {
            return turn.count(Observation::Unmatched);
        }
        turn.effects.observations.extend(std::iter::repeat_n(Observation::UnknownStatusWord, unknown));
        turn.count(Observation::Adopted);
        match ending {
            Some((outcome, by)) => self.bury(upload, outcome, by, turn),
            None => {
                self.note(Note::Adopted { bid: cut(event.bid, text::ID).into() }, turn);
                self.running.push(upload);
            }
        }
    }

    /// By bid; else by object key; else, if the bid is not one that has ended or was let through, the
    /// gateway's only upload. How a progress event relates to its start is not published; the demo
    /// backend relies on the bid.
    fn belongs(&self, event: &Event<'_>, progress: &Progress<'_>, scope: Scope) -> Belongs {
        let running = |matches: &dyn Fn(&Upload) -> bool| self.running.iter().position(matches);
        if let Some(at) = running(&|upload| upload.has_bid(event.bid)) {
            return Belongs::Running(at);
        }
        if let Some(at) = running(&|upload| upload.has_key_of(progress)) {
            return Belongs::Running(at);
        }
        if let Some(at) = self.history.iter().rposition(|ended| ended.upload.has_bid(event.bid)) {
            return Belongs::Ended(at);
        }
        if self.was_let_through(event.bid) {
            return Belongs::LetThrough;
        }
        let named = slots_of(progress);
        let fits = |upload: &Upload| scope == Scope::Gateway || named.is_empty() || upload.slots.meets(named);
        let candidates: SmallVec<[usize; 2]> = (0..self.running.len()).filter(|at| fits(&self.running[*at])).collect();
        if let [only] = candidates[..] {
            let upload = &self.running[only];
            // Before the dock has answered, a report that something is over is about something else; and
            // so is one that names another object key.
            let is_of_another = upload.state == State::Pending || upload.contradicts(progress);
            if !progress.is_over() || !is_of_another {
                return Belongs::Running(only);
            }
        }
        match self.history.iter().rposition(|ended| ended.upload.has_key_of(progress)) {
            Some(at) => Belongs::Ended(at),
            None => Belongs::Nowhere,
        }
    }
}

fn slots_of(progress: &Progress<'_>) -> Slots {
    progress.files.iter().fold(Slots::NONE, |all, file| all.with(file.module.slots()))
}
