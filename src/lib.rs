//! dockgate: an MQTT broker for fleets of DJI docks.

pub mod hook;
pub mod http;
pub mod ledger;
pub mod metrics;
