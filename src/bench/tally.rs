//! Counters that all clients of a run share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::BenchError;

/// A run whose subscribers get nothing for so long is over; what is missing then is lost.
pub(super) const SILENCE: Duration = Duration::from_secs(3);
/// At most so many faults are told one by one.
const TOLD: usize = 3;
/// Latencies from the first to the second, in nanoseconds; what is longer counts as so long.
const LATENCIES: (u64, u64) = (1_000, 600_000_000_000);

/// Latencies in nanoseconds, exact to a thousandth.
pub(super) fn histogram() -> Histogram<u64> {
    let within = Histogram::new_with_bounds(LATENCIES.0, LATENCIES.1, 3);
    within.expect("the lower bound is above 0, the upper above twice the lower, and 3 digits are allowed")
}

/// Nanoseconds as the histograms take them.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Debug)]
pub(super) struct Tally {
    /// Times count from here.
    pub(super) start: Instant,
    pub(super) sent: AtomicU64,
    /// Messages whose exchange of QoS 1 or 2 went well.
    pub(super) acknowledged: AtomicU64,
    /// Messages that the broker acknowledged with an error.
    pub(super) refused: AtomicU64,
    /// Different messages that came.
    received: AtomicU64,
    /// Messages that had come before, or were flagged as such.
    pub(super) duplicates: AtomicU64,
    /// When this many have been received all is there; `u64::MAX` until all publishers have finished.
    expected: AtomicU64,
    /// Nanoseconds after the start.
    last_arrival: AtomicU64,
    complete: Notify,
    pub(super) latencies: Mutex<Histogram<u64>>,
    faults: Mutex<Vec<String>>,
}

impl Tally {
    /// Times count from `start`.
    pub(super) fn new(start: Instant) -> Self {
        let zero = AtomicU64::default;
        Self {
            start,
            sent: zero(),
            acknowledged: zero(),
            refused: zero(),
            received: zero(),
            duplicates: zero(),
            expected: AtomicU64::new(u64::MAX),
            last_arrival: zero(),
            complete: Notify::new(),
            latencies: Mutex::new(histogram()),
            faults: Mutex::default(),
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(SeqCst)
    }

    /// So many different messages have come.
    pub(super) fn receive(&self, messages: u64, now: Instant) {
        self.received.fetch_add(messages, SeqCst);
        self.last_arrival.fetch_max(nanos(now.saturating_duration_since(self.start)), Relaxed);
        self.check_complete();
    }

    /// From the start to the last arrival.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.last_arrival.load(SeqCst))
    }

    fn check_complete(&self) {
        if self.received() >= self.expected.load(SeqCst) {
            self.complete.notify_one();
        }
    }

    /// Waits until so many have come, or nothing has come for [`SILENCE`].
    pub(super) async fn wait_for(&self, expected: u64) {
        self.expected.store(expected, SeqCst);
        self.check_complete();
        let since = self.start.elapsed();
        tokio::select! {
            () = self.complete.notified() => {}
            () = self.silence(since) => {}
        }
    }

    /// Returns when nothing has arrived for [`SILENCE`], counted from `since` at the earliest.
    pub(super) async fn silence(&self, since: Duration) {
        loop {
            let quiet = self.start.elapsed().saturating_sub(self.elapsed().max(since));
            if quiet >= SILENCE {
                return;
            }
            tokio::time::sleep(SILENCE - quiet).await;
        }
    }

    /// Waits until every message that was sent has its acknowledgement, but not for ever.
    pub(super) async fn wait_for_acknowledgements(&self) {
        let since = Instant::now();
        let settled = || self.acknowledged.load(SeqCst) + self.refused.load(SeqCst);
        while settled() < self.sent.load(SeqCst) && since.elapsed() < SILENCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) fn fault(&self, error: &BenchError) {
        self.faults.lock().push(error.to_string());
    }

    /// What went wrong, the first few in words.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = std::mem::take(&mut *self.faults.lock());
        if let Some(more) = faults.len().checked_sub(TOLD).filter(|more| *more > 0) {
            faults.truncate(TOLD);
            faults.push(format!("and {more} more connections"));
        }
        let refused = self.refused.load(SeqCst);
        if refused > 0 {
            faults.push(format!("{refused} messages were acknowledged with an error"));
        }
        faults
    }
}
