//! What may be retained on a topic: never less than the last that was acknowledged.

use super::{Checker, Flaw};
use crate::label::{Label, Name};

/// All that was published to be retained on one topic, in order. One client does.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    versions: Vec<Version>,
}

#[derive(Debug)]
struct Version {
    number: u64,
    /// It was empty: nothing is retained after it.
    deletes: bool,
    /// How many facts there were when it was acknowledged.
    acked: Option<usize>,
}

impl Topic {
    pub(super) fn sent(&mut self, number: u64, deletes: bool) {
        self.versions.push(Version { number, deletes, acked: None });
    }

    pub(super) fn acked(&mut self, number: u64, now: usize) {
        if let Some(version) = self.versions.iter_mut().rev().find(|version| version.number == number) {
            version.acked = Some(now);
        }
    }

    /// Whether this may be found by one who began to look when there were so many facts.
    fn may_show(&self, began: usize, found: Option<u64>) -> bool {
        let is_acked = |version: &Version| version.acked.is_some_and(|acked| acked < began);
        let oldest = self.versions.iter().rposition(is_acked);
        let allowed = &self.versions[oldest.unwrap_or(0)..];
        match found {
            Some(number) => allowed.iter().any(|version| version.number == number && !version.deletes),
            None => oldest.is_none() || allowed.iter().any(|version| version.deletes),
        }
    }

    fn wanted(&self, began: usize) -> String {
        let last = self.versions.iter().rfind(|version| version.acked.is_some_and(|acked| acked < began));
        format!("{last:?} or later, up to {:?}", self.versions.last())
    }
}

impl Checker {
    pub(super) fn saw_retained(&mut self, name: &Name, began: usize, found: Option<&Label>) {
        let topic = self.retained.entry(name.clone()).or_default();
        let is_ours = found.is_none_or(|label| self.messages.get(label).is_some_and(|sent| sent.topic == *name));
        if !is_ours || !topic.may_show(began, found.map(|label| label.number)) {
            let wanted = topic.wanted(began);
            self.flaws.push(Flaw::Stale { topic: name.clone(), found: found.cloned(), wanted });
        }
    }
}
