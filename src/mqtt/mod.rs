//! The edge: everything that speaks MQTT to clients.
//!
//! Bytes come in through `listener`, `transport` and `handshake` to a `connection`, which reads them with `wire` and
//! `connect`, and hands each packet to its `actions`; a publish goes to the `broker`: access, hook, `retained` store,
//! route. That ends in `session`s, where a connection fetches what it has to write, with `encode`. `sessions` is the
//! life of sessions and wills, `owners` whose they are, `subscriptions` what clients subscribe to, `recheck` what new
//! access rules change for them, `docks` the gateways among them, `shared` the groups, `inflight` what waits for acknowledgements, `held` what
//! must not be sent before something is safe, `restore` how sessions come back after a restart, `sys` what the broker publishes of itself.
//! [`codec`] is the way to packets without a connection.

mod account;
mod actions;
mod aliases;
pub mod broker;
mod client;
pub mod codec;
mod connect;
mod connection;
mod deadlines;
mod delivery;
mod docks;
mod encode;
mod fault;
mod handshake;
mod held;
mod inflight;
mod link;
pub mod listener;
mod owners;
mod pace;
mod properties;
mod queue;
mod recheck;
mod restore;
mod retained;
mod session;
mod sessions;
mod shared;
mod stream;
mod subscriptions;
mod sys;
mod terms;
pub mod topic;
mod traffic;
pub mod transport;
mod wire;

pub use broker::Broker;
pub use docks::Dock;
pub use restore::{Restored, Unusable};
pub use stream::serve;
