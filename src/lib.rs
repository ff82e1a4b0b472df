//! dockgate: an MQTT broker for fleets of DJI docks.
pub mod hook;
pub mod ledger;
