//! Every metric, defined once, in a registry of its own.
//!
//! Names start with `dockgate_`, units are base units (seconds, bytes), counters end in `_total`, labels come from the
//! closed sets in `label.rs`, and every series exists from the start. The methods take counts, so that a connection can
//! add up what a batch did and report it once.
//!
//! `broker` holds what any broker has, `uploads` what the upload rules do, `store` what is kept on the disk, `totals` sums of them.

mod broker;
mod family;
mod label;
mod store;
mod striped;
#[cfg(test)]
mod tests;
mod totals;
mod uploads;

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Encoder, Registry, TextEncoder};

pub use self::family::PREFIX;
pub use self::label::{
    AuthFailure, ConnectRefusal, Disconnect, Drop, Label, Limit, ProtocolFault, Qos, SessionState, SubscriptionKind,
    Version,
};
pub use self::totals::Totals;

/// Every metric of the process.
///
/// All methods take `&self`, never block and may be called from any thread.
pub struct Metrics {
    /// Where all of them are registered; `/metrics` gathers it.
    pub registry: Registry,
    broker: broker::Broker,
    uploads: uploads::Uploads,
    store: store::Store,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Defines all metrics in a new registry and notes the start time.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let define = family::Definer(&registry);
        let uploads = uploads::Uploads::new(&define);
        let broker = broker::Broker::new(&define);
        let store = store::Store::new(&define);
        define
            .constant("build_info", "Always 1; the version is in the label.", "version", env!("CARGO_PKG_VERSION"))
            .set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        define
            .gauge("start_time_seconds", "When the broker started, in seconds since the epoch.")
            .set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("no metric of ours has a name that starts with process_");
        Self { registry, broker, uploads, store }
    }

    /// The Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// When two families of the registry have the same name, which a test excludes.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::with_capacity(32 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
