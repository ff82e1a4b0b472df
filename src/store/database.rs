//! How the database is opened, at the start and after a failure.
//!
//! Commits are redb's durable ones in one phase: the pages, the sums over them and the root that names them are written,
//! then there is one fsync. If power goes in between, the sums of the new root do not fit and the last commit counts. A
//! second phase (redb's `set_two_phase_commit`) would cost a second fsync for each commit to guard against somebody who
//! knows the file, chooses what is written and cuts the power in the right moment. So does quick repair, which spares
//! the walk over the file that opening takes after a kill; what a broker holds is walked in less than a second.

use super::error::{Fault, guarded};
use super::format::{self, Start};
use super::medium::{Medium, Wrap};
use super::tables::{BATCH, META};
use redb::{Builder, Database, ReadableDatabase as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pages that redb keeps in memory. The rooms have in memory what they read, so that it is for writing only: what one
/// commit changes, and the inner pages of the tables.
pub(super) const CACHE: usize = 16 << 20;
/// A file of at least this size is made smaller at the start ...
const WORTH_COMPACTING: u64 = 64 << 20;
/// ... if what is in it takes less than this part of it.
const MOSTLY_EMPTY: u64 = 4;

/// What a database is opened with.
pub(super) struct Opening {
    pub(super) file: PathBuf,
    pub(super) wrap: Wrap,
    /// An fsync has failed since the file was last written as a whole.
    unsynced: Arc<AtomicBool>,
}

impl Opening {
    pub(super) fn new(file: PathBuf, wrap: Wrap) -> Self {
        Self { file, wrap, unsynced: Arc::default() }
    }

    /// Opens the database at the start; makes one in an empty file.
    pub(super) fn open(&self) -> Result<Database, Fault> {
        let mut db = self.open_as_it_is(false)?;
        let before = std::fs::metadata(&self.file)?.len();
        if before >= WORTH_COMPACTING && used(&db)? < before / MOSTLY_EMPTY {
            db.compact()?;
            let after = std::fs::metadata(&self.file)?.len();
            tracing::info!(file = %self.file.display(), before, after, "the store was mostly empty and has been made smaller");
        }
        Ok(db)
    }

    /// Opens the database after a failure, if it still is the one of this start; says the number of its last batch.
    pub(super) fn reopen(&self, start: &Start) -> Result<(Database, u64), Fault> {
        // An empty file would be taken for a new database.
        if std::fs::metadata(&self.file)?.len() == 0 {
            return Err(Fault::Damaged("the file is empty".to_owned()));
        }
        let rewrite = self.unsynced.load(Ordering::Acquire);
        if rewrite {
            Medium::open(&self.file, &self.wrap, self.unsynced.clone())?.rewrite()?;
        }
        let db = self.open_as_it_is(rewrite)?;
        self.unsynced.store(false, Ordering::Release);
        let txn = db.begin_read()?;
        let meta = txn.open_table(META)?;
        let is_ours = format::is_of(&meta, start)?;
        let batch = format::number_of(&meta, BATCH)?;
        drop((meta, txn));
        if !is_ours {
            return Err(Fault::Damaged("it is not the file that was there at the start".to_owned()));
        }
        Ok((db, batch.unwrap_or(0)))
    }

    fn open_as_it_is(&self, check: bool) -> Result<Database, Fault> {
        let medium = Medium::open(&self.file, &self.wrap, self.unsynced.clone())?;
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(check);
        guarded(move || Ok(builder.create_with_backend(medium)?))
    }
}

/// Bytes that the database has use for.
fn used(db: &Database) -> Result<u64, Fault> {
    let txn = db.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    Ok(stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes())
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("file", &self.file).finish_non_exhaustive()
    }
}
