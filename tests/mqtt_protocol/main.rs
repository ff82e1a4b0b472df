//! The broker against MQTT 3.1, 3.1.1 and 5, one raw byte at a time.
//!
//! Clauses such as 3.1.2-3 are the normative statements of OASIS MQTT 5.0 unless the text says 3.1.1.

#[path = "../common/mod.rs"]
mod common;

mod alias_and_expiry;
mod bounds;
mod connect;
mod delivery;
mod filters;
mod in_flight;
mod limits;
mod malformed;
mod mutated;
mod properties;
mod retained;
mod sessions;
mod shared;
mod slow;
mod split;
mod subscriptions;
mod turns;
mod wills;
