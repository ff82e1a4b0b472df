//! The long-lived keys.

use std::path::{Path, PathBuf};

use thiserror::Error;
use toml_edit::{ImDocument, Item};

use crate::access::read;
use crate::secret::Secret;

/// The largest file of keys that is read; two keys take some 100 bytes.
const LARGEST: u64 = 1 << 20;
/// What a file of keys looks like.
const SHAPE: &str = "access_key_id = \"…\" and secret_access_key = \"…\", a line each";

/// A key of the object store, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The key's name, which goes over the wire as it is. It is not shown either: it says whose key it is.
    pub access_key_id: Secret,
    /// The key.
    pub secret_access_key: Secret,
}

impl KeysError {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it, and what to do about it.
    #[must_use]
    pub fn fault_and_remedy(&self) -> (String, String) {
        (format!("the object store's keys cannot be read ({})", self.fault), format!("give a file with {SHAPE}"))
    }
}

impl KeyPair {
    /// The key's name as text; it was one when it was read.
    pub(super) fn id(&self) -> &str {
        std::str::from_utf8(self.access_key_id.expose()).unwrap_or_default()
    }
}

/// Where the keys come from.
#[derive(Debug)]
pub(super) enum Keys {
    Given(KeyPair),
    /// Read again each time.
    In(PathBuf),
}

impl Keys {
    pub(super) fn read(&self) -> Result<KeyPair, KeysError> {
        match self {
            Self::Given(pair) => Ok(pair.clone()),
            Self::In(path) => read(path).map_err(|fault| KeysError { path: path.clone(), fault }),
        }
    }
}

/// A file of keys that cannot be used. It says nothing of what is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the object store's keys cannot be read from {path:?} ({fault}); give a file with {SHAPE}")]
pub struct KeysError {
    path: PathBuf,
    fault: String,
}

fn read(path: &Path) -> Result<KeyPair, String> {
    let bytes = read::read(path, LARGEST).map_err(|error| error.to_string())?;
    let text = str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
    // The parser's own message quotes the line.
    let document = ImDocument::parse(text).map_err(|_| "it is not TOML".to_owned())?;
    if document.iter().any(|(name, _)| !["access_key_id", "secret_access_key"].contains(&name)) {
        return Err("it has something else than these two".to_owned());
    }
    let value = |name: &str| {
        let text = document.get(name).and_then(Item::as_str).ok_or_else(|| format!("it has no text {name}"))?;
        is_usable(text.as_bytes()).then(|| Secret::from(text)).ok_or_else(|| format!("{name} is no key"))
    };
    Ok(KeyPair { access_key_id: value("access_key_id")?, secret_access_key: value("secret_access_key")? })
}

/// Keys are printable ASCII without spaces; anything else, such as a line end that was pasted along, is a mistake that would
/// only show as a signature that does not match.
pub(crate) fn is_usable(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= 1024 && key.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<KeyPair, KeysError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Keys::In(file.path().to_owned()).read()
    }

    #[test]
    fn a_file_of_keys_is_read_and_shows_nothing_of_them() {
        let pair = read_text("# of the broker\naccess_key_id = \"AKIA1\"\nsecret_access_key = 'x/y+z='\n").unwrap();
        assert_eq!((pair.id(), pair.secret_access_key.expose()), ("AKIA1", &b"x/y+z="[..]));
        assert!(!format!("{pair:?}").contains("AKIA1"));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason_and_without_what_is_in_it() {
        for (text, reason) in [
            ("", "no text access_key_id"),
            ("access_key_id = 'hunter2'", "no text secret_access_key"),
            ("access_key_id = 5\nsecret_access_key = 'hunter2'", "no text access_key_id"),
            ("access_key_id = 'a'\nsecret_access_key = ''", "secret_access_key is no key"),
            ("access_key_id = 'a'\nsecret_access_key = \"hunter2\\n\"\n", "secret_access_key is no key"),
            ("access_key_id = 'a'\nsecret_access_key = 'b'\nhunter2 = 1", "something else"),
            ("hunter2:hunter2", "not TOML"),
        ] {
            let error = read_text(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("give a file with"), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let missing = Keys::In("/nowhere/s3-keys".into()).read().unwrap_err().to_string();
        assert!(missing.contains("/nowhere/s3-keys") && missing.contains("No such file"), "{missing}");
    }
}
