//! How a gateway's uploads may stand: as after the last acknowledged step, or as after one that was sent since.

use std::collections::HashSet;

use super::{Checker, Flaw};
use crate::fact::Step;
use crate::label::{Label, Name};

/// Ended uploads that the broker remembers of a gateway, `uploads.history_per_gateway`.
const REMEMBERED: usize = 20;

/// A gateway.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    /// How it stands after each step that was sent.
    steps: Vec<Stand>,
    /// Bid and outcome of every upload that has ended, as far as steps were sent.
    ended: Vec<(String, String)>,
}

/// How a gateway stands after a step.
#[derive(Clone, Debug)]
struct Stand {
    label: Label,
    acked: Option<usize>,
    /// Bid and state.
    running: Option<(String, &'static str)>,
    /// How many have ended.
    ended: usize,
}

impl Gateway {
    pub(super) fn sent(&mut self, label: &Label, step: &Step) {
        let mut running = self.steps.last().and_then(|stand| stand.running.clone());
        match step {
            Step::Start(bid) => running = Some((bid.clone(), "pending")),
            Step::Accept => running.iter_mut().for_each(|(_, state)| *state = "active"),
            Step::Advance | Step::AskCancel => {}
            Step::Cancel => running.iter_mut().for_each(|(_, state)| *state = "cancelling"),
            Step::End(outcome) => {
                let bid = running.take().map_or_else(String::new, |(bid, _)| bid);
                self.ended.push((bid, (*outcome).to_owned()));
            }
        }
        self.steps.push(Stand { label: label.clone(), acked: None, running, ended: self.ended.len() });
    }

    pub(super) fn acked(&mut self, label: &Label, now: usize) {
        if let Some(stand) = self.steps.iter_mut().rev().find(|stand| stand.label == *label) {
            stand.acked = Some(now);
        }
    }

    /// How it may stand for one who began to look when there were so many facts.
    fn allowed(&self, began: usize) -> Vec<(Option<(String, &'static str)>, usize)> {
        let oldest = self.steps.iter().rposition(|stand| stand.acked.is_some_and(|acked| acked < began));
        let first = oldest.is_none().then_some((None, 0));
        let steps = self.steps[oldest.unwrap_or(0)..].iter().map(|stand| (stand.running.clone(), stand.ended));
        first.into_iter().chain(steps).collect()
    }
}

impl Checker {
    pub(super) fn saw_gateway(
        &mut self,
        name: &Name,
        began: usize,
        running: &[(String, String)],
        ended: &[(String, String)],
    ) {
        let known = self.gateways.entry(name.clone()).or_default();
        let allowed = known.allowed(began);
        let is_allowed = |(stand, count): &(Option<(String, &str)>, usize)| {
            let wanted = stand.iter().map(|(bid, state)| (bid.as_str(), *state));
            let found = running.iter().map(|(bid, state)| (bid.as_str(), state.as_str()));
            wanted.eq(found) && known.ended[count.saturating_sub(REMEMBERED)..*count] == *ended
        };
        if allowed.iter().any(is_allowed) {
            return;
        }
        let what = format!("running {running:?}, ended {ended:?}; allowed are (running, ended so far) {allowed:?}");
        let gateway = name.clone();
        let mut bids = HashSet::new();
        let is_doubled = running.len() > 1 || !running.iter().chain(ended).all(|(bid, _)| bids.insert(bid));
        let must_run = allowed.iter().all(|(running, _)| running.is_some());
        let has_lost =
            (must_run && running.is_empty()) || allowed.iter().all(|(_, count)| ended.len() < (*count).min(REMEMBERED));
        self.flaws.push(if is_doubled {
            Flaw::SlotDoubled { gateway, what }
        } else if has_lost {
            Flaw::SlotLost { gateway, what }
        } else {
            Flaw::WrongState { gateway, what }
        });
    }
}
