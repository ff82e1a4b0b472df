//! The answer to a start that is refused.

use serde::Serialize;

use super::lenient::{Text, Written};
use super::message::Envelope;

use crate::ledger::{Conflict, Method, Now};

/// Longest tid or bid echoed. They are echoed whole or not at all: half of one matches nothing.
const MAX_ECHO: usize = 4_096;

/// A start that must not be delivered, and what to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where the answer goes: the gateway's `services_reply`. Not retained.
    pub reply_topic: String,
    /// The answer, as the dock itself would give it.
    pub reply_payload: Vec<u8>,
    /// For an MQTT 5 reason string.
    pub reason: String,
}

#[derive(Serialize)]
struct Reply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<Echo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid: Option<Echo<'a>>,
    method: &'static str,
    timestamp: u64,
    gateway: &'a str,
    data: ReplyResult,
}

/// A name as the request has it: a backend that numbers its requests looks for a number.
#[derive(Serialize)]
#[serde(untagged)]
enum Echo<'a> {
    Text(&'a str),
    Number(serde_json::Number),
}

impl<'a> Echo<'a> {
    /// None for null, what is no name at all, and what is too long.
    fn of(name: Option<&'a Text<'_>>) -> Option<Echo<'a>> {
        let name = name.filter(|name| name.len() <= MAX_ECHO)?;
        match name.1 {
            Written::Not => None,
            Written::Text => Some(Echo::Text(name)),
            Written::Number => Some(name.parse().map_or(Echo::Text(name), Echo::Number)),
        }
    }
}

#[derive(Serialize)]
struct ReplyResult {
    result: i64,
}

impl Refusal {
    pub(super) fn new(gateway: &str, envelope: &Envelope<'_>, conflict: &Conflict, now: Now) -> Refusal {
        let reply = Reply {
            tid: Echo::of(envelope.tid.as_ref()),
            bid: Echo::of(envelope.bid.as_ref()),
            method: Method::Start.as_str(),
            timestamp: now.0,
            gateway,
            data: ReplyResult { result: conflict.result },
        };
        let seconds = conflict.age_ms / 1_000;
        Refusal {
            reply_topic: format!("thing/product/{gateway}/services_reply"),
            reply_payload: serde_json::to_vec(&reply).expect("strings and numbers always serialise"),
            reason: format!("another log upload is {} since {seconds} s", conflict.state.as_str()),
        }
    }
}
