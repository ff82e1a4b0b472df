//! Hostile input: named cases that grow for ever, and a short run of every fuzz target.

#![allow(
    clippy::duplicate_mod,
    reason = "the fuzz targets take the codec of the tests, and stand outside of this crate, too"
)]

#[path = "../common/mod.rs"]
mod common;

mod corpus;
mod ground;
mod notation;
mod packets;
mod short;
mod sockets;
mod storms;
mod targets;
mod upload;
