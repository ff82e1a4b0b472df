//! dockgate: an MQTT broker for fleets of DJI docks.

pub mod config;
pub mod logging;
