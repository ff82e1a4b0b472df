//! The folder of the store: its file, and the lock that keeps a second broker out.

use super::error::OpenError;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const DATABASE: &str = "dockgate.redb";
/// A file of its own, since the database is closed and opened again while the broker runs.
const LOCK: &str = "dockgate.lock";
/// Nobody but the broker's user reads what clients send.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// A folder that no other dockgate uses as long as this exists.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Folder { folder: path.to_owned(), source };
        // What is there already keeps its mode: it may be used for more than this.
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let lock = options.open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Takes the folder for reading, together with others who read; makes nothing.
    pub(super) fn share(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Folder { folder: path.to_owned(), source };
        let lock = match File::open(path.join(LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::Missing { file: database(path) });
            }
            Err(error) => return Err(failed(error)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Where the database is.
    pub(super) fn database(&self) -> PathBuf {
        database(&self.path)
    }

    /// Makes the file of the database if it is not there; nobody else may read it.
    pub(super) fn make_database(&self) -> Result<(), OpenError> {
        let path = self.database();
        let failed = |source| OpenError::File { file: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(&path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode();
        if mode & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed)?;
            tracing::warn!(
                file = %path.display(),
                was = format_args!("{:03o}", mode & 0o777),
                "others could read or change what the broker keeps: they no longer can"
            );
        }
        // The entry of a new file in its folder is as much a part of it as its bytes.
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

fn database(folder: &Path) -> PathBuf {
    folder.join(DATABASE)
}

/// Whether the broker could use a folder that it is not using yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Probe {
    /// It would be made.
    New,
    /// It is there.
    Usable,
    /// It is there, and a dockgate is using it now.
    InUse,
}

/// Says what opening a store in this folder would find, and changes nothing.
///
/// # Errors
/// [`OpenError`] says why it could not be opened.
pub fn probe(folder: &Path) -> Result<Probe, OpenError> {
    let failed = |source| OpenError::Folder { folder: folder.to_owned(), source };
    let there = folder.ancestors().find(|path| path.as_os_str().is_empty() || path.exists());
    let there = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A file without a name: it is gone when it is closed.
    tempfile::tempfile_in(there).map_err(failed)?;
    if there != folder {
        return Ok(Probe::New);
    }
    for name in [LOCK, DATABASE] {
        match OpenOptions::new().read(true).write(true).open(folder.join(name)) {
            Ok(file) if name == LOCK => match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Probe::InUse),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            },
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(OpenError::File { file: folder.join(name), source }),
        }
    }
    Ok(Probe::Usable)
}
