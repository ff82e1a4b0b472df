//! The ledger as many threads see it: the gateways by serial number, and the indexes beside them.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::one::RefMut;

use crate::feed::{Change, Feed};
use crate::logging::RateLimit;

use super::deadlines::Agenda;
use super::effects::{Effects, Turn};
use super::event::{Body, Event};
use super::gateway::{Gateway, Own, Spoke};
use super::history::HistoryIndex;
use super::journal::Journal;
use super::observation::Observation;
use super::presence::Presence;
use super::rules::{Now, Rules};
use super::status::{EndedBy, Outcome};

/// Lines of the log a second about all gateways together.
const LINES_A_SECOND: u32 = 100;

/// Every gateway's uploads.
///
/// Any thread may call it. One gateway's lock is held at a time, and never while an index's lock is
/// held; an index may be locked while a gateway's is held. Nothing is logged, counted or waited for
/// under a lock.
#[derive(Debug)]
pub struct Ledger {
    pub(super) rules: Rules,
    pub(super) gateways: DashMap<Arc<str>, Gateway, ahash::RandomState>,
    /// What is told of every change, if anything is kept.
    pub(super) journal: Option<Arc<dyn Journal>>,
    /// Where changes are told to those who watch.
    pub(super) feed: Arc<Feed>,
    /// When time next changes something in a gateway.
    pub(super) deadlines: Agenda,
    /// When a gateway without a running upload was last heard of: who is idle longest makes room. First
    /// those that have had no start, then those that have had one.
    pub(super) idle: [Agenda; 2],
    pub(super) history: HistoryIndex,
    pub(super) presence: Presence,
    /// What may be logged of all gateways.
    lines: RateLimit,
    pub(super) serial: AtomicU64,
    /// How many gateways there are, or are being made: the map's own count locks every shard.
    pub(super) count: AtomicU64,
    /// How many of them have had no start.
    pub(super) unstarted: AtomicU64,
    /// Entries of lists kept, in all.
    pub(super) listed: AtomicU64,
    /// Uploads pending, active and cancelling.
    pub(super) running: [AtomicI64; 3],
}

