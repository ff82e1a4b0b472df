//! The tie between a session and the connection that it has at present.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use tokio::sync::Notify;

/// Why a connection is told to end by somebody else than its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kick {
    /// Another connection has the client identifier now (MQTT-3.1.4-3).
    TakenOver = 1,
    /// The broker stops.
    Shutdown = 2,
    /// The access rules do not let the client in any more.
    NotAuthorized = 3,
}

/// The connection that a session has at present.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Woken when there is something to fetch, or when kicked.
    pub(super) wake: Notify,
    kicked: AtomicU8,
}

impl Link {
    /// Tells the connection to end.
    pub(super) fn kick(&self, why: Kick) {
        self.kicked.store(why as u8, SeqCst);
        self.wake.notify_one();
    }

    /// Whether and why the connection is to end.
    #[must_use]
    pub(super) fn kicked(&self) -> Option<Kick> {
        match self.kicked.load(SeqCst) {
            0 => None,
            1 => Some(Kick::TakenOver),
            2 => Some(Kick::Shutdown),
            _ => Some(Kick::NotAuthorized),
        }
    }
}
