//! dockgate: an MQTT broker for fleets of DJI docks.

pub mod http;
pub mod metrics;
