//! What is measured, and how much of it.

use std::time::Duration;

use crate::contestant::Contestant;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Publishers press a broker whose subscribers are there or are not.
    Publish(Shape),
    /// Sessions and messages go through a crash or a stop.
    Restart,
    /// Subscribers come back to what waits for them.
    Drain,
}

/// Who publishes how, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// One publisher with one message at a time, instead of all with a window.
    pub(crate) single: bool,
    /// By the clock instead of as fast as acknowledgements come.
    pub(crate) paced: bool,
    pub(crate) subscribers: Subscribers,
}

/// Who subscribes: one session for each publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subscribers {
    /// Sessions that are kept, whose clients have left.
    Away,
    /// Sessions that are kept, whose clients acknowledge at once.
    Kept,
    /// Sessions that end with their connections.
    Clean,
}

const OFFLINE: Shape = Shape { single: false, paced: false, subscribers: Subscribers::Away };

impl Scenario {
    pub(crate) const ALL: [(&str, Self); 7] = [
        ("offline", Self::Publish(OFFLINE)),
        ("offline1", Self::Publish(Shape { single: true, ..OFFLINE })),
        ("paced", Self::Publish(Shape { paced: true, ..OFFLINE })),
        ("online", Self::Publish(Shape { subscribers: Subscribers::Kept, ..OFFLINE })),
        ("clean", Self::Publish(Shape { subscribers: Subscribers::Clean, ..OFFLINE })),
        ("restart", Self::Restart),
        ("drain", Self::Drain),
    ];
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Of publishing.
    pub(crate) time: Duration,
    pub(crate) publishers: usize,
    /// Messages of one publisher that are not acknowledged.
    pub(crate) window: usize,
    pub(crate) payload_bytes: usize,
    /// Messages a second of all publishers together where the clock says when.
    pub(crate) rate: u32,
    pub(crate) restart: Backlog,
    pub(crate) drain: Backlog,
    /// Whether a broker may finish what it writes late before its figures are read. They are wrong without.
    pub(crate) exact: bool,
}

impl Scale {
    /// How long to wait before figures of a broker are read.
    pub(crate) fn lag(&self, of: Contestant) -> Duration {
        if self.exact { of.lag() } else { Duration::ZERO }
    }
}

/// What waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    pub(crate) sessions: usize,
    /// For each of them.
    pub(crate) messages: u64,
}
