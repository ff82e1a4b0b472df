//! The ledger as many threads see it: the gateways by serial number, and the indexes beside them.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use dashmap::mapref::one::RefMut;

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
    /// When time next changes something in a gateway.
    deadlines: Agenda,
    /// When a gateway without a running upload was last heard of: who is idle longest makes room. First
    /// those that have had no start, then those that have had one.
    idle: [Agenda; 2],
    history: HistoryIndex,
    pub(super) presence: Presence,
    /// What may be logged of all gateways.
    lines: RateLimit,
    pub(super) serial: AtomicU64,
    /// How many gateways there are, or are being made: the map's own count locks every shard.
    count: AtomicU64,
    /// How many of them have had no start.
    unstarted: AtomicU64,
    /// Entries of lists kept, in all.
    listed: AtomicU64,
    /// Uploads pending, active and cancelling.
    running: [AtomicI64; 3],
}

impl Ledger {
    /// An empty ledger that is kept nowhere.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Ledger {
            rules,
            gateways: DashMap::with_hasher(ahash::RandomState::new()),
            journal: None,
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
        self.change(client, now, |state, _, _| state.own_left(now));
        for gateway in self.presence.left(client, now) {
            // Its own client may have been here since before the gateway was known.
            let has_own = is_connected(&gateway);
            self.change(&gateway, now, |state, _, _| {
                if has_own && state.own == Own::Unknown {
                    state.own = Own::Here;
                }
            });
        }
    }

    /// A client has connected.
    pub fn client_back(&self, client: &str, now: Now) {
        self.change(client, now, |state, _, _| state.own = Own::Here);
        if self.presence.back(client) {
            self.keep_presence(client, now);
        }
    }

    /// A client is here that was taken for gone: so say the records of the uploads that are running behind it.
    fn keep_presence(&self, client: &str, now: Now) {
        if self.journal.is_some() {
            for gateway in self.presence.busy_behind(client) {
                self.change(&gateway, now, |_, _, _| {});
            }
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
    fn rank(&self, state: &mut Gateway, key: &Arc<str>, was_started: bool) {
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
    fn index(&self, state: &mut Gateway, key: &Arc<str>) {
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
        effects
    }

    /// Forgets the oldest ended uploads as far as there are too many in all. Returns how many.
    pub(super) fn trim_history(&self) -> usize {
        let mut forgotten = 0;
        while let Some((place, gateway)) = self.history.pop_over(self.rules.history_total) {
            let Some(mut state) = self.gateways.get_mut(&gateway) else { continue };
            if let Some(at) = state.history.iter().position(|ended| ended.place == place) {
                state.history.remove(at);
                forgotten += 1;
                if let Some(journal) = &self.journal {
                    journal.ended(place, None);
                }
            }
        }
        forgotten
    }

    /// Takes in a gateway from before the restart, with its history, whether or not there is room for it.
    pub(super) fn take_in(&self, key: Arc<str>, state: Gateway) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let is_started = state.is_started;
        if !is_started {
            self.unstarted.fetch_add(1, Ordering::Relaxed);
        }
        for (count, running) in self.running.iter().zip(state.counts()) {
            count.fetch_add(running, Ordering::Relaxed);
        }
        let places: Vec<u64> = state.history.iter().map(|ended| ended.place).collect();
        self.history.note(&key, &places, &[]);
        let mut entry = self.gateways.entry(key).insert(state);
        let (key, state) = entry.pair_mut();
        self.rank(state, key, is_started);
        self.index(state, key);
    }

    /// Forgets gateways that are idle as long as there are more than may be. Returns how many.
    pub(super) fn make_room(&self) -> usize {
        let max = self.rules.max_gateways.max(1);
        let is_over = |count: &AtomicU64, max: usize| count.load(Ordering::Relaxed) > max as u64;
        let mut forgotten = 0;
        while is_over(&self.count, max) && self.evict(Full::All) {
            forgotten += 1;
        }
        while is_over(&self.unstarted, max_unstarted(max)) && self.evict(Full::Unstarted) {
            forgotten += 1;
        }
        forgotten
    }

    /// Makes state for a gateway, and room for it if there is none; none if all are busy.
    ///
    /// A tenth of the room is for gateways that a start has been sent to, so that whatever invented
    /// gateways report, there is a place for a real start.
    fn make(&self, gateway: &str, is_start: bool, now: Now, effects: &mut Effects) -> Option<Held<'_>> {
        while let Err(full) = self.reserve(is_start) {
            if !self.evict(full) {
                effects.count(Observation::GatewaysFull);
                return None;
            }
            effects.count(Observation::GatewaysEvicted);
        }
        match self.gateways.entry(Arc::from(gateway)) {
            Entry::Occupied(occupied) => {
                self.give_back(is_start);
                Some(occupied.into_ref())
            }
            Entry::Vacant(vacant) => Some(vacant.insert(Gateway::new(now, is_start))),
        }
    }

    fn reserve(&self, is_start: bool) -> Result<(), Full> {
        let max = self.rules.max_gateways.max(1);
        if !is_start && self.unstarted.fetch_add(1, Ordering::Relaxed) >= max_unstarted(max) as u64 {
            self.unstarted.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Unstarted);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) >= max as u64 {
            self.give_back(is_start);
            return Err(Full::All);
        }
        Ok(())
    }

    fn give_back(&self, is_started: bool) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        if !is_started {
            self.unstarted.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Forgets the gateway that has been idle longest. To find it, every gateway that was heard of since
    /// it was put in the queue is put back where it belongs: one step for at least one message.
    fn evict(&self, full: Full) -> bool {
        while let Some((queue, (at, gateway))) = self.longest_idle(full) {
            let idle = self.gateways.remove_if(&gateway, |key, state| {
                let is_idle = state.idle == Some(at) && state.touched <= at;
                if is_idle {
                    self.forget(key, state);
                }
                is_idle
            });
            if let Some((key, state)) = idle {
                self.give_back(state.is_started);
                self.history.forget(&state.history);
                self.listed.fetch_sub(state.listed_files() as u64, Ordering::Relaxed);
                if let Some(at) = state.indexed {
                    self.deadlines.remove(at, &key);
                }
                if let Some(speaker) = state.speaker {
                    self.presence.release(speaker);
                }
                return true;
            }
            // Under its lock, so that it stands in the queue as often as it says.
            if let Some(mut state) = self.gateways.get_mut(&gateway)
                && state.idle == Some(at)
            {
                state.idle = Some(state.touched);
                self.idle[queue].insert(state.touched, &gateway);
            }
        }
        false
    }

    /// Has the journal forget a gateway with its history, under its lock: it may be made anew at once.
    fn forget(&self, key: &Arc<str>, state: &Gateway) {
        let Some(journal) = &self.journal else { return };
        if state.kept.is_written {
            journal.gateway(key, None);
        }
        for ended in &state.history {
            journal.ended(ended.place, None);
        }
    }

    fn longest_idle(&self, full: Full) -> Option<(usize, (Now, Arc<str>))> {
        let [unstarted, started] = &self.idle;
        let is_started = match (full, unstarted.first(), started.first()) {
            (Full::All, Some(unstarted), Some(started)) => started < unstarted,
            (Full::All, None, _) => true,
            _ => false,
        };
        Some((usize::from(is_started), self.idle[usize::from(is_started)].pop()?))
    }
}

/// A gateway under its lock.
type Held<'a> = RefMut<'a, Arc<str>, Gateway>;

/// What there is no room for.
#[derive(Debug, Clone, Copy)]
enum Full {
    /// One more gateway.
    All,
    /// One more gateway that no start has been sent to.
    Unstarted,
}

/// How many of so many gateways may be there without having been sent a start.
fn max_unstarted(max: usize) -> usize {
    max - max / 10
}

/// Whether a message is worth making state for a gateway.
fn begins_something(body: &Body<'_>) -> bool {
    match body {
        Body::List | Body::Start(_) | Body::Progress(_) => true,
        Body::ListReply(reply) => !reply.modules.is_empty(),
        _ => false,
    }
}
