//! dockgate: an MQTT broker for fleets of DJI docks.

pub mod sim;
