//! The ledger as many threads see it: the gateways by serial number, and the indexes beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::deadlines::Agenda;
use super::effects::{Effects, Turn};
use super::event::{Body, Event};
use super::gateway::Gateway;
use super::history::HistoryIndex;
use super::observation::Observation;
use super::presence::Presence;
use super::rules::{Now, Rules};

/// Busy gateways that are passed over to find an idle one, before it is said that there is none.
const BUSY_PASSED_OVER: usize = 32;

/// Every gateway's uploads.
///
/// Any thread may call it. One gateway's lock is held at a time, and never while an index's lock is
/// held; an index may be locked while a gateway's is held. Nothing is logged, counted or waited for
/// under a lock.
#[derive(Debug)]
pub struct Ledger {
    pub(super) rules: Rules,
    pub(super) gateways: DashMap<Arc<str>, Gateway, ahash::RandomState>,
    /// When time next changes something in a gateway.
    deadlines: Agenda,
    /// When a gateway was last heard of: who is idle longest makes room.
    idle: Agenda,
    history: HistoryIndex,
    presence: Presence,
    serial: AtomicU64,
    /// How many gateways there are, or are being made: the map's own count locks every shard.
    count: AtomicU64,
    /// Uploads pending, active and cancelling.
    running: [AtomicI64; 3],
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Ledger {
            rules,
            gateways: DashMap::with_hasher(ahash::RandomState::new()),
            deadlines: Agenda::default(),
            idle: Agenda::default(),
            history: HistoryIndex::default(),
            presence: Presence::default(),
            serial: AtomicU64::new(1),
            count: AtomicU64::new(0),
            running: Default::default(),
        }
    }

    /// The rules it goes by.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// One message. Without state for its gateway, only a message that begins something makes some.
    pub fn apply(&self, gateway: &str, event: &Event<'_>, now: Now) -> Effects {
        let mut effects = Effects::default();
        let changed = self.change(gateway, now, |state, key, turn| {
            if event.body.is_from_gateway() {
                self.spoke(state, key, event.client);
            }
            state.apply(event, turn);
        });
        if let Some(changed) = changed {
            return self.finish(gateway, changed);
        }
        if !begins_something(&event.body) {
            if event.body.is_from_gateway()
                && !matches!(event.body, Body::UnnamedReply(_) | Body::UnnamedEvent(_))
            {
                effects.count(Observation::Unmatched);
            }
            return effects;
        }
        if !self.make(gateway, now, &mut effects) {
            return effects;
        }
        // Between the making and this, the gateway may only go if it is idle longest of all at once;
        // then the message passes unguarded, as with a full table.
        let changed = self.change(gateway, now, |state, key, turn| {
            turn.effects.observations.append(&mut effects.observations);
            if event.body.is_from_gateway() {
                self.spoke(state, key, event.client);
            }
            state.apply(event, turn);
        });
        match changed {
            Some(changed) => self.finish(gateway, changed),
            None => effects,
        }
    }

    /// A client's connection has ended. Not to be called for one that was taken over: its client is
    /// still there.
    pub fn client_gone(&self, client: &str, now: Now) {
        self.with_gateways_of(client, |state, is_own| state.client_gone(is_own, now), now);
    }

    /// A client has connected.
    pub fn client_back(&self, client: &str, now: Now) {
        self.with_gateways_of(client, |state, is_own| state.client_back(is_own), now);
    }

    fn with_gateways_of(&self, client: &str, act: impl Fn(&mut Gateway, bool), now: Now) {
        self.change(client, now, |state, _, _| act(state, true));
        for gateway in self.presence.of(client) {
            self.change(&gateway, now, |state, _, _| {
                if state.speaker.as_deref() == Some(client) {
                    act(state, false);
                }
            });
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
                state.expire(turn);
            });
            if let Some(effects) = effects {
                observations.extend(self.finish(&gateway, effects).observations);
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
        (
            usize::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
            self.history.len(),
        )
    }

    /// One turn of a gateway, if there is one, under its lock, with all indexes kept in step.
    fn change(
        &self,
        gateway: &str,
        now: Now,
        act: impl FnOnce(&mut Gateway, &Arc<str>, &mut Turn<'_>),
    ) -> Option<Effects> {
        let mut entry = self.gateways.get_mut(gateway)?;
        let (key, state) = entry.pair_mut();
        let mut turn = Turn::new(now, &self.rules, &self.serial);
        let before = state.counts();
        act(state, key, &mut turn);
        for (count, (before, after)) in self
            .running
            .iter()
            .zip(before.into_iter().zip(state.counts()))
        {
            if before != after {
                count.fetch_add(after - before, Ordering::Relaxed);
            }
        }
        self.history
            .note(key, &turn.effects.ended, &turn.effects.forgotten);
        self.index(state, key);
        Some(turn.effects)
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

    fn spoke(&self, state: &mut Gateway, key: &Arc<str>, client: &str) {
        if state.spoke(client, client == &**key) {
            state.speaker = self.presence.speaks(client, key, state.speaker.as_ref());
        }
    }

    /// What is left to do without the gateway's lock.
    fn finish(&self, gateway: &str, effects: Effects) -> Effects {
        for note in &effects.notes {
            note.log(gateway);
        }
        if !effects.ended.is_empty() {
            while let Some((place, gateway)) = self.history.pop_over(self.rules.history_total) {
                if let Some(mut state) = self.gateways.get_mut(&gateway) {
                    state.history.retain(|ended| ended.place != place);
                }
            }
        }
        effects
    }

    /// Makes state for a gateway, and room for it if there is none; false if all are busy.
    fn make(&self, gateway: &str, now: Now, effects: &mut Effects) -> bool {
        while self.count.fetch_add(1, Ordering::Relaxed) >= self.rules.max_gateways.max(1) as u64 {
            self.count.fetch_sub(1, Ordering::Relaxed);
            if !self.evict(now) {
                effects.count(Observation::GatewaysFull);
                return false;
            }
            effects.count(Observation::GatewaysEvicted);
        }
        match self.gateways.entry(Arc::from(gateway)) {
            Entry::Occupied(_) => {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            Entry::Vacant(vacant) => {
                self.idle.insert(now, vacant.key());
                vacant.insert(Gateway::new(now));
            }
        }
        true
    }

    /// Forgets the gateway that has been idle longest. To find it, every gateway that was heard of since
    /// it was put in the queue is put back where it belongs: one step for at least one message.
    fn evict(&self, now: Now) -> bool {
        let mut busy = 0;
        while busy < BUSY_PASSED_OVER {
            let Some((at, gateway)) = self.idle.pop() else {
                return false;
            };
            let idle = self.gateways.remove_if(&gateway, |_, state| {
                state.running.is_empty() && state.touched <= at
            });
            if let Some((key, state)) = idle {
                self.count.fetch_sub(1, Ordering::Relaxed);
                self.history.forget(&state.history);
                if let Some(at) = state.indexed {
                    self.deadlines.remove(at, &key);
                }
                if let Some(speaker) = &state.speaker {
                    self.presence.forget(speaker, &key);
                }
                return true;
            }
            let Some(state) = self.gateways.get(&gateway) else {
                continue;
            };
            if state.running.is_empty() {
                self.idle.insert(state.touched, &gateway);
            } else {
                busy += 1;
                self.idle.insert(now.max(state.touched), &gateway);
            }
        }
        false
    }
}

/// Whether a message is worth making state for a gateway.
fn begins_something(body: &Body<'_>) -> bool {
    match body {
        Body::List | Body::Start(_) | Body::Progress(_) => true,
        Body::ListReply(reply) => !reply.modules.is_empty(),
        _ => false,
    }
}
