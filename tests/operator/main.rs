//! What the operator has: the API that reads and does, its description, its events, its token, `$SYS`, and `dockgate logs`.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

#[path = "../common/mod.rs"]
mod common;
#[path = "../object_store/moto.rs"]
#[allow(dead_code, reason = "the tests of the object store use all of it")]
mod moto;

mod commands;
mod described;
mod events;
mod pull;
mod sys;
mod token;

use std::time::Duration;

use common::Broker;
use dockgate::sim::{Dock, Journal, Outcome, Plan};

/// When the simulated logs end.
const NOW: u64 = 1_780_000_000_000;

/// A dock that answers at once and uploads within a second, if `change` does not say otherwise.
fn plan(seed: u64, change: impl FnOnce(&mut Plan)) -> Plan {
    let mut plan = Plan::from_seed(seed, NOW);
    plan.preparation = Duration::from_millis(50);
    plan.report_every = Duration::from_millis(50);
    plan.rate = 50_000_000;
    change(&mut plan);
    plan
}

/// A dock whose upload never ends by itself.
fn endless(seed: u64) -> Plan {
    plan(seed, |plan| plan.outcome = Outcome::Stall { at_percent: 20 })
}

async fn connect(broker: &Broker, plan: &Plan) -> (Dock, Journal) {
    let journal = Journal::keeping(100);
    (Dock::connect(broker.mqtt, plan.clone(), journal.clone()).await.unwrap(), journal)
}
