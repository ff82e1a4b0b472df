//! The settings of the ledger, and the time that it is given.

use std::time::Duration;

/// A moment by the broker's own clock: milliseconds since the Unix epoch, read from a clock that is
/// anchored once and then only moves forward. Device clocks run behind (0.35 to 0.6 s were recorded)
/// or are wrong, so no age and no time-out is ever taken from a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Now(pub u64);

impl Now {
    /// The milliseconds since an earlier moment; 0 if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Now) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment and a while later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Now {
        Now(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// What happens to a start that finds its slot taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// It is refused and never reaches the dock.
    #[default]
    Enforce,
    /// It is let through and counted: a way to see what `Enforce` would do. The ledger goes on
    /// tracking the upload that holds the slot. Of the one let through it remembers only the
    /// identifiers, so that its replies and events are not taken for the other's; if it is still
    /// reporting when the slot is free again, it is adopted.
    Observe,
    /// Nothing is looked at: a plain broker. The ledger is told nothing, and stays empty.
    Off,
}

/// How many slots a gateway has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One upload at a time on a gateway.
    #[default]
    Gateway,
    /// One upload at a time for the aircraft's logs and one for the dock's. A start that names both
    /// needs both slots; one that names neither takes both.
    Module,
}

/// What the ledger enforces, and within which bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Refuse a conflicting start, only count it, or do not look.
    pub policy: Policy,
    /// One slot a gateway, or one a module.
    pub scope: Scope,
    /// `data.result` of the answer to a refused start. DJI publishes 325009 as "Dock is exporting
    /// logs to cloud. Try again later".
    pub conflict_result: i64,
    /// How long a dock may take to answer a start.
    pub reply_timeout: Duration,
    /// How long an accepted cancel may take to show an effect.
    pub cancel_timeout: Duration,
    /// How long an upload may go without any progress.
    pub stall_timeout: Duration,
    /// How long the dock of a running upload may be gone. A dock that restarts comes back in it.
    pub offline_grace: Duration,
    /// Ended uploads remembered for one gateway.
    pub history_per_gateway: usize,
    /// Ended uploads remembered in all.
    pub history_total: usize,
    /// Gateways remembered; the one that has been idle longest makes room.
    pub max_gateways: usize,
    /// Pairs of tid and bid remembered for one upload.
    pub max_aliases: usize,
    /// Entries kept of one module's `fileupload_list` reply.
    pub max_listed_files: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            policy: Policy::Enforce,
            scope: Scope::Gateway,
            conflict_result: 325_009,
            reply_timeout: Duration::from_secs(15),
            cancel_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(600),
            offline_grace: Duration::from_secs(120),
            history_per_gateway: 20,
            history_total: 10_000,
            max_gateways: 10_000,
            max_aliases: 64,
            max_listed_files: 1_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_gives_an_age_of_zero() {
        assert_eq!(Now(5).since(Now(9)), 0);
        assert_eq!(Now(9).since(Now(5)), 4);
    }

    #[test]
    fn a_wait_without_end_does_not_overflow() {
        assert_eq!(Now(7).after(Duration::MAX), Now(u64::MAX));
    }
}
