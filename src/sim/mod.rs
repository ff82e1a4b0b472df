//! A simulated dock and a simulated backend, over real MQTT clients.
//!
//! The dock speaks MQTT 5 and the backends MQTT 3.1.1, as docks and the backends that descend from DJI's
//! demo do; a broker between them therefore has to translate. Nothing here knows the broker from the
//! inside: what this room sees is what came over a socket.
//!
//! - [`plan`]: what a simulated dock holds and how its uploads go, from a seed.
//! - [`upload`] and [`firmware`]: how a dock behaves, without a socket or a clock.
//! - [`dock`] and [`backend`]: the same over `rumqttc`.
//! - [`fault`]: what docks do that they should not.
//! - [`archive`], [`delivery`] and [`transfer`]: the archives themselves and their way into an object store, for a plan
//!   that wants them.
//! - [`demo`]: what `dockgate demo` shows, checking every line that it prints.
//! - [`fleet`]: what `dockgate simulate` runs, thousands of docks and the backends that judge the broker between them.

pub mod archive;
pub mod backend;
pub mod delivery;
pub mod demo;
pub mod dock;
pub mod error;
pub mod fault;
pub mod firmware;
pub mod fleet;
pub mod inbox;
pub mod journal;
pub mod plan;
mod random;
pub mod transfer;
pub mod upload;

pub use backend::{Backend, Exchange};
pub use dock::Dock;
pub use error::SimError;
pub use inbox::Inbox;
pub use journal::{Journal, Message};
pub use plan::{Outcome, Plan, RealUploads};

use std::time::{SystemTime, UNIX_EPOCH};

/// The largest packet that the simulated clients take or send: a `fileupload_list` of hundreds of boots is
/// tens of kilobytes, more than the 10 KB that `rumqttc` allows unless told otherwise.
const MAX_PACKET: u32 = 1024 * 1024;

/// Milliseconds since the Unix epoch, the unit of every timestamp in the Cloud API.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
