//! The alert rules, the Prometheus configuration and the dashboard in `config/`, against a running broker and against
//! Prometheus itself (Debian package `prometheus`, with `promtool`).

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

#[path = "../common/mod.rs"]
mod common;
mod dashboard;
mod exposition;
mod expression;
mod live;
mod prometheus;
mod rules;

use std::path::{Path, PathBuf};

/// A file of `config/`.
fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file)
}

/// Its text.
fn text(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("config/{file}: {error}"))
}
