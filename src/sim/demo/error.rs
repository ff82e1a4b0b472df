//! Why a demo ended before its last line.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use crate::sim::SimError;

/// Something did not go as the demo shows it.
#[derive(Debug, Error)]
pub enum DemoError {
    /// No broker to show.
    #[error("the broker did not start: {0}")]
    Broker(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The broker ended, or would not.
    #[error("the broker did not stop as asked: {0}")]
    Stop(String),
    /// A dock or a backend did not get through to the broker, or to each other.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// A step had another result than the one that it shows.
    #[error("{what}: expected {expected}, but it was {came}")]
    Unexpected {
        /// What was looked at.
        what: String,
        /// What should have been there.
        expected: String,
        /// What was there.
        came: String,
    },
    /// An upload neither ended nor got where it should in time.
    #[error("the upload was not {awaited} within {waited:?}")]
    Unending {
        /// Where it should have been.
        awaited: &'static str,
        /// How long that was waited for.
        waited: Duration,
    },
    /// The HTTP listener did not answer.
    #[error("GET http://{address}{path}: {source}")]
    Http {
        /// Where.
        address: SocketAddr,
        /// What.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// What the HTTP API answered is not JSON.
    #[error("GET {path} did not answer with JSON: {source}")]
    Json {
        /// What was asked for.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The terminal, or the pipe in its place, is gone.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Compares what came with what should have come.
pub(super) fn expect<T: PartialEq + std::fmt::Debug>(
    what: impl Into<String>,
    expected: &T,
    came: &T,
) -> Result<(), DemoError> {
    if expected == came {
        return Ok(());
    }
    Err(DemoError::Unexpected {
        what: what.into(),
        expected: format!("{expected:?}"),
        came: format!("{came:?}"),
    })
}
