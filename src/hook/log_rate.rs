//! A bound on how often unreadable messages are logged.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::{Now, spend};

/// Lines at once.
const BURST: u64 = 10;

/// A token bucket that many threads take from.
#[derive(Debug, Default)]
pub(super) struct LogRate(AtomicU64);

impl LogRate {
    /// Whether one more line may be logged.
    pub(super) fn allows(&self, now: Now) -> bool {
        let spend = |used| spend(Now(used), now, BURST).map(|until| until.0);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_share_one_burst() {
        let rate = LogRate::default();
        let passed = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| (0..100).filter(|_| rate.allows(Now(1_000_000))).count() as u64)
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .sum::<u64>()
        });
        assert_eq!(passed, BURST);
    }
}
