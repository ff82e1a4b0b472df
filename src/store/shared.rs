//! What the rooms and the thread that commits have in common.
//!
//! Concurrency: the lock of what gathers is a leaf, held for one look-up. The thread takes the write side of the scope
//! lock, and then that one, to take a batch; nobody else takes the write side.

use super::error::Fault;
use super::pending::{OnDisk, Pending};
use super::ticket::{Progress, Settled, Ticket};
use crate::metrics::Metrics;
use parking_lot::{Condvar, Mutex, RwLock};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A commit that takes longer than this counts as failing until it is over: whoever waits for it is told, and what needs
/// the disk is refused. A healthy disk answers an fsync in milliseconds, a busy one in a second or two.
const STALLED: Duration = Duration::from_secs(10);

/// Changes that wait for the next commit.
#[derive(Debug)]
pub(super) struct Gathering {
    /// The number of the batch that they will be in.
    pub(super) number: u64,
    pub(super) pending: Pending,
    pub(super) on_disk: OnDisk,
    /// Somebody has had a ticket of this batch, or something waits.
    touched: bool,
    /// The thread sleeps until something is put.
    idle: bool,
    stop: bool,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) file: PathBuf,
    pub(super) scope: RwLock<()>,
    gathering: Mutex<Gathering>,
    wake: Condvar,
    progress: watch::Sender<Progress>,
    failing: AtomicBool,
    /// When the commit that runs began, in milliseconds after `origin`, plus one; 0 if none runs.
    began: AtomicU64,
    origin: Instant,
    /// [`STALLED`]; tests wait less.
    patience_ms: AtomicU64,
    /// What fails, for the operator.
    trouble: Mutex<Option<String>>,
    /// Whether acknowledgements wait for commits.
    acknowledged: bool,
    pub(super) metrics: Arc<Metrics>,
}

/// What the thread is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Commit,
    Stop,
}

impl Shared {
    pub(super) fn new(
        file: PathBuf,
        on_disk: OnDisk,
        pending: Pending,
        acknowledged: bool,
        metrics: Arc<Metrics>,
    ) -> Self {
        let touched = !pending.is_empty();
        let gathering = Gathering { number: 1, pending, on_disk, touched, idle: false, stop: false };
        Self {
            file,
            scope: RwLock::new(()),
            gathering: Mutex::new(gathering),
            wake: Condvar::new(),
            progress: watch::Sender::new(Progress::default()),
            failing: AtomicBool::new(false),
            began: AtomicU64::new(0),
            origin: Instant::now(),
            patience_ms: AtomicU64::new(u64::try_from(STALLED.as_millis()).unwrap_or(u64::MAX)),
            trouble: Mutex::new(None),
            acknowledged,
            metrics,
        }
    }

    /// Makes a change. What it does must be short.
    pub(super) fn change(&self, change: impl FnOnce(&mut Pending, &OnDisk)) -> Ticket {
        let mut gathering = self.gathering.lock();
        let Gathering { number, pending, on_disk, .. } = &mut *gathering;
        change(pending, on_disk);
        let ticket = if self.acknowledged { Ticket(*number) } else { Ticket::NONE };
        gathering.touched = true;
        if gathering.idle {
            gathering.idle = false;
            self.wake.notify_one();
        }
        ticket
    }

    /// The batch that everything put so far is in, or was.
    pub(super) fn latest(&self) -> Ticket {
        let gathering = self.gathering.lock();
        match self.acknowledged {
            true if gathering.touched => Ticket(gathering.number),
            true => Ticket(gathering.number - 1),
            false => Ticket::NONE,
        }
    }

    /// Sleeps until there is something to commit, and not before this time.
    pub(super) fn next(&self, not_before: Instant, retry: bool) -> Next {
        let mut gathering = self.gathering.lock();
        loop {
            if gathering.stop {
                return Next::Stop;
            }
            if !gathering.touched && !retry {
                gathering.idle = true;
                self.wake.wait(&mut gathering);
                gathering.idle = false;
            } else if Instant::now() < not_before {
                self.wake.wait_until(&mut gathering, not_before);
            } else {
                return Next::Commit;
            }
        }
    }

