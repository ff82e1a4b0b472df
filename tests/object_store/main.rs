//! The object store: credentials of a real token service, and a simulated dock that uploads with them.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

#[path = "../common/mod.rs"]
mod common;
mod grants;
mod moto;
mod refusals;
mod requests;
mod uploads;
