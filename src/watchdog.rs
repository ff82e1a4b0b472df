//! Watches the routing core: a probe goes through every lane each second, on a thread that nothing else can stop.
//!
//! rumqttd's router is one thread; should it panic or hang, wildcard subscribers would get nothing and nobody would
//! know. Then `/readyz` says so at once, and the process ends for its supervisor to start it again.

use crate::http::{Health, Reason};
use crate::metrics::Metrics;
use crate::route::Route;
use ahash::AHashMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const EVERY: Duration = Duration::from_secs(1);
/// A lane that owes a probe and has delivered nothing for so long makes the broker not ready. That the probe is out says
/// nothing yet: what is before it may go to thousands.
const SLOW: Duration = Duration::from_secs(3);
/// A lane that owes a probe and has delivered nothing for so long will not deliver any more.
pub(crate) const DEAD: Duration = Duration::from_secs(15);
/// If the runtime does not end the process for so long after that, the watchdog does.
const LAST_RESORT: Duration = Duration::from_secs(10);

/// The watching thread; it ends with this value.
#[derive(Debug)]
pub(crate) struct Watchdog {
    died: oneshot::Receiver<()>,
    _alive: SyncSender<()>,
}

impl Watchdog {
    pub(crate) fn start(route: Arc<Route>, metrics: Arc<Metrics>, health: Arc<Health>) -> std::io::Result<Self> {
        let (report, died) = oneshot::channel();
        let (alive, ended) = sync_channel(0);
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            let over = |wait| !matches!(ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
            if watch(&route, &metrics, &health, over) {
                return;
            }
            let _nobody_waits = report.send(());
            if !over(LAST_RESORT) {
                tracing::error!("the broker cannot end by itself");
                std::process::exit(1);
            }
        })?;
        Ok(Self { died, _alive: alive })
    }

    /// Waits until the routing core is dead.
    pub(crate) async fn router_died(&mut self) {
        if (&mut self.died).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Probes until `over` (true) or until the routing core is dead (false).
fn watch(route: &Route, metrics: &Metrics, health: &Health, over: impl Fn(Duration) -> bool) -> bool {
    let mut number = 0;
    loop {
        number += 1;
        let sent = Instant::now();
        route.probe(number);
        // What each lane that is behind had delivered, and when that was first seen.
        let mut seen: AHashMap<usize, (u64, Instant)> = AHashMap::new();
        let mut wait = Duration::from_millis(1);
        loop {
            let behind = route.behind(number);
            let still = behind.as_ref().map_or(Duration::MAX, |behind| longest_still(behind, &mut seen));
            if still >= DEAD {
                metrics.set_router_up(false);
                health.not_ready(Reason::Router, "the routing core is dead");
                return false;
            }
            if behind.is_some_and(|behind| behind.is_empty()) {
                break;
            }
            if still > SLOW {
                metrics.set_router_up(false);
                health.not_ready(Reason::Router, "the routing core does not answer its probe");
            }
            if over(wait) {
                return true;
            }
            wait = (wait * 2).min(Duration::from_millis(100));
        }
        metrics.set_router_up(true);
        metrics.router_round_trip(sent.elapsed());
        health.ready(Reason::Router);
        if over(EVERY) {
            return true;
        }
    }
}

/// For how long the stillest of these lanes has delivered nothing.
fn longest_still(behind: &[(usize, u64)], seen: &mut AHashMap<usize, (u64, Instant)>) -> Duration {
    let still = behind.iter().map(|(lane, delivered)| {
        let (before, since) = seen.entry(*lane).or_insert_with(|| (*delivered, Instant::now()));
        if before != delivered {
            (*before, *since) = (*delivered, Instant::now());
        }
        since.elapsed()
    });
    still.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    /// Watches until the core is dead (false) or for so many pauses (true).
    async fn watched(route: Arc<Route>, health: Arc<Health>, pauses: u32) -> bool {
        let seen = AtomicU32::new(0);
        let over = move |wait: Duration| {
            std::thread::sleep(wait.min(Duration::from_millis(5)));
            seen.fetch_add(1, SeqCst) >= pauses
        };
        let watch = move || watch(&route, &Metrics::new(), &health, over);
        tokio::task::spawn_blocking(watch).await.unwrap()
    }

    fn complains(health: &Health) -> bool {
        health.reasons().iter().any(|(reason, _)| *reason == Reason::Router)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn probes_come_back_from_a_core_that_works() {
        let (route, health) = (Route::start(2).unwrap(), Arc::new(Health::new()));
        assert!(watched(route.clone(), health.clone(), 100).await);
        assert!(!complains(&health));
        assert_eq!(route.behind(1), Some(Vec::new()));
    }

    /// Else a broker with much to deliver would be ended.
    #[test]
    fn a_lane_that_delivers_is_not_still_however_long_its_probe_is_out() {
        let before = Instant::now() - DEAD;
        let mut seen = AHashMap::from_iter([(0, (5, before)), (1, (7, before))]);
        assert!(longest_still(&[(0, 6)], &mut seen) < SLOW);
        assert!(longest_still(&[(0, 6), (1, 7)], &mut seen) >= DEAD, "the other one does not");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_core_that_has_ended_is_reported_at_once() {
        let (route, health) = (Route::start(2).unwrap(), Arc::new(Health::new()));
        route.break_down();
        assert!(!watched(route, health.clone(), u32::MAX).await);
        assert!(complains(&health));
    }
}