impl Ledger {
    /// An empty ledger that is kept nowhere.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Ledger {
            rules,
            gateways: DashMap::with_hasher(ahash::RandomState::new()),
            journal: None,
            feed: Arc::default(),
            deadlines: Agenda::default(),
            idle: Default::default(),
            history: HistoryIndex::default(),
            presence: Presence::default(),
            lines: RateLimit::per_second(LINES_A_SECOND),
            serial: AtomicU64::new(1),
            count: AtomicU64::new(0),
            unstarted: AtomicU64::new(0),
            listed: AtomicU64::new(0),
            running: Default::default(),
        }
    }

    /// An empty ledger that tells `journal` what to keep.
    #[must_use]
    pub fn with_journal(rules: Rules, journal: Arc<dyn Journal>) -> Self {
        Ledger { journal: Some(journal), ..Ledger::new(rules) }
    }

    /// Where it tells of changes, once they have been made.
    #[must_use]
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The rules it goes by.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// One message. Without state for its gateway, only a message that begins something makes some.
    pub fn apply(&self, gateway: &str, event: &Event<'_>, now: Now) -> Effects {
        let is_back = Cell::new(false);
        let turn = |state: &mut Gateway, key: &Arc<str>, turn: &mut Turn<'_>| {
            if state.is_spoken_for(event) {
                is_back.set(self.spoke(state, key, event.client));
            }
            state.apply(event, turn);
        };
        if let Some(effects) = self.change(gateway, now, turn) {
            if is_back.get() {
                self.keep_presence(event.client, now);
            }
            return self.finish(gateway, effects, now);
        }
        let mut made = Effects::default();
        if !begins_something(&event.body) {
            if event.body.is_from_gateway() && !matches!(event.body, Body::UnnamedReply(_) | Body::UnnamedEvent(_)) {
                made.count(Observation::Unmatched);
            }
            return made;
        }
        let is_start = matches!(event.body, Body::Start(_));
        // Made and changed under one lock: it cannot go in between.
        let effects = match self.make(gateway, is_start, now, &mut made) {
            Some(mut entry) => self.turn(&mut entry, now, turn),
            None => return made,
        };
        made.observations.extend(effects.observations.iter().copied());
        self.finish(gateway, Effects { observations: made.observations, ..effects }, now)
    }

    /// A client's connection has ended. Not to be called for one that was taken over: its client is
    /// still there. `is_connected` tells of a client id whether it is; it is asked without any lock
    /// held.
    pub fn client_gone(&self, client: &str, now: Now, is_connected: &dyn Fn(&str) -> bool) {
        if self.change(client, now, |state, _, _| state.own_left(now)).is_some() {
            self.tell(client);
        }
        for gateway in self.presence.left(client, now) {
            // Its own client may have been here since before the gateway was known.
            let has_own = is_connected(&gateway);
            self.change(&gateway, now, |state, _, _| {
                if has_own && state.own == Own::Unknown {
                    state.own = Own::Here;
                }
            });
            self.tell(&gateway);
        }
    }

    /// A client has connected.
    pub fn client_back(&self, client: &str, now: Now) {
        if self.change(client, now, |state, _, _| state.own = Own::Here).is_some() {
            self.tell(client);
        }
        if self.presence.back(client) {
            self.keep_presence(client, now);
        }
    }

    /// A client is here that was taken for gone: so say the records of the uploads that are running behind it, and the feed.
    fn keep_presence(&self, client: &str, now: Now) {
        if self.journal.is_none() && !self.feed.is_watched() {
            return;
        }
        for gateway in self.presence.busy_behind(client) {
            self.change(&gateway, now, |_, _, _| {});
            self.tell(&gateway);
        }
    }

    /// Lets time pass: what it ended is returned to be counted. Costs nothing for gateways that are
    /// not due.
    pub fn tick(&self, now: Now) -> Vec<Observation> {
        let mut observations = Vec::new();
        for (at, gateway) in self.deadlines.due(now) {
            let effects = self.change(&gateway, now, |state, _, turn| {
                if state.indexed == Some(at) {
                    state.indexed = None;
                }
                turn.is_silent = true;
                state.expire(turn);
            });
            if let Some(effects) = effects {
                observations.extend(self.finish(&gateway, effects, now).observations);
            }
        }
        observations
    }

    /// Ends the upload with this id on a gateway, or all that are running there: an operator says that nothing comes of
    /// them. The dock is told nothing; if it shows that it goes on, the upload takes its slot again. Returns the places of
    /// the uploads that ended so, in the order of endings, and what there is to count.
    pub fn release(&self, gateway: &str, id: Option<u64>, now: Now) -> Effects {
        let effects = self.change(gateway, now, |state, _, turn| {
            while let Some(at) = state.running.iter().position(|upload| id.is_none_or(|id| upload.id == id)) {
                state.end(at, Outcome::Released, EndedBy::Clock, turn);
            }
        });
        effects.map_or_else(Effects::default, |effects| self.finish(gateway, effects, now))
    }

    /// When [`tick`](Ledger::tick) next has something to do, at the earliest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Now> {
        self.deadlines.first()
    }

    /// How many uploads are pending, active and cancelling.
    #[must_use]
    pub fn active(&self) -> (u64, u64, u64) {
        let [pending, active, cancelling] = &self.running;
        let read = |count: &AtomicI64| u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
        (read(pending), read(active), read(cancelling))
    }

    /// How many gateways there is state for, and how many ended uploads are remembered.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (usize::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(usize::MAX), self.history.len())
    }

    /// One turn of a gateway, if there is one, under its lock, with all indexes kept in step.
    fn change(
        &self,
        gateway: &str,
        now: Now,
        act: impl FnOnce(&mut Gateway, &Arc<str>, &mut Turn<'_>),
    ) -> Option<Effects> {
        let mut entry = self.gateways.get_mut(gateway)?;
        Some(self.turn(&mut entry, now, act))
    }

    fn turn(
        &self,
        entry: &mut Held<'_>,
        now: Now,
        act: impl FnOnce(&mut Gateway, &Arc<str>, &mut Turn<'_>),
    ) -> Effects {
        let (key, state) = entry.pair_mut();
        let mut turn = Turn::new(now, &self.rules, &self.serial, &self.listed);
        let (before, was_started) = (state.counts(), state.is_started);
        act(state, key, &mut turn);
        for (count, (before, after)) in self.running.iter().zip(before.into_iter().zip(state.counts())) {
            if before != after {
                count.fetch_add(after - before, Ordering::Relaxed);
            }
        }
        self.history.note(key, &turn.effects.ended, &turn.effects.forgotten);
        self.rank(state, key, was_started);
        self.keep(key, state, &mut turn);
        self.index(state, key);
        turn.effects
    }

    /// Keeps in step what depends on whether an upload is running.
    pub(super) fn rank(&self, state: &mut Gateway, key: &Arc<str>, was_started: bool) {
        if state.is_started && !was_started {
            self.unstarted.fetch_sub(1, Ordering::Relaxed);
        }
        let is_busy = !state.running.is_empty();
        match (is_busy, state.idle) {
            (true, Some(at)) => {
                self.idle[usize::from(was_started)].remove(at, key);
                state.idle = None;
            }
            (false, None) => {
                self.idle[usize::from(state.is_started)].insert(state.touched, key);
                state.idle = Some(state.touched);
            }
            _ => {}
        }
        match &state.speaker {
            Some(speaker) if is_busy && !state.is_followed => {
                self.presence.busy(speaker, key);
                state.is_followed = true;
            }
            Some(speaker) if !is_busy && state.is_followed => {
                self.presence.idle(speaker, key);
                state.is_followed = false;
            }
            _ => {}
        }
    }

    /// Moves the gateway forward in the index if it is due earlier than it stands there. Later is
    /// left: `tick` finds out.
    pub(super) fn index(&self, state: &mut Gateway, key: &Arc<str>) {
        let Some(due) = state.deadline(&self.rules) else {
            return;
        };
        match state.indexed {
            Some(at) if at <= due => {}
            earlier => {
                if let Some(at) = earlier {
                    self.deadlines.remove(at, key);
                }
                self.deadlines.insert(due, key);
                state.indexed = Some(due);
            }
        }
    }

    /// The client speaks as the gateway. True if it was taken for gone.
    fn spoke(&self, state: &mut Gateway, key: &Arc<str>, client: &str) -> bool {
        let spoke = state.spoke(client, client == &**key);
        if spoke == Spoke::New {
            if let Some(speaker) = state.speaker.take() {
                if std::mem::take(&mut state.is_followed) {
                    self.presence.idle(&speaker, key);
                }
                self.presence.release(speaker);
            }
            state.speaker = self.presence.speaks(client);
        }
        spoke == Spoke::Back
    }

    /// What is left to do without the gateway's lock.
    fn finish(&self, gateway: &str, effects: Effects, now: Now) -> Effects {
        for note in &effects.notes {
            if let Some(suppressed) = self.lines.allow_at(now.0) {
                note.log(gateway, suppressed);
            }
        }
        if !effects.ended.is_empty() {
            self.trim_history();
        }
        self.tell(gateway);
        for place in &effects.ended {
            self.feed.tell(|| Change::Ended(gateway.into(), *place));
        }
        effects
    }

    fn tell(&self, gateway: &str) {
        self.feed.tell(|| Change::Gateway(gateway.into()));
    }
}

/// A gateway under its lock.
pub(super) type Held<'a> = RefMut<'a, Arc<str>, Gateway>;

/// Whether a message is worth making state for a gateway.
fn begins_something(body: &Body<'_>) -> bool {
    match body {
        Body::List | Body::Start(_) | Body::Progress(_) => true,
        Body::ListReply(reply) => !reply.modules.is_empty(),
        _ => false,
    }
}
