//! Slowing publishers down for a subscriber that keeps up only just.
//!
//! A subscriber whose queue is half full *presses* its gate; whoever published to it waits there before reading
//! more from its own socket, until the queue has drained. Nobody waits for a subscriber that takes nothing at all,
//! and nobody waits for long: then the queue fills, and drops are decided and counted there.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A subscriber that takes nothing for so long is not waited for.
const STALL: Duration = Duration::from_millis(50);
/// The longest that its publishers wait for a subscriber, from the first press until its queue has drained.
const PATIENCE: Duration = Duration::from_millis(500);

/// One subscriber's gate.
#[derive(Debug, Default)]
pub struct Gate {
    pressed: AtomicBool,
    /// Set when the patience has run out; cleared when the queue has drained.
    given_up: AtomicBool,
    progress: AtomicU64,
    pressed_since: Mutex<Option<Instant>>,
    opened: Notify,
}

impl Gate {
    /// The subscriber's queue is too full. Says whether publishers should wait.
    pub fn press(&self) -> bool {
        if self.given_up.load(Relaxed) {
            return false;
        }
        if !self.pressed.swap(true, Relaxed) {
            *self.pressed_since.lock() = Some(Instant::now());
        }
        true
    }

    /// The subscriber took something from its queue.
    pub fn progressed(&self) {
        self.progress.fetch_add(1, Relaxed);
    }

    /// The subscriber's queue has drained, or nobody reads it any more.
    pub fn open(&self) {
        if self.pressed.load(Relaxed) || self.given_up.load(Relaxed) {
            self.given_up.store(false, Relaxed);
            self.release();
        }
    }

    /// Waits until the gate is open, or waiting makes no sense any more. Never longer than half a second.
    pub async fn wait(self: Arc<Self>) {
        let mut seen = self.progress.load(Relaxed);
        loop {
            let opened = self.opened.notified();
            if !self.pressed.load(Relaxed) {
                return;
            }
            if tokio::time::timeout(STALL, opened).await.is_ok() {
                continue;
            }
            let progress = self.progress.load(Relaxed);
            let since = *self.pressed_since.lock();
            if progress == seen || since.is_some_and(|since| since.elapsed() > PATIENCE) {
                self.given_up.store(true, Relaxed);
                self.release();
                return;
            }
            seen = progress;
        }
    }

    fn release(&self) {
        self.pressed.store(false, Relaxed);
        self.opened.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_subscriber_that_takes_nothing() {
        let gate = Arc::new(Gate::default());
        assert!(gate.press());
        let began = tokio::time::Instant::now();
        gate.clone().wait().await;
        assert!(began.elapsed() <= STALL * 2);
        assert!(!gate.press(), "it is not waited for again");
        gate.open();
        assert!(gate.press(), "until its queue has drained");
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_opens_lets_everybody_go_on() {
        let gate = Arc::new(Gate::default());
        gate.press();
        let waiting = tokio::spawn(gate.clone().wait());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        gate.open();
        waiting.await.unwrap();
        assert!(gate.press());
    }
}
