//! How the database is opened, at the start and after a failure.
//!
//! Commits are redb's durable ones in one phase: the pages, the sums over them and the root that names them are written,
//! then there is one fsync. If power goes in between, the sums of the new root do not fit and the last commit counts. A
//! second phase (redb's `set_two_phase_commit`) would cost a second fsync for each commit to guard against somebody who
//! knows the file, chooses what is written and cuts the power in the right moment. So would quick repair, which spares
//! the walk over the file after a kill; but the file is walked at every start anyway, to check it, and that takes less
//! than a second for what a broker holds.

use super::error::{Fault, guarded};
use super::format::{self, Start};
use super::medium::{Medium, Wrap};
use super::tables::{BATCH, META};
use parking_lot::Mutex;
use redb::{Builder, Database, ReadableDatabase as _};
use std::os::unix::fs::MetadataExt as _;
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
    /// The device and the number of the file that is open.
    inode: Mutex<Option<(u64, u64)>>,
}

impl Opening {
    pub(super) fn new(file: PathBuf, wrap: Wrap) -> Self {
        Self { file, wrap, unsynced: Arc::default(), inode: Mutex::default() }
    }

    /// Opens the database at the start; makes one in an empty file.
    pub(super) fn open(&self) -> Result<Database, Fault> {
        let mut db = self.open_checked()?;
        let before = std::fs::metadata(&self.file)?.len();
        if before < WORTH_COMPACTING || used(&db)? >= before / MOSTLY_EMPTY {
            return Ok(db);
        }
        let file = self.file.display();
        match db.compact() {
            Ok(_) => {
                let after = std::fs::metadata(&self.file)?.len();
                tracing::info!(%file, before, after, "the store was mostly empty and has been made smaller");
                Ok(db)
            }
            Err(error) => {
                tracing::warn!(%file, %error, "the store is mostly empty and could not be made smaller");
                drop(db);
                self.open_checked()
            }
        }
    }

    /// Opens the database after a failure, if it still is the one of this start; says the number of its last batch.
    pub(super) fn reopen(&self, start: &Start) -> Result<(Database, u64), Fault> {
        // An empty file would be taken for a new database.
        if std::fs::metadata(&self.file)?.len() == 0 {
            return Err(Fault::Damaged("the file is empty".to_owned()));
        }
        if self.unsynced.load(Ordering::Acquire) {
            Medium::open(&self.file, &self.wrap, self.unsynced.clone())?.rewrite()?;
        }
        let db = self.open_checked()?;
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

    /// Finds out whether the file that is open is still the one in its folder: what is written to a file that somebody has
    /// deleted is on no disk.
    pub(super) fn expect_in_place(&self) -> Result<(), Fault> {
        if Some(self.inode_in_place()?) == *self.inode.lock() {
            return Ok(());
        }
        Err(Fault::Damaged("another file is in its place".to_owned()))
    }

    fn inode_in_place(&self) -> Result<(u64, u64), Fault> {
        let file = std::fs::metadata(&self.file)?;
        Ok((file.dev(), file.ino()))
    }

    /// Opens the database and checks all its sums: what a disk has forgotten is found now, and not when a client asks for it.
    fn open_checked(&self) -> Result<Database, Fault> {
        let medium = Medium::open(&self.file, &self.wrap, self.unsynced.clone())?;
        *self.inode.lock() = Some(self.inode_in_place()?);
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
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
