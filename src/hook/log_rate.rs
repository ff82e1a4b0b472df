//! A bound on how often hostile input is logged.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::Now;

/// Lines at once.
const BURST: u64 = 10;
/// Then one line in so many milliseconds.
const EVERY_MS: u64 = 1_000;

/// A token bucket, as the moment at which it was, or will have been, empty.
#[derive(Debug, Default)]
pub(super) struct LogRate(AtomicU64);

impl LogRate {
    /// Whether one more line may be logged. Called from any thread.
    pub(super) fn allows(&self, now: Now) -> bool {
        let spend = |used_until: u64| {
            let from = used_until.max(now.0.saturating_sub(BURST * EVERY_MS));
            let until = from.saturating_add(EVERY_MS);
            (until <= now.0).then_some(until)
        };
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_line_a_second() {
        let rate = LogRate::default();
        let start = 1_000_000;
        let passed = (0..100).filter(|_| rate.allows(Now(start))).count();
        assert_eq!(passed as u64, BURST);
        assert!(!rate.allows(Now(start + EVERY_MS - 1)));
        assert!(rate.allows(Now(start + EVERY_MS)));
        assert!(!rate.allows(Now(start + EVERY_MS)));
    }
}
