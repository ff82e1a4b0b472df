//! The broker is killed with SIGKILL, over and over, under load; and nothing that it acknowledged may be missing after.
//!
//! ```sh
//! cargo test --test torture                                                          # 12 kills
//! DOCKGATE_TORTURE_KILLS=200 cargo test --release --test torture -- --nocapture      # 200
//! DOCKGATE_TORTURE_KILLS=0 cargo test --test torture                                 # only disconnects
//! ```
//!
//! `DOCKGATE_TORTURE_SEED` repeats the choices of an earlier run: when to kill, who does what and when. What the
//! scheduler does to it does not repeat, so that a seed is a hint and no more.
//!
//! [`actors`] says who takes part. Each is a thread with a client that keeps its session state, as MQTT asks of clients,
//! while the broker loses its own; all that they send and receive is one history ([`fact`]). The [`checker`] reads the
//! history. It knows nothing of sockets, so that made-up histories show what it would notice.
//!
//! SIGKILL ends a process, not the machine: what the process gave to the kernel is kept. So this shows that the right
//! things are written in the right order, before they are acknowledged; it cannot show that they are flushed.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

#[path = "../common/mod.rs"]
mod common;

mod actors;
mod changer;
mod checker;
mod client;
mod cloud;
mod fact;
mod inspector;
mod label;
mod link;
mod process;
mod publisher;
mod random;
mod retainer;
mod scene;
mod subscriber;
mod torture;
mod uploader;

use std::collections::HashSet;
use std::mem::discriminant;
use std::time::{Instant, SystemTime};

use checker::Flaw;
use torture::Torture;

/// Kills of the run that everybody makes.
const KILLS: usize = 12;
/// Flaws that are printed, and facts about each.
const SHOWN: (usize, usize) = (8, 60);

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let kills = number("DOCKGATE_TORTURE_KILLS").map_or(KILLS, |kills| usize::try_from(kills).expect("a number"));
    let seed = number("DOCKGATE_TORTURE_SEED").unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is past 1970");
        u64::from(now.subsec_nanos())
    });
    eprintln!("DOCKGATE_TORTURE_SEED={seed} DOCKGATE_TORTURE_KILLS={kills}");
    let began = Instant::now();
    let mut torture = Torture::begin(seed);
    let result = torture.run(kills);
    let panics = torture.end();
    if result.is_ok() && panics.is_empty() {
        let facts = torture.scene.history.len();
        return eprintln!("{} kills, {facts} facts, {:.1?}", torture.kills, began.elapsed());
    }
    let mut report = format!("after kill {}, with DOCKGATE_TORTURE_SEED={seed}:", torture.kills);
    let reasons = result.err().into_iter().chain(panics);
    reasons.for_each(|reason| report.push_str(&format!("\n{reason}")));
    // One of each kind first: the others may follow from it.
    let mut kinds = HashSet::new();
    let (first, more): (Vec<&Flaw>, Vec<&Flaw>) =
        torture.checker.flaws.iter().partition(|flaw| kinds.insert(discriminant(*flaw)));
    for flaw in first.into_iter().chain(more).take(SHOWN.0) {
        report.push_str(&format!("\n\n{flaw}\n{}", torture.facts_about(flaw, SHOWN.1)));
    }
    report.push_str(&format!("\n\nthe end of the broker's log:\n{}", torture.log_tail(30)));
    panic!("{report}\n\nthe data and the log are in {}", torture.keep().display());
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}: {error}")))
}
