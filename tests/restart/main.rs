//! What a broker still knows after it has been killed: the binary, SIGKILL, and the same folder again.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

#[path = "../common/mod.rs"]
mod common;

mod commits;
mod disk;
mod ground;
mod in_flight;
#[path = "../uploads/messages.rs"]
mod messages;
mod opening;
mod retained;
mod sessions;
mod stop;
mod uploads;
mod wills;
