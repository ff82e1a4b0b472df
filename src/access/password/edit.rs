//! Changes one user's line of a password file and leaves every other byte as it is.
//!
//! The file is replaced in one step: a broker that reads it meanwhile sees the old one or the new one.

use super::hash::Hash;
use super::line::{self, NameError, check_name};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;
use thiserror::Error;

/// The longest password, in bytes: what fits into a CONNECT.
pub const PASSWORD_MAX: usize = 65_535;

/// How long another change may take. None takes as long, but anybody who can read the folder can lock it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a password file was not changed.
#[derive(Debug, Error)]
pub enum EditError {
    /// The name cannot stand in the file.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The password cannot be used by an MQTT client.
    #[error("the password {0}")]
    Password(&'static str),
    /// There is nothing to delete.
    #[error("{} has no such user", .0.display())]
    NoSuchUser(PathBuf),
    /// It is a folder, a device or the like.
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
    /// Another process has the folder's lock.
    #[error("{} is locked by another process: end that one (lslocks shows it), and try again", .0.display())]
    Locked(PathBuf),
    /// The system refused something.
    #[error("{} cannot be {what}: {source}", .path.display())]
    Io {
        /// What was tried, as in "cannot be read".
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl EditError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}

/// What has become of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not in the file before.
    Added,
    /// It has another hash.
    Replaced,
    /// It is gone.
    Deleted,
}

/// Whether a client can log in with this password.
///
/// # Errors
/// [`EditError::Password`] says why not.
pub fn check_password(password: &[u8]) -> Result<(), EditError> {
    Err(EditError::Password(if password.is_empty() {
        "is empty"
    } else if password.len() > PASSWORD_MAX {
        "is longer than 65535 bytes"
    } else if password.contains(&0) {
        "has a zero byte in it, at which Mosquitto takes it to end"
    } else {
        return Ok(());
    }))
}

/// Gives a user this hash. A file that is not there is made, for its owner alone to read.
///
/// # Errors
/// If the name cannot be used or the file cannot be changed; then it is as it was.
pub fn set(path: &Path, name: &str, hash: &Hash) -> Result<Change, EditError> {
    check_name(name)?;
    edit(path, |old| Some(with(old.unwrap_or_default(), name, hash)))
}

/// Takes a user out.
///
/// # Errors
/// If there is no such user or the file cannot be changed; then it is as it was.
pub fn delete(path: &Path, name: &str) -> Result<Change, EditError> {
    check_name(name)?;
    edit(path, |old| without(old?, name).map(|new| (new, Change::Deleted)))
}

fn edit(path: &Path, change: impl FnOnce(Option<&[u8]>) -> Option<(Vec<u8>, Change)>) -> Result<Change, EditError> {
    let path = &followed(path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // One at a time, else two that read the same file would lose one's change. A file system without locks has none to
    // offer; there the last one wins.
    let lock = File::open(folder).map_err(EditError::io("opened", folder))?;
    if !is_locked_within(PATIENCE, &lock) {
        return Err(EditError::Locked(folder.to_owned()));
    }
    let old = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(EditError::NotAFile(path.clone())),
        Ok(metadata) => Some((metadata, fs::read(path).map_err(EditError::io("read", path))?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(EditError::io("read", path)(error)),
    };
    let Some((new, change)) = change(old.as_ref().map(|(_, bytes)| &bytes[..])) else {
        return Err(EditError::NoSuchUser(path.clone()));
    };
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    let mut file = tempfile::Builder::new() // for its owner alone to read and write
        .prefix(&prefix)
        .tempfile_in(folder)
        .map_err(EditError::io("written to", folder))?;
    fill(&mut file, &new, old.map(|(metadata, _)| metadata)).map_err(EditError::io("replaced", path))?;
    file.persist(path).map_err(|error| EditError::io("replaced", path)(error.error))?;
    // The name is in the folder, and lasts as the folder does.
    lock.sync_all().map_err(EditError::io("written to", folder))?;
    Ok(change)
}

/// Whether the lock was got in time, or there is none to get.
fn is_locked_within(patience: Duration, folder: &File) -> bool {
    let began = Instant::now();
    while let Err(TryLockError::WouldBlock) = folder.try_lock() {
        if began.elapsed() >= patience {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

fn fill(file: &mut NamedTempFile, bytes: &[u8], old: Option<fs::Metadata>) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(old) = old {
        let new = file.as_file().metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(file.as_file(), Some(old.uid()), Some(old.gid()))?;
        }
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()
}

/// The file that a symbolic link stands for, so that the link stays one.
fn followed(path: &Path) -> Result<PathBuf, EditError> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(path.to_owned()),
        Err(error) => Err(EditError::io("opened", path)(error)),
    }
}

/// The file with this user's hash: in the place of the user's line, or at the end.
fn with(old: &[u8], name: &str, hash: &Hash) -> (Vec<u8>, Change) {
    let entry = format!("{name}:{hash}");
    let mut new = Vec::with_capacity(old.len() + entry.len() + 4);
    let mut found = false;
    for line in old.split_inclusive(|byte| *byte == b'\n') {
        if line::name(line) != Some(name.as_bytes()) {
            new.extend_from_slice(line);
        } else if !found {
            found = true;
            new.extend_from_slice(entry.as_bytes());
            new.extend_from_slice(end(line));
        }
        // A second line of the same user makes the file one that is refused: it goes.
    }
    if found {
        return (new, Change::Replaced);
    }
    let end = match old.split_inclusive(|byte| *byte == b'\n').next().map(end) {
        Some(end) if !end.is_empty() => end,
        _ => b"\n",
    };
    if new.last().is_some_and(|byte| *byte != b'\n') {
        new.extend_from_slice(end);
    }
    new.extend_from_slice(entry.as_bytes());
    new.extend_from_slice(end);
    (new, Change::Added)
}

/// The file without this user, if it has it.
fn without(old: &[u8], name: &str) -> Option<Vec<u8>> {
    let lines = old.split_inclusive(|byte| *byte == b'\n');
    let new: Vec<u8> = lines.filter(|line| line::name(line) != Some(name.as_bytes())).flatten().copied().collect();
    (new.len() < old.len()).then_some(new)
}

/// How a line ends: `\n`, `\r\n` or, if it is the last, not at all.
fn end(line: &[u8]) -> &[u8] {
    let body = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
    &line[body.len()..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::password::Cost;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn hash() -> Hash {
        Hash::new(b"hunter2", Cost::Sha512)
    }

    #[test]
    fn only_the_users_line_changes() {
        let hash = hash();
        for (old, new, change) in [
            ("", "b:HASH\n", Change::Added),
            ("a:1", "a:1\nb:HASH\n", Change::Added),
            ("a:1\r\n", "a:1\r\nb:HASH\r\n", Change::Added),
            ("# b:x\n\na : 1 \nbb:2\n", "# b:x\n\na : 1 \nbb:2\nb:HASH\n", Change::Added),
            ("a:1\nb:2\nc:3", "a:1\nb:HASH\nc:3", Change::Replaced),
            ("a:1\r\n b :2\r\nc:3\r\n", "a:1\r\nb:HASH\r\nc:3\r\n", Change::Replaced),
            ("b:2", "b:HASH", Change::Replaced),
            ("b:2\na:1\nb:3\n", "b:HASH\na:1\n", Change::Replaced),
            ("not a line\nb\nb:2\n", "not a line\nb\nb:HASH\n", Change::Replaced),
        ] {
            let expected = new.replace("HASH", &hash.to_string());
            let (bytes, did) = with(old.as_bytes(), "b", &hash);
            assert_eq!((String::from_utf8(bytes).unwrap(), did), (expected, change), "{old:?}");
        }
    }

    #[test]
    fn only_the_users_line_goes() {
        for (old, new) in [
            ("b:1", Some("")),
            ("a:1\r\nb:2\r\n# b:3\r\n", Some("a:1\r\n# b:3\r\n")),
            ("b:1\na:2\nb :3", Some("a:2\n")),
            ("a:1\nbb:2\n", None),
            ("", None),
        ] {
            assert_eq!(without(old.as_bytes(), "b").as_deref(), new.map(str::as_bytes), "{old:?}");
        }
    }

    #[test]
    fn a_new_file_is_for_its_owner_and_an_old_one_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(set(&path, "a", &hash()).unwrap(), Change::Added);
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // Only root can give files away; for others there is nothing to keep.
        let owner = if std::os::unix::fs::chown(&path, Some(1), Some(1)).is_ok() { (1, 1) } else { ids(&path) };
        assert_eq!(set(&path, "a", &hash()).unwrap(), Change::Replaced);
        assert_eq!(delete(&path, "a").unwrap(), Change::Deleted);
        assert_eq!((mode(&path), ids(&path)), (0o640, owner));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    fn ids(path: &Path) -> (u32, u32) {
        let metadata = fs::metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("passwd"), folder.path().join("link"));
        symlink("passwd", &link).unwrap();
        assert!(matches!(set(&link, "a", &hash()), Err(EditError::Io { .. })), "it leads nowhere");
        fs::write(&path, "").unwrap();
        set(&link, "a", &hash()).unwrap();
        assert!(link.is_symlink());
        assert!(fs::read_to_string(&path).unwrap().starts_with("a:$6$"));
    }

    #[test]
    fn what_cannot_be_changed_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        assert!(matches!(delete(&path, "a"), Err(EditError::NoSuchUser(_))));
        assert!(matches!(set(folder.path(), "a", &hash()), Err(EditError::NotAFile(_))));
        assert!(matches!(set(&folder.path().join("no/passwd"), "a", &hash()), Err(EditError::Io { .. })));
        assert!(matches!(set(&path, "a:b", &hash()), Err(EditError::Name(_))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn many_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        std::thread::scope(|scope| {
            for user in 0..16 {
                let path = &path;
                scope.spawn(move || set(path, &format!("dock-{user}"), &hash()).unwrap());
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 16);
    }

    #[test]
    fn a_lock_that_another_one_keeps_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::open(folder.path()).unwrap();
        let (kept, other) = (open(), open());
        kept.lock().unwrap();
        assert!(!is_locked_within(Duration::from_millis(30), &other));
        drop(kept);
        assert!(is_locked_within(Duration::ZERO, &other));
    }

    #[test]
    fn passwords_that_cannot_be_used_are_refused() {
        for password in [&b""[..], b"a\0b", &[b'p'; PASSWORD_MAX + 1]] {
            assert!(check_password(password).is_err());
        }
        assert!(check_password(&[b'\xff'; PASSWORD_MAX]).is_ok());
    }
}
