//! One line of a password file.

use super::hash::{Fault, Hash};
use std::path::Path;
use thiserror::Error;

/// The longest user name, in bytes: what fits into a CONNECT.
pub(super) const NAME_MAX: usize = 65_535;
/// The longest hash that makes sense has 200 bytes.
pub(super) const HASH_MAX: usize = 1_024;

/// What some editors put before the first character of a file; nobody sees it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a user of this name cannot stand in a password file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the user name {0}")]
pub struct NameError(&'static str);

/// Whether a user of this name can stand in a password file and log in.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), NameError> {
    Err(NameError(if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_MAX {
        "is longer than 65535 bytes"
    } else if name.contains(':') {
        "has a colon in it, which ends a name"
    } else if name.contains(char::is_control) {
        "has a control character in it"
    } else if name.starts_with('#') {
        "begins with #, as comments do"
    } else if name.starts_with(BYTE_ORDER_MARK) {
        "begins with a byte order mark"
    } else if name.trim_ascii() != name {
        "has a blank around it, which Mosquitto and dockgate ignore"
    } else {
        return Ok(());
    }))
}

/// A line with a user.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) hash: Hash,
}

impl<'a> Line<'a> {
    /// Reads a line of the file, with or without its end; `None` if it is empty or a comment.
    ///
    /// # Errors
    /// What is wrong, and what to do about it. Nothing but a name is shown: the rest may be a password.
    pub(super) fn parse(line: &'a [u8], file: &Path) -> Result<Option<Self>, (String, String)> {
        let file = file.display();
        let wrong = |fault: &str, remedy: &str| Err((fault.to_owned(), remedy.to_owned()));
        if line.starts_with(b"#") || line.trim_ascii().is_empty() {
            return Ok(None);
        }
        if line.len() > NAME_MAX + HASH_MAX {
            return wrong("the line is too long", "check that this is the password file");
        }
        let Ok(text) = str::from_utf8(line) else {
            return wrong("the line is not UTF-8, as user names in MQTT are", "save the file as UTF-8");
        };
        let Some((name, hash)) = text.split_once(':') else {
            return Err((
                "the line is not user:hash".to_owned(),
                format!("delete it, put # before it, or write it with dockgate passwd {file} USER"),
            ));
        };
        let (name, hash) = (name.trim_ascii(), hash.trim_ascii());
        if name.starts_with(BYTE_ORDER_MARK) {
            return wrong("the file begins with a byte order mark", "save it without one");
        }
        if let Err(error) = check_name(name) {
            let remedy = format!("give the user another name, and write the line with dockgate passwd {file} USER");
            return Err((error.to_string(), remedy));
        }
        match Hash::parse(hash) {
            Ok(hash) => Ok(Some(Self { name, hash })),
            Err(Fault::PlainText) => Err((
                format!("the password of user {} is not hashed", shown(name)),
                format!(
                    "run dockgate passwd {file} {}, or mosquitto_passwd -U {file} if none in the file is hashed",
                    quoted(name)
                ),
            )),
            Err(Fault::Malformed(words)) => Err((
                format!("the hash of user {} {words}", shown(name)),
                format!("write it again with dockgate passwd {file} {}", quoted(name)),
            )),
        }
    }
}

/// The user of a line, if it has one.
pub(super) fn name(line: &[u8]) -> Option<&[u8]> {
    if line.starts_with(b"#") {
        return None;
    }
    let colon = memchr::memchr(b':', line)?;
    Some(line[..colon].trim_ascii())
}

/// A name for a message: quoted, of a bounded length.
pub(super) fn shown(name: &str) -> String {
    const SHOWN_MAX: usize = 64;
    match name.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// A name for a command line: as it is if a shell takes it so.
fn quoted(name: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if name.bytes().all(plain) && !name.starts_with('-') && name.len() <= 64 { name } else { "USER" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_used_are_refused() {
        for name in ["", "a:b", "a\nb", "a\u{7f}", "#a", " a", "a ", "\u{feff}a", &"n".repeat(NAME_MAX + 1)] {
            assert!(check_name(name).is_err(), "{name:.10?}");
        }
        for name in ["a", "a b", "ü", "4TADL2M0010099", "a#", &"n".repeat(NAME_MAX)] {
            assert!(check_name(name).is_ok(), "{name:.10?}");
        }
    }
}
