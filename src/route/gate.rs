//! Slowing publishers down for a subscriber that keeps up only just.
//!
//! A subscriber whose queue is half full *presses* its gate; whoever publishes to it waits there before reading more from
//! its own socket, until the queue has drained. So what is acknowledged to a publisher need not be dropped for its haste.
//! Nobody waits for a subscriber that takes nothing, and for QoS 0, which may be dropped, nobody waits long: then the
//! queue fills, and drops are decided and counted there. The task that fans out to wildcard subscribers never waits.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A subscriber that takes nothing for so long is not waited for.
const STALL: Duration = Duration::from_millis(250);
/// How long publishers of QoS 1 and 2 wait for a subscriber, from the first press until its queue has drained: time for
/// one that takes 1,000 messages a second to take a lane full of small ones.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for publishers of QoS 0.
const PATIENCE_QOS0: Duration = Duration::from_millis(250);

/// One subscriber's gate.
#[derive(Debug)]
pub struct Gate {
    /// Whether `since` is set, to be read without its lock.
    pressed: AtomicBool,
    since: Mutex<Option<Instant>>,
    created: Instant,
    /// When the subscriber last took something, in milliseconds since `created`.
    progress: AtomicU64,
    opened: Notify,
}

/// A gate that somebody should wait at.
#[derive(Debug, Clone)]
pub struct Pressure {
    gate: Arc<Gate>,
    /// For QoS 1 or 2.
    lasting: bool,
}

impl Default for Gate {
    fn default() -> Self {
        let (pressed, since, created) = (AtomicBool::new(false), Mutex::new(None), Instant::now());
        Self { pressed, since, created, progress: AtomicU64::new(0), opened: Notify::new() }
    }
}

impl Gate {
    /// The subscriber's queue is too full for a message, which is `lasting` if it has QoS 1 or 2. Says whether its
    /// publisher should wait.
    pub fn press(&self, lasting: bool) -> bool {
        if !self.pressed.swap(true, Relaxed) {
            *self.since.lock() = Some(Instant::now());
        }
        self.is_worth_waiting(lasting)
    }

    /// The gate, if the subscriber presses it and it makes sense to wait there.
    #[must_use]
    pub fn pressure(self: &Arc<Self>, lasting: bool) -> Option<Pressure> {
        self.is_worth_waiting(lasting).then(|| Pressure { gate: self.clone(), lasting })
    }

    /// The subscriber took something from its socket.
    pub fn progressed(&self) {
        if self.pressed.load(Relaxed) {
            let now = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.progress.store(now, Relaxed);
        }
    }

    /// The subscriber's queue has drained, or nobody reads it any more.
    pub fn open(&self) {
        if self.pressed.load(Relaxed) {
            *self.since.lock() = None;
            self.pressed.store(false, Relaxed);
            self.opened.notify_waiters();
        }
    }

    fn is_worth_waiting(&self, lasting: bool) -> bool {
        if !self.pressed.load(Relaxed) {
            return false;
        }
        let Some(since) = *self.since.lock() else { return false };
        let progress = since.max(self.created + Duration::from_millis(self.progress.load(Relaxed)));
        let patience = if lasting { PATIENCE } else { PATIENCE_QOS0 };
        since.elapsed() <= patience && progress.elapsed() <= STALL
    }
}

impl Pressure {
    /// The one of two that is waited for longer.
    #[must_use]
    pub fn or(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.lasting && !self.lasting => other,
            _ => self,
        }
    }

    /// Waits until the gate is open, or waiting makes no sense any more.
    pub async fn over(self) {
        loop {
            let opened = self.gate.opened.notified();
            if !self.gate.is_worth_waiting(self.lasting) {
                return;
            }
            let _opened = tokio::time::timeout(STALL / 5, opened).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_subscriber_that_takes_nothing() {
        let gate = Arc::new(Gate::default());
        assert!(gate.press(true));
        let began = Instant::now();
        gate.pressure(true).unwrap().over().await;
        assert!(began.elapsed() <= STALL * 2);
        assert!(!gate.press(true) && gate.pressure(true).is_none(), "it is not waited for again");
        gate.open();
        assert!(gate.press(true), "until its queue has drained");
    }

    #[tokio::test(start_paused = true)]
    async fn publishers_of_qos_1_wait_for_a_subscriber_that_goes_on_and_those_of_qos_0_do_not() {
        let gate = Arc::new(Gate::default());
        gate.press(true);
        let waiting = tokio::spawn(gate.pressure(true).unwrap().over());
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(100)).await;
            gate.progressed();
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished() && gate.pressure(false).is_none());
        gate.open();
        waiting.await.unwrap();
    }
}
