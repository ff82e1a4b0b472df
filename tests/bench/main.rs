//! `dockgate bench`, as a user runs it, against the real broker and against Mosquitto.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod ground;
mod latencies;
mod proxy;
mod refusals;
mod scenarios;
mod targets;
