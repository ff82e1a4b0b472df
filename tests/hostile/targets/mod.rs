//! What is fuzzed: one plain function a target, that panics when something is wrong.
//!
//! `cargo test` runs each for a few seconds ([`crate`]'s `short`); the crate in `tests/fuzz` hands the same functions to
//! libFuzzer. An input is read as a short program ([`input`]), so that a mutation of it is mostly a program, too.

#![allow(dead_code, reason = "each fuzz target uses its own part")]

pub(crate) mod acl_file;
pub(crate) mod dji_json;
pub(crate) mod input;
pub(crate) mod mosquitto_conf;
pub(crate) mod packets;
pub(crate) mod password_file;
mod scratch;
pub(crate) mod settings;
pub(crate) mod transports;

#[path = "../../common/answer.rs"]
mod answer;
#[path = "../../common/packet.rs"]
mod packet;
#[path = "../../common/property.rs"]
mod property;
