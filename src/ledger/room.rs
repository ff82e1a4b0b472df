//! Room for gateways and their history: how many there may be, and who makes place for whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::mapref::entry::Entry;

use super::effects::Effects;
use super::gateway::Gateway;
use super::observation::Observation;
use super::rules::Now;
use super::table::{Held, Ledger};

impl Ledger {
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
    pub(super) fn make(&self, gateway: &str, is_start: bool, now: Now, effects: &mut Effects) -> Option<Held<'_>> {
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
