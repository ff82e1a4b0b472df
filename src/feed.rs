//! Which gateways have changed, told to those who watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::broadcast;

/// Changes that a watcher may be behind; who is further behind is told that it missed some.
const BEHIND: usize = 4_096;

/// Something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Something about the gateway with this serial number.
    Gateway(Arc<str>),
    /// An upload of it has ended, at this place in the order of endings.
    Ended(Arc<str>, u64),
}

/// Where changes are told, from any thread. It costs one load of a number while nobody watches.
#[derive(Debug)]
pub struct Feed {
    watchers: Arc<AtomicUsize>,
    sender: broadcast::Sender<Change>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { watchers: Arc::default(), sender: broadcast::Sender::new(BEHIND) }
    }
}

impl Feed {
    /// Tells of a change. It takes a lock of its own, under which nothing else is called, and wakes those who watch.
    pub fn tell(&self, change: impl FnOnce() -> Change) {
        if self.is_watched() {
            // Whoever watched may have just left.
            let _ = self.sender.send(change());
        }
    }

    /// Whether anybody watches.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// What changes from now on.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let changes = self.sender.subscribe();
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watch { changes, watchers: Arc::clone(&self.watchers) }
    }
}

/// What changes, in its order.
#[derive(Debug)]
pub struct Watch {
    changes: broadcast::Receiver<Change>,
    watchers: Arc<AtomicUsize>,
}

/// Why there is no change to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Some have been missed; those after them will come.
    Behind,
    /// There will be no more.
    Over,
}

impl Watch {
    /// The next change. It may be dropped while it waits, and nothing is lost.
    ///
    /// # Errors
    /// [`Missing`] if it cannot be told.
    pub async fn next(&mut self) -> Result<Change, Missing> {
        self.changes.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(_) => Missing::Behind,
            broadcast::error::RecvError::Closed => Missing::Over,
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_watches_is_told_and_who_is_too_far_behind_is_told_that() {
        let feed = Feed::default();
        feed.tell(|| unreachable!("nobody watches"));
        let mut watch = feed.watch();
        feed.tell(|| Change::Ended("SN1".into(), 7));
        assert_eq!(watch.next().await, Ok(Change::Ended("SN1".into(), 7)));
        for _ in 0..=BEHIND {
            feed.tell(|| Change::Gateway("SN2".into()));
        }
        assert_eq!(watch.next().await, Err(Missing::Behind));
        assert_eq!(watch.next().await, Ok(Change::Gateway("SN2".into())));
        drop(watch);
        feed.tell(|| unreachable!("nobody watches any more"));
    }
}
