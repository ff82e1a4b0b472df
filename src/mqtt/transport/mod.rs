//! What lies between an accepted socket and MQTT: how many may come (`crowd`), the PROXY header (`proxy`), TLS (`tls`, with
//! its files in `certificates`) and WebSocket (`websocket`, with its `frames`, for web pages of certain `origins`). Each is a
//! step that takes a stream and gives one, or says with `Refused` why not; `flushed` makes the last one safe for a connection
//! that never flushes.

pub(super) mod certificates;
pub mod crowd;
pub(super) mod flushed;
mod frames;
pub(super) mod origins;
pub(super) mod proxy;
pub mod tls;
pub(super) mod websocket;

use crate::metrics::{ConnectRefusal, Limit};
use std::borrow::Cow;
use std::io;

/// Why a connection got no further than its handshake.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(super) why: ConnectRefusal,
    /// For the log. It may hold what the client sent: it is to be escaped.
    pub(super) cause: Cow<'static, str>,
    /// The limit that it is over, if it is that.
    pub(super) limit: Option<Limit>,
}

impl Refused {
    /// The client does not speak what is spoken here.
    fn handshake(cause: impl Into<Cow<'static, str>>) -> Self {
        Self { why: ConnectRefusal::Handshake, cause: cause.into(), limit: None }
    }

    /// The socket closed or failed.
    fn closed(during: &'static str) -> Self {
        Self { why: ConnectRefusal::Closed, cause: during.into(), limit: None }
    }

    /// There is no place for one more.
    pub(super) fn full(limit: Limit) -> Self {
        let cause = format!("there are limits.{} connections already", limit.as_str());
        Self { why: ConnectRefusal::Limit, cause: cause.into(), limit: Some(limit) }
    }

    /// The time to come in is over.
    pub(super) fn late() -> Self {
        let cause = "the handshake was not over within limits.connect_timeout".into();
        Self { why: ConnectRefusal::Timeout, cause, limit: Some(Limit::ConnectTimeout) }
    }

    /// What a failed handshake of a library means: what it could not read is the client's fault, anything else
    /// the network's.
    fn io(error: &io::Error, during: &'static str) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::handshake(error.to_string()),
            _ => Self::closed(during),
        }
    }
}
