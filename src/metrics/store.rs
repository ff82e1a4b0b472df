//! What the store counts.

use super::Metrics;
use super::broker::signed;
use super::family::Definer;
use prometheus::{Histogram, IntCounter, IntGauge};
use std::time::Duration;

/// From an fsync that memory answers to the ten seconds after which a commit counts as stalled.
const COMMIT_BUCKETS: &[f64] =
    &[2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The metrics of the store.
pub(super) struct Store {
    up: IntGauge,
    commits: IntCounter,
    commit: Histogram,
    failures: IntCounter,
    pending: IntGauge,
    bytes: IntGauge,
}

impl Store {
    pub(super) fn new(define: &Definer<'_>) -> Self {
        Self {
            up: define.gauge("store_up", "Whether the store takes what must survive a restart: 1 or 0; 0 without one."),
            commits: define.counter("store_commits_total", "Commits of the store that are on the disk."),
            commit: define.histogram(
                "store_commit_seconds",
                "Time of a commit of the store, its fsync included.",
                COMMIT_BUCKETS,
            ),
            failures: define.counter("store_failures_total", "Tries to commit that failed."),
            pending: define.gauge("store_pending_changes", "Changes that wait for their commit, now."),
            bytes: define.gauge("store_bytes", "Size of the store's file, now."),
        }
    }
}

impl Metrics {
    /// A commit is on the disk.
    pub fn store_committed(&self, time: Duration) {
        self.store.commits.inc();
        self.store.commit.observe(time.as_secs_f64());
    }

    /// A try to commit failed.
    pub fn store_failed(&self) {
        self.store.failures.inc();
    }

    /// How the store is.
    pub fn set_store(&self, up: bool, pending: usize, bytes: u64) {
        self.store.up.set(i64::from(up));
        self.store.pending.set(signed(pending));
        self.store.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
