//! The order in which uploads ended, over all gateways, so that the oldest can go first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::remembered::Ended;

/// Every upload in a gateway's history, by its place in the order of endings. It may be called with
/// a gateway's lock held and takes no other lock.
#[derive(Debug, Default)]
pub(crate) struct HistoryIndex(Mutex<BTreeMap<u64, Arc<str>>>);

impl HistoryIndex {
    pub(crate) fn note(&self, gateway: &Arc<str>, ended: &[u64], forgotten: &[u64]) {
        if ended.is_empty() && forgotten.is_empty() {
            return;
        }
        let mut index = self.0.lock();
        for place in ended {
            index.insert(*place, Arc::clone(gateway));
        }
        for place in forgotten {
            index.remove(place);
        }
    }

    /// A gateway is forgotten, with its history.
    pub(crate) fn forget(&self, history: &VecDeque<Ended>) {
        let mut index = self.0.lock();
        for ended in history {
            index.remove(&ended.place);
        }
    }

    /// Takes out the oldest if there are more than `limit`.
    pub(crate) fn pop_over(&self, limit: usize) -> Option<(u64, Arc<str>)> {
        let mut index = self.0.lock();
        if index.len() > limit { index.pop_first() } else { None }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}
