//! What is to happen later: the end of a session without a connection, and delayed wills.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

/// Identifies a deadline: when, in milliseconds of the broker's clock, and a number that tells equal times apart.
pub(super) type Key = (u64, u64);

/// Values in the order of their time.
#[derive(Debug)]
pub(super) struct Deadlines<V> {
    waiting: Mutex<BTreeMap<Key, V>>,
    number: AtomicU64,
    sooner: Notify,
}

impl<V> Default for Deadlines<V> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), number: AtomicU64::new(0), sooner: Notify::new() }
    }
}

impl<V> Deadlines<V> {
    /// Sets a deadline.
    pub(super) fn set(&self, at_ms: u64, value: V) -> Key {
        let key = (at_ms, self.number.fetch_add(1, Relaxed));
        let mut waiting = self.waiting.lock();
        waiting.insert(key, value);
        if waiting.first_key_value().is_some_and(|(first, _)| *first == key) {
            self.sooner.notify_one();
        }
        key
    }

    /// Takes a deadline back; nothing if its time has come already.
    pub(super) fn cancel(&self, key: Key) -> Option<V> {
        self.waiting.lock().remove(&key)
    }

    /// Waits for the next deadline by `now`, the broker's clock.
    pub(super) async fn next(&self, now: impl Fn() -> u64) -> V {
        loop {
            let wait = {
                let mut waiting = self.waiting.lock();
                match waiting.first_entry() {
                    Some(first) if first.key().0 <= now() => return first.remove(),
                    Some(first) => Some(first.key().0.saturating_sub(now())),
                    None => None,
                }
            };
            // An hour at most: tokio's timer has a limit, and the clock is asked again anyway.
            let wait = std::time::Duration::from_millis(wait.unwrap_or(u64::MAX).min(3_600_000));
            let _sooner = tokio::time::timeout(wait, self.sooner.notified()).await;
        }
    }
}
