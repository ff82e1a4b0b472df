//! The thread that commits.
//!
//! One batch after the other: as long as an fsync takes, the next batch gathers, so that the slower the disk, the more
//! changes share a commit. After a failure the database is dropped (redb refuses everything after an I/O error) and
//! opened again once a second, until a commit succeeds.

use super::database::Opening;
use super::error::{Fault, guarded};
use super::format::Start;
use super::pending::Pending;
use super::shared::{Next, Shared};
use super::tables;
use redb::Database;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From the beginning of a commit to that of the next, at least. A lone change is committed at once; in a stream of
/// them, this bounds the fsyncs that a fast disk is asked for, and lets a message and its acknowledgement meet.
pub(super) const GATHER: Duration = Duration::from_millis(5);
/// The same where nobody waits for commits.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// From a failed commit to the next try.
const RETRY: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(1) };
/// While it fails, the log says so this often.
const REMIND: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Committer {
    shared: Arc<Shared>,
    opening: Opening,
    /// None after a failure.
    db: Option<Database>,
    /// From the beginning of a commit to that of the next.
    pace: Duration,
    /// By which it knows its file again.
    start: Start,
    /// A batch of which it is not known whether it is on the disk.
    held: Option<(u64, Pending)>,
    /// Since when commits fail.
    failing: Option<Instant>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, opening: Opening, db: Database, pace: Duration, start: Start) -> Self {
        Self { shared, opening, db: Some(db), pace, start, held: None, failing: None }
    }

    /// Commits until it is told to stop.
    pub(super) fn run(mut self) {
        let (mut not_before, mut reminded) = (Instant::now(), None);
        loop {
            let next = self.shared.next(not_before, self.failing.is_some());
            let began = Instant::now();
            let outcome = self.commit(began);
            not_before = began + if outcome.is_ok() { self.pace } else { RETRY };
            match outcome {
                Ok(()) => {
                    if let Some(since) = self.failing.take() {
                        self.recovered(began.saturating_duration_since(since));
                    }
                    reminded = None;
                }
                Err(fault) => {
                    self.failing.get_or_insert(began);
                    self.shared.metrics.store_failed();
                    self.shared.failed(&fault);
                    if reminded.is_none_or(|at: Instant| at.elapsed() >= REMIND) {
                        self.complain(&fault);
                        reminded = Some(began);
                    }
                }
            }
            if next == Next::Stop {
                break;
            }
        }
        self.close();
    }

    /// Puts on the disk what is pending.
    fn commit(&mut self, began: Instant) -> Result<(), Fault> {
        self.shared.set_committing(Some(began));
        let outcome = self.try_to_commit(began);
        self.shared.set_committing(None);
        outcome
    }

    fn try_to_commit(&mut self, began: Instant) -> Result<(), Fault> {
        let db = match self.db.take() {
            Some(db) => db,
            None => self.reopen()?,
        };
        let (number, batch) = self.shared.take();
        // After a failure, a commit has to show that it works again.
        if batch.is_empty() && self.failing.is_none() {
            self.db = Some(db);
            self.shared.committed(number, &batch);
            return Ok(());
        }
        // Whatever goes wrong, the database is dropped within the guard: redb may panic there, too.
        let outcome = guarded(|| {
            let db = db;
            let txn = db.begin_write()?;
            tables::write(&txn, number, &batch)?;
            txn.commit()?;
            Ok(db)
        });
        match outcome {
            Ok(db) => {
                self.db = Some(db);
                self.shared.committed(number, &batch);
                self.shared.metrics.store_committed(began.elapsed());
                Ok(())
            }
            Err(fault) => {
                self.held = Some((number, batch));
                Err(fault)
            }
        }
    }

    /// Opens the database again, and finds out what has become of the batch that failed.
    fn reopen(&mut self) -> Result<Database, Fault> {
        let (db, last) = self.opening.reopen(&self.start)?;
        match self.held.take() {
            Some((number, batch)) if number == last => self.shared.committed(number, &batch),
            Some((_, batch)) => self.shared.take_back(batch),
            None => {}
        }
        Ok(db)
    }

    fn complain(&self, fault: &Fault) {
        let file = self.shared.file.display();
        let waiting = self.shared.waiting() + self.held.as_ref().map_or(0, |(_, batch)| batch.len());
        tracing::error!(
            %file, error = %fault, changes = waiting,
            "the store cannot be written: whatever must survive a restart is refused until it can. Free space on its \
             disk, or see what the kernel's log says of it; it is tried again every second"
        );
    }

    fn recovered(&self, after: Duration) {
        self.shared.recovered();
        let (file, seconds) = (self.shared.file.display(), after.as_secs_f64());
        tracing::warn!(%file, seconds, "the store can be written again: nothing that was acknowledged is lost");
    }

    fn close(mut self) {
        let lost = self.shared.waiting() + self.held.as_ref().map_or(0, |(_, batch)| batch.len());
        if lost > 0 {
            let file = self.shared.file.display();
            tracing::error!(%file, changes = lost, "the store could not be written to the end: these changes are lost");
        }
        if let Some(db) = self.db.take()
            && let Err(fault) = guarded(|| Ok(db.close()?))
        {
            let file = self.shared.file.display();
            tracing::warn!(%file, error = %fault, "the store was not closed; its next start will take longer");
        }
        self.shared.close();
    }
}