    /// Tells the thread to stop after what is pending.
    pub(super) fn stop(&self) {
        self.gathering.lock().stop = true;
        self.wake.notify_all();
    }

    /// Takes what has gathered; from here on, changes are for the batch after it.
    pub(super) fn take(&self) -> (u64, Pending) {
        let _nobody_between_changes = self.scope.write();
        let mut gathering = self.gathering.lock();
        let number = gathering.number;
        let batch = std::mem::take(&mut gathering.pending);
        gathering.number += 1;
        gathering.touched = false;
        gathering.on_disk.begin(&batch);
        (number, batch)
    }

    /// A batch is on the disk, or had nothing in it.
    pub(super) fn committed(&self, number: u64, batch: &Pending) {
        self.gathering.lock().on_disk.committed(batch);
        self.progress.send_modify(|progress| progress.committed = progress.committed.max(number));
    }

    /// A batch certainly is not on the disk: it waits again.
    pub(super) fn take_back(&self, batch: Pending) {
        let mut gathering = self.gathering.lock();
        let Gathering { pending, on_disk, .. } = &mut *gathering;
        pending.take_back(batch, on_disk);
    }

    /// A commit begins or ends.
    pub(super) fn set_committing(&self, since: Option<Instant>) {
        let since = since.map_or(0, |since| self.millis(since) + 1);
        self.began.store(since, Ordering::Release);
    }

    /// A commit failed: whoever waits for it or for one that gathers now is told.
    pub(super) fn failed(&self, fault: &Fault) {
        let file = self.file.display();
        let text = format!("{file} cannot be written ({fault}): what has to survive a restart is refused");
        *self.trouble.lock() = Some(text);
        self.failing.store(true, Ordering::Release);
        self.give_up_waiting();
    }

    /// It works again.
    pub(super) fn recovered(&self) {
        self.failing.store(false, Ordering::Release);
        *self.trouble.lock() = None;
    }

    /// Settles every ticket that was given out and is not committed as failed.
    fn give_up_waiting(&self) {
        let mut gathering = self.gathering.lock();
        let number = gathering.number;
        gathering.number += 1;
        drop(gathering);
        self.progress.send_modify(|progress| progress.failed = progress.failed.max(number));
    }

    /// No commit comes any more.
    pub(super) fn close(&self) {
        self.progress.send_modify(|progress| progress.failed = u64::MAX);
    }

    pub(super) fn settled(&self, ticket: Ticket) -> Option<Settled> {
        self.progress.borrow().verdict(ticket)
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire) || self.stalled().is_some()
    }

    /// How long the commit has been running, if that is too long.
    fn stalled(&self) -> Option<Duration> {
        let since = self.began.load(Ordering::Acquire).checked_sub(1)?;
        let running = Duration::from_millis(self.millis(Instant::now()).saturating_sub(since));
        let patience = Duration::from_millis(self.patience_ms.load(Ordering::Relaxed));
        (running >= patience).then_some(running)
    }

    /// What fails, for the operator. Whoever waits for a commit that is stalled is told.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Some(running) = self.stalled() {
            self.give_up_waiting();
            let (file, seconds) = (self.file.display(), running.as_secs());
            return Some(format!(
                "the disk has not finished writing {file} for {seconds} s: what has to survive a restart is refused"
            ));
        }
        self.trouble.lock().clone()
    }

    /// Takes any commit that runs for stalled, or none before the usual time.
    #[cfg(test)]
    pub(super) fn set_patience(&self, patience: Duration) {
        self.patience_ms.store(u64::try_from(patience.as_millis()).unwrap(), Ordering::Release);
    }

    /// Changes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.gathering.lock().pending.len()
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }
}
