//! What one client may do.

use super::identity::Identity;

/// What one client may do, by one version of the rules.
#[derive(Debug, Default)]
pub struct Rights {}

/// How much of what a filter matches a client may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// All of it.
    All,
    /// Some of it: each message has to be asked for.
    Some,
    /// None of it.
    Nothing,
}

/// What one client may do with one gateway (`thing/product/{sn}/…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayRights {
    /// Speak as the gateway: `services_reply`, `events`.
    pub speak: bool,
    /// Command it: `services`.
    pub command: bool,
}

impl Rights {
    /// The rights of `who` where there are no rules: everything.
    #[must_use]
    pub fn everything(_who: &Identity) -> Self {
        Self {}
    }

    /// Whether it may publish to a topic.
    #[must_use]
    pub fn may_publish(&self, _topic: &str) -> bool {
        true
    }

    /// Whether a message of this topic may be delivered to it.
    #[must_use]
    pub fn may_read(&self, _topic: &str) -> bool {
        true
    }

    /// How much of what `filter` (without `$share/{group}/`) matches it may read.
    #[must_use]
    pub fn reading(&self, _filter: &str) -> Reading {
        Reading::All
    }

    /// What it may do with the gateway with this serial number.
    #[must_use]
    pub fn gateway(&self, _serial_number: &str) -> GatewayRights {
        GatewayRights { speak: true, command: true }
    }

    /// Takes notice of a message that the client has published and was allowed to: a dock announces its aircraft with
    /// `update_topo`.
    pub fn notice(&self, _topic: &str, _payload: &[u8]) {}
}
