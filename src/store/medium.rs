//! What the database lies on: its file, as redb sees it, and what a failed fsync asks for.
//!
//! After a failed fsync the kernel may take pages for written that are not, and says so only once: whoever then reads
//! the file sees the new bytes in the page cache and would build on what a loss of power takes away. So before the file
//! is used again, every byte that it seems to have is written once more and synced ([`Medium::rewrite`]); the database
//! then checks all its sums.

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that are written again at a time.
const CHUNK: usize = 1 << 20;

/// Puts something between the database and its file; tests make it fail.
pub(super) type Wrap = Arc<dyn Fn(FileBackend) -> Box<dyn StorageBackend> + Send + Sync>;

/// The file under a database.
#[derive(Debug)]
pub(super) struct Medium {
    backend: Box<dyn StorageBackend>,
    /// Set for ever when an fsync fails.
    unsynced: Arc<AtomicBool>,
}

/// Nothing stands between the database and its file.
pub(super) fn plain() -> Wrap {
    Arc::new(|file| Box::new(file))
}

impl Medium {
    /// Opens the file; `unsynced` becomes true when an fsync fails.
    pub(super) fn open(path: &Path, wrap: &Wrap, unsynced: Arc<AtomicBool>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Self::over(file, wrap, unsynced)
    }

    /// The same with a file that is open.
    pub(super) fn over(file: File, wrap: &Wrap, unsynced: Arc<AtomicBool>) -> io::Result<Self> {
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Self { backend: wrap(file), unsynced })
    }

    /// Writes everything once more in its place, and syncs it.
    ///
    /// Whatever happens meanwhile, each byte is what it was or what it shall be; the database never writes over what its
    /// last commit needs.
    pub(super) fn rewrite(&self) -> io::Result<()> {
        let length = self.backend.len().map_err(io_error)?;
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while at < length {
            let size = usize::try_from(length - at).unwrap_or(CHUNK).min(CHUNK);
            self.backend.read(at, &mut chunk[..size]).map_err(io_error)?;
            self.backend.write(at, &chunk[..size]).map_err(io_error)?;
            at += size as u64;
        }
        self.backend.sync_data().map_err(io_error)
    }
}

fn io_error(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> Result<u64, io::Error> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.backend.sync_data().inspect_err(|_| self.unsynced.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}
