//! An index of gateways by a moment, so that finding who is due costs nothing to those who are not.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::rules::Now;

/// Gateways in the order of a moment each. The moments are lower bounds: whoever takes a gateway out
/// looks at what it really says and puts it back if it is not its turn. So a moment that only moves
/// later (every progress moves a stall's) needs no change here.
///
/// Locked for one operation at a time. It may be called with a gateway's lock held and takes no
/// other lock.
#[derive(Debug, Default)]
pub(crate) struct Agenda(Mutex<BTreeSet<(Now, Arc<str>)>>);

impl Agenda {
    pub(crate) fn insert(&self, at: Now, gateway: &Arc<str>) {
        self.0.lock().insert((at, Arc::clone(gateway)));
    }

    pub(crate) fn remove(&self, at: Now, gateway: &Arc<str>) {
        self.0.lock().remove(&(at, Arc::clone(gateway)));
    }

    /// The earliest moment.
    pub(crate) fn first(&self) -> Option<Now> {
        self.0.lock().first().map(|(at, _)| *at)
    }

    /// Takes the first gateway out, whenever it is due.
    pub(crate) fn pop(&self) -> Option<(Now, Arc<str>)> {
        self.0.lock().pop_first()
    }

    /// Takes out all that are due.
    pub(crate) fn due(&self, now: Now) -> Vec<(Now, Arc<str>)> {
        let mut agenda = self.0.lock();
        let mut due = Vec::new();
        while agenda.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(agenda.pop_first());
        }
        due
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_due_is_taken_out_and_the_earliest_first() {
        let agenda = Agenda::default();
        for (at, name) in [(30, "c"), (10, "a"), (20, "b")] {
            agenda.insert(Now(at), &Arc::from(name));
        }
        assert_eq!(agenda.first(), Some(Now(10)));
        let due: Vec<u64> = agenda.due(Now(20)).iter().map(|(at, _)| at.0).collect();
        assert_eq!(due, [10, 20]);
        assert_eq!(agenda.len(), 1);
    }
}
