//! The page in Chromium, over the real broker: simulated docks and backends on one side, a mouse and a keyboard on the other.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

mod browser;
#[path = "../common/mod.rs"]
mod common;
mod ground;
mod hostile;
mod logs;
mod looks;
mod page;
mod screenshots;
mod stream;
mod token;
mod uploads;
