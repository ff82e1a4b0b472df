//! Whether the broker is ready for clients, and if not, why.

use parking_lot::Mutex;

/// What can keep the broker from being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The rooms are being put together; the only reason that stands from the start.
    Starting,
    /// A listener does not accept.
    Listener,
    /// The routing core does not answer its probe.
    Router,
    /// What must survive a restart cannot be stored.
    Store,
    /// The broker was told to stop.
    Stopping,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::Starting,
        Self::Listener,
        Self::Router,
        Self::Store,
        Self::Stopping,
    ];

    /// The reason's name in `/readyz`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Listener => "listener",
            Self::Router => "router",
            Self::Store => "store",
            Self::Stopping => "stopping",
        }
    }
}

/// The reasons that stand, each with a text for the operator.
///
/// Concurrency: any thread; the lock is held for the time of a move.
#[derive(Debug)]
pub struct Health {
    standing: Mutex<[Option<String>; Reason::ALL.len()]>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Not ready, because it is [`Reason::Starting`].
    #[must_use]
    pub fn new() -> Self {
        let health = Self {
            standing: Mutex::default(),
        };
        health.not_ready(Reason::Starting, "the broker is starting");
        health
    }

    /// A reason stands from now on; `text` says more to the operator and replaces what stood there.
    pub fn not_ready(&self, reason: Reason, text: impl Into<String>) {
        let text = text.into();
        let before = self.standing.lock()[reason as usize].replace(text);
        drop(before);
    }

    /// A reason has gone.
    pub fn ready(&self, reason: Reason) {
        let before = self.standing.lock()[reason as usize].take();
        drop(before);
    }

    /// Whether no reason stands.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.standing.lock().iter().all(Option::is_none)
    }

    /// The reasons that stand, in the order of [`Reason::ALL`].
    #[must_use]
    pub fn reasons(&self) -> Vec<(Reason, String)> {
        let standing = self.standing.lock();
        Reason::ALL
            .iter()
            .filter_map(|&reason| standing[reason as usize].clone().map(|text| (reason, text)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_the_last_reason_goes() {
        let health = Health::new();
        health.not_ready(Reason::Router, "no answer for 3 s");
        health.not_ready(Reason::Router, "no answer for 4 s");
        health.ready(Reason::Starting);
        assert!(!health.is_ready());
        assert_eq!(
            health.reasons(),
            [(Reason::Router, "no answer for 4 s".to_owned())]
        );
        health.ready(Reason::Router);
        health.ready(Reason::Store);
        assert!(health.is_ready());
        assert_eq!(health.reasons(), []);
    }

    #[test]
    fn the_reasons_stand_at_their_own_place() {
        for (place, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, place, "{}", reason.as_str());
        }
    }
}
