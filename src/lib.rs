//! dockgate: an MQTT broker for fleets of DJI docks.
//!
//! The way of a publish, and with it the order of the rooms: bytes → [`mqtt`] (the edge) → [`access`] → [`hook`] and
//! [`ledger`] (a verdict) → [`route`] → sessions of the edge → bytes. Data goes one way, and a room knows only those
//! to its right; `hook` and `ledger` know no socket and no broker.
//!
//! - [`mqtt`]: listeners, connections, sessions, retained messages, wills, shared groups; all that clients see.
//! - [`access`]: who may do what.
//! - [`hook`]: what a publish means for the remote log upload, and whether it may pass.
//! - [`ledger`]: the uploads: state machine, rules, history.
//! - [`route`]: from a topic to its subscribers, directly or through rumqttd.
//! - [`store`]: what must survive a restart. [`object_store`]: credentials for what docks upload.
//! - [`http`]: `/metrics`, health, the API and the page. [`retrieval`]: what the operator has docks do. [`operator`]: the same
//!   on the terminal. [`metrics`]: every metric, defined once. [`feed`]: which gateways have changed, for those who watch.
//! - [`config`]: the settings. [`files`]: the files that they name. [`logging`]: the log. [`server`] puts the rooms together;
//!   [`supervisor`]: what systemd is told.
//! - [`import`]: a `mosquitto.conf` as settings of dockgate.
//! - [`sim`]: a simulated dock and backend, and the demo. [`mod@bench`]: a load generator that measures brokers.
//! - [`cloud_api`]: the messages of the remote log as they stand on the wire, for those who write them.
//! - [`message`], [`tree`], [`clock`], [`secret`]: what several rooms use.

pub mod access;
pub mod bench;
pub mod clock;
pub mod cloud_api;
pub mod config;
pub mod feed;
pub mod files;
pub mod hook;
pub mod http;
pub mod import;
pub mod ledger;
pub mod logging;
pub mod message;
pub mod metrics;
pub mod mqtt;
pub mod object_store;
pub mod operator;
pub mod retrieval;
pub mod route;
pub mod secret;
pub mod server;
pub mod sim;
pub mod store;
pub mod supervisor;
pub mod tree;
mod watchdog;
