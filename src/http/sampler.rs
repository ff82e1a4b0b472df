//! Looks at the counters every few seconds, so that rates can be shown without a monitoring system beside the broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::LedgerClock;
use crate::ledger::Outcome;
use crate::metrics::{Metrics, Totals};

/// Time between two looks.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// Looks remembered: five minutes.
const POINTS: usize = 60;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What has been counted lately.
pub(super) struct Sampler {
    metrics: Arc<Metrics>,
    clock: LedgerClock,
    state: Mutex<State>,
    taken: watch::Sender<()>,
}

struct State {
    last: Totals,
    at: Instant,
    rates: Rates,
    /// When the day of the counts began, or the process, and what had been counted then.
    day: (u64, Totals),
}

/// Messages and bytes a second, oldest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Rates {
    /// Milliseconds from one to the next.
    interval_ms: u64,
    /// PUBLISH packets from clients.
    received: Vec<f64>,
    /// PUBLISH packets to clients.
    sent: Vec<f64>,
    /// Messages that were not delivered.
    dropped: Vec<f64>,
    /// Bytes from clients.
    bytes_in: Vec<f64>,
    /// Bytes to clients.
    bytes_out: Vec<f64>,
}

/// What happened since midnight (UTC), or since the broker's start if that is later.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Today {
    /// From when it is counted, in milliseconds since the epoch.
    since_ms: u64,
    /// Uploads that began.
    started: u64,
    /// Starts that were refused.
    refused: u64,
    /// Uploads that arrived.
    ok: u64,
    /// Uploads that ended in any other way, but for those that were canceled or released.
    failed: u64,
    /// Uploads that ended, by outcome.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    ended: serde_json::Map<String, serde_json::Value>,
}

impl Sampler {
    pub(super) fn new(metrics: Arc<Metrics>, clock: LedgerClock) -> Self {
        let rates = Rates {
            interval_ms: u64::try_from(EVERY.as_millis()).unwrap_or(u64::MAX),
            received: Vec::new(),
            sent: Vec::new(),
            dropped: Vec::new(),
            bytes_in: Vec::new(),
            bytes_out: Vec::new(),
        };
        let last = metrics.totals();
        let day = (clock().0, last.clone());
        let state = Mutex::new(State { last, at: Instant::now(), rates, day });
        Self { metrics, clock, state, taken: watch::Sender::new(()) }
    }

    /// Looks, again and again.
    pub(super) async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval_at((Instant::now() + EVERY).into(), EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look(Instant::now());
            self.taken.send_replace(());
        }
    }

    /// Changes with every look.
    pub(super) fn taken(&self) -> watch::Receiver<()> {
        self.taken.subscribe()
    }

    fn look(&self, at: Instant) {
        let (now, totals) = ((self.clock)().0, self.metrics.totals());
        let mut state = self.state.lock();
        let seconds = at.duration_since(state.at).as_secs_f64().max(0.001);
        let State { last, rates, .. } = &mut *state;
        for (points, before, after) in [
            (&mut rates.received, last.received, totals.received),
            (&mut rates.sent, last.sent, totals.sent),
            (&mut rates.dropped, last.dropped, totals.dropped),
            (&mut rates.bytes_in, last.bytes_in, totals.bytes_in),
            (&mut rates.bytes_out, last.bytes_out, totals.bytes_out),
        ] {
            points.push(per_second(after - before, seconds));
            if points.len() > POINTS {
                points.remove(0);
            }
        }
        let midnight = now - now % DAY_MS;
        if midnight > state.day.0 {
            state.day = (midnight, totals.clone());
        }
        (state.last, state.at) = (totals, at);
    }

    /// Rates up to the last look.
    pub(super) fn rates(&self) -> Rates {
        self.state.lock().rates.clone()
    }

    /// What happened today, and what there is now.
    pub(super) fn today(&self) -> (Today, Totals) {
        // In this order: what had been counted when the day began is not more than what is counted now.
        let (since_ms, before) = self.state.lock().day.clone();
        let totals = self.metrics.totals();
        let ended =
            Outcome::ALL.iter().enumerate().map(|(at, outcome)| (*outcome, totals.ended[at] - before.ended[at]));
        let is_failure = |outcome| !matches!(outcome, Outcome::Ok | Outcome::Canceled | Outcome::Released);
        let count = |wanted: &dyn Fn(Outcome) -> bool| ended.clone().filter(|(o, _)| wanted(*o)).map(|(_, n)| n).sum();
        let today = Today {
            since_ms,
            started: totals.started - before.started,
            refused: totals.refused - before.refused,
            ok: count(&|outcome| outcome == Outcome::Ok),
            failed: count(&is_failure),
            ended: ended.clone().map(|(outcome, count)| (outcome.as_str().to_owned(), count.into())).collect(),
        };
        (today, totals)
    }
}

/// To a tenth: more digits would say nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of five seconds are far from 2^53")]
fn per_second(count: u64, seconds: f64) -> f64 {
    (count as f64 / seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Modules, Now, Observation, Observer};
    use crate::metrics::Qos;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_day_that_begins_while_it_is_asked_for_counts_nothing_twice() {
        let metrics = Arc::new(Metrics::new());
        let time = Arc::new(AtomicU64::new(DAY_MS));
        let clock = time.clone();
        let sampler = Sampler::new(metrics.clone(), Arc::new(move || Now(clock.load(Ordering::Relaxed))));
        std::thread::scope(|scope| {
            let days = scope.spawn(|| {
                for _ in 0..5_000 {
                    metrics.observe(&Observation::Ended { outcome: Outcome::Lost, modules: Modules::Dock });
                    time.fetch_add(DAY_MS, Ordering::Relaxed);
                    sampler.look(Instant::now());
                }
            });
            while !days.is_finished() {
                let (today, _) = sampler.today();
                assert!(today.failed <= 5_000, "{today:?}");
            }
        });
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks_and_the_day_begins_at_midnight() {
        let metrics = Arc::new(Metrics::new());
        let time = Arc::new(AtomicU64::new(5 * DAY_MS - 60_000));
        let clock = time.clone();
        let sampler = Sampler::new(metrics.clone(), Arc::new(move || Now(clock.load(Ordering::Relaxed))));
        let began = sampler.state.lock().at;
        metrics.received(Qos::AtMostOnce, 50, 1_000);
        metrics.observe(&Observation::Ended { outcome: Outcome::Lost, modules: Modules::Dock });
        metrics.observe(&Observation::Ended { outcome: Outcome::Canceled, modules: Modules::Dock });
        sampler.look(began + Duration::from_secs(4));
        assert_eq!(sampler.rates().received, [12.5]);
        let (today, _) = sampler.today();
        assert_eq!((today.since_ms, today.failed, today.ok), (5 * DAY_MS - 60_000, 1, 0));
        time.store(5 * DAY_MS + 1_000, Ordering::Relaxed);
        for _ in 0..POINTS + 3 {
            sampler.look(began + Duration::from_secs(9));
        }
        assert_eq!(sampler.rates().received.len(), POINTS);
        let (today, _) = sampler.today();
        assert_eq!((today.since_ms, today.failed), (5 * DAY_MS, 0));
    }
}
