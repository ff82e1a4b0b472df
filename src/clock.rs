//! The broker's one clock.
//!
//! Wall-clock time of the start plus monotonic time since: it never jumps when NTP corrects the machine, and its
//! values still mean something to a human and after a restart.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch that never go back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_unix_ms: u64,
}

impl Clock {
    /// A clock that starts at the machine's present time.
    #[must_use]
    pub fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX / 2) }
    }

    /// Now, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.started_unix_ms + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}
