//! Looks into a store that no broker has open, and leaves it as it is.

mod dump;
mod overlay;

use super::database::CACHE;
use super::error::{Fault, OpenError, guarded};
use super::folder::Folder;
use super::format::{self, MIGRATIONS};
use super::load;
use super::tables::{
    ENDED, FLIGHTS, FORMAT, GATEWAYS, MESSAGES, META, RECEIVED, RETAINED, SESSIONS, STARTS, SUBSCRIPTIONS, WILLS,
};
use overlay::Overlay;
use redb::{Builder, Database, Key, ReadTransaction, ReadableDatabase as _, ReadableTableMetadata as _};
use redb::{TableDefinition, Value};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use dump::dump;

/// A store that is looked into.
struct Inspected {
    db: Database,
    file: PathBuf,
    size: u64,
    /// Its broker has closed it.
    is_closed: bool,
    /// No broker takes it meanwhile.
    _folder: Folder,
}

impl Inspected {
    /// Opens the store of a folder, all of whose sums are checked.
    fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let folder = Folder::share(data_dir)?;
        let path = folder.database();
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::Missing { file: path.clone() },
            _ => OpenError::File { file: path.clone(), source },
        })?;
        let repaired = Arc::new(AtomicBool::new(false));
        let seen = repaired.clone();
        let opened = guarded(|| {
            let size = file.metadata()?.len();
            if size == 0 {
                return Err(Fault::Damaged("it is empty".to_owned()));
            }
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE).set_repair_callback(move |_| seen.store(true, Ordering::Relaxed));
            let mut db = builder.create_with_backend(Overlay::over(file)?)?;
            let is_closed = !repaired.load(Ordering::Relaxed);
            if !db.check_integrity()? {
                return Err(Fault::Damaged("its free space is not what its tables leave free".to_owned()));
            }
            Ok((db, size, is_closed))
        });
        let (db, size, is_closed) = opened.map_err(|fault| fault.at(&path))?;
        Ok(Self { db, file: path, size, is_closed, _folder: folder })
    }

    /// Runs what reads it.
    fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T, Fault>) -> Result<T, OpenError> {
        let outcome = guarded(|| {
            let txn = self.db.begin_read()?;
            let (known, meta) = (format::latest(MIGRATIONS), txn.open_table(META)?);
            match format::number_of(&meta, FORMAT)? {
                Some(found) if found > known => Err(Fault::Newer { found, known }),
                Some(found) if found < known => Err(Fault::Older { found, known }),
                Some(_) => work(&txn),
                None => Err(Fault::Damaged("it says no format".to_owned())),
            }
        });
        outcome.map_err(|fault| fault.at(&self.file))
    }
}

/// Checks a store: every sum of the file and every row. Says what is in it.
///
/// # Errors
/// [`OpenError`] says what is wrong with it, or that a broker has it open.
pub fn check(data_dir: &Path) -> Result<String, OpenError> {
    let store = Inspected::open(data_dir)?;
    store.read(|txn| {
        let loaded = load::everything(txn)?;
        let meta = txn.open_table(META)?;
        let number = |name| format::number_of(&meta, name).map(Option::unwrap_or_default);
        let (format, starts) = (number(FORMAT)?, number(STARTS)?);
        let mut text = format!("OK: {} can be used\n", store.file.display());
        let ended = if store.is_closed { "closed" } else { "not closed: its broker was killed, or power went" };
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "format {format}, started {starts} times, {ended}\n{} bytes, all sums right", store.size);
        count(txn, "sessions", SESSIONS, &mut text)?;
        count(txn, "wills", WILLS, &mut text)?;
        count(txn, "subscriptions", SUBSCRIPTIONS, &mut text)?;
        count(txn, "messages that wait for sessions", MESSAGES, &mut text)?;
        count(txn, "messages under way to clients", FLIGHTS, &mut text)?;
        count(txn, "QoS 2 messages that clients have not released", RECEIVED, &mut text)?;
        count(txn, "retained messages", RETAINED, &mut text)?;
        count(txn, "gateways", GATEWAYS, &mut text)?;
        count(txn, "ended uploads", ENDED, &mut text)?;
        let orphans = loaded.orphans.len();
        if orphans > 0 {
            let _ = writeln!(text, "{orphans} remains of what has ended, which the next start clears away");
        }
        Ok(text)
    })
}

fn count<K: Key, V: Value>(
    txn: &ReadTransaction,
    what: &str,
    table: TableDefinition<'static, K, V>,
    text: &mut String,
) -> Result<(), Fault> {
    let table = txn.open_table(table)?;
    let (rows, bytes) = (table.len()?, table.stats()?.stored_bytes());
    let _ = writeln!(text, "{rows} {what}, {bytes} bytes");
    Ok(())
}
