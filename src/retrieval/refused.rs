//! What may come in the way of a request.

use std::time::Duration;

use crate::ledger::codes;

/// Why a request was not answered with 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody would get it.
    #[error(
        "gateway {gateway} is not connected: no client that is online is subscribed to thing/product/{gateway}/services; \
         see whether the dock has power and network, and this broker's address"
    )]
    NotConnected {
        /// The serial number, shortened.
        gateway: String,
    },
    /// Another upload has the slot.
    #[error("the start was refused: {reason}; wait for its end, cancel it, or release it if it is stuck")]
    Busy {
        /// What has the slot, and since when.
        reason: String,
        /// `data.result` that others get for it.
        code: i64,
        /// The upload that has it.
        upload: Option<u64>,
    },
    /// The dock said no.
    #[error("the dock answered {code}{}", meaning(*.code))]
    Dock {
        /// Its `data.result`.
        code: i64,
    },
    /// The dock said nothing.
    #[error("the dock did not answer {method} within {}; ask again, or see whether it is still connected", humantime::format_duration(*.waited))]
    Silent {
        /// What it was asked.
        method: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Nobody listens for the answer.
    #[error(
        "uploads.policy is off, and then nobody hears what docks answer: set it to enforce, or to observe, to fetch logs from \
         here"
    )]
    Off,
    /// There is nowhere to upload to.
    #[error(
        "no object store is configured: give the section [object_store] of the settings an endpoint, a bucket and keys"
    )]
    NoStore,
    /// The object store gave no credentials.
    #[error("{0}")]
    Store(String),
    /// Something of the broker's own.
    #[error("{0}")]
    Failed(String),
}

impl Refused {
    pub(super) fn not_connected(gateway: &str) -> Self {
        Self::NotConnected { gateway: gateway.chars().take(64).collect() }
    }
}

fn meaning(code: i64) -> String {
    codes::meaning(code).map_or_else(|| ", which is no published code".to_owned(), |text| format!(": {text}"))
}
