//! Why a store cannot be opened, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made or used.
    #[error(
        "data_dir = {folder:?} cannot be used: it must be a folder that this user may write to; make it one, name \
         another, or set persistence.enabled = false to keep nothing"
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "data_dir = {folder:?} is in use by another dockgate: stop that one, or give each a data_dir of its own \
         (two brokers cannot share their data)"
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The file cannot be read or written.
    #[error(
        "{file:?} cannot be read and written: see that this user may, that the disk has space left and is not read-only"
    )]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is in the file makes no sense.
    #[error(
        "{file:?} is damaged ({fault}): put a copy from a backup in its place, or move it away to begin with nothing \
         (dockgate store check says more)"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// A later dockgate has written it.
    #[error(
        "{file:?} has format {found}, and this dockgate ({version}) knows formats up to {known}: run the dockgate that \
         wrote it or a later one, or move it away to begin with nothing",
        version = env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u64,
        /// The latest that is known.
        known: u64,
    },
    /// There is no store yet.
    #[error("there is no {file:?}: no dockgate has kept anything there")]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The thread that commits did not start.
    #[error("the thread that writes the store cannot start")]
    Thread(#[source] io::Error),
    /// There is no randomness for the key of the digests.
    #[error("the system gives no random bytes")]
    Random,
}

/// What went wrong inside the database, before it is known which file it was.
#[derive(Debug)]
pub(super) enum Fault {
    Redb(redb::Error),
    /// A row that nobody would have written, or a panic.
    Damaged(String),
    Newer {
        found: u64,
        known: u64,
    },
    NoRandom,
}

macro_rules! of_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Redb(error.into())
            }
        })*
    };
}

of_redb!(
    redb::Error,
    redb::StorageError,
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::CommitError,
    redb::CompactionError,
    io::Error
);

impl Fault {
    pub(super) fn at(self, file: &Path) -> OpenError {
        let file = file.to_owned();
        match self {
            Self::Newer { found, known } => OpenError::Newer { file, found, known },
            Self::NoRandom => OpenError::Random,
            Self::Damaged(fault) => OpenError::Damaged { file, fault },
            // redb calls a file that is none of its own InvalidData, and one that ends too early UnexpectedEof.
            Self::Redb(redb::Error::Io(source))
                if !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                OpenError::File { file, source }
            }
            Self::Redb(redb::Error::DatabaseAlreadyOpen) => {
                OpenError::InUse { folder: file.parent().unwrap_or(Path::new("")).to_owned() }
            }
            Self::Redb(error) => OpenError::Damaged { file, fault: error.to_string() },
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redb(error) => error.fmt(f),
            Self::Damaged(fault) => f.write_str(fault),
            Self::Newer { found, .. } => write!(f, "it has format {found}"),
            Self::NoRandom => f.write_str("the system gives no random bytes"),
        }
    }
}

/// Runs what may panic on a damaged file (redb says of itself that it does), and takes a panic for a fault.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(Fault::Damaged(format!("the database stopped half-way: {text}")))
    })
}
