//! What the protocol tests share: a broker to talk to and a client that speaks raw bytes.
//!
//! [`Broker`] runs the broker inside the test process, [`BrokerProcess`] runs the binary. [`Wire`] is a
//! client with its own encoder and decoder, so that an error in the broker's codec cannot hide itself.
//!
//! `DOCKGATE_TEST_BROKER=host:port` points the tests at another broker instead; then settings that a test
//! asks for do not apply.

// Each test binary uses its own part of this module.
#![allow(dead_code, unused_imports)]

mod answer;
mod broker;
mod http;
pub(crate) mod packet;
mod process;
pub(crate) mod property;
mod wire;

pub(crate) use answer::{Answer, Connack, decode};
pub(crate) use broker::{Broker, other_broker};
pub(crate) use http::{Response, get, metric, post, request, status};
pub(crate) use packet::{
    Connect, DISCONNECT, PINGREQ, Puback, Pubcomp, Publish, Pubrec, Pubrel, V5, V31, V311, VERSIONS, Version, ack,
    disconnect, frame, subscribe, unsubscribe,
};
pub(crate) use process::{BrokerProcess, listening};
pub(crate) use property::{Property, Value};
pub(crate) use wire::{DEADLINE, Wait, Wire};

use std::time::{Duration, Instant};

/// Asks again and again until the answer is yes; fails with `what` at the deadline.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
