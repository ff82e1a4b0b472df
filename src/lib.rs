//! dockgate: an MQTT broker for fleets of DJI docks.

pub mod clock;
pub mod config;
pub mod logging;
pub mod message;
pub mod metrics;
pub mod mqtt;
pub mod route;
pub mod tree;
