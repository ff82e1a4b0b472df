//! Mosquitto's `acl_file`: which topics whom.
//!
//! The format is that of mosquitto.conf(5), "acl_file", and what it means is what Mosquitto 2.0 does (`src/security_default.c`):
//! the rules before the first `user` line are for clients without a user name, those after it for the clients of that name, and
//! each `pattern` for all clients. A client's own rules decide first, and only if they say nothing about a topic the patterns do;
//! among its own rules, and again among the patterns, one with `deny` comes before the others.
//!
//! Four things differ, on purpose. Mosquitto lets everybody subscribe to everything and looks at the rules when it delivers;
//! here a subscription that could never deliver anything is refused. A name that has a `/` or is empty stands for no level,
//! and `%u` or `%c` at the first level for none that begins with `$`, as in Mosquitto after 2.0 and as the manual has it ("must
//! be the only text for that level of hierarchy"); Mosquitto 2.0 puts the name into the text, `/` and all. A user name counts
//! only if it was proved; Mosquitto without a password file takes it on trust. And rules that Mosquitto
//! reads without a word though they cannot mean what they say (`topic read` without a topic, `pattern a/x%u`) are errors.

pub(super) mod levels;
mod parse;
pub(super) mod tree;

use super::Flaw;
use super::read::read;
use ahash::AHashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::RuleTree;

/// Most bytes that are read of a file: 100,000 lines of 160.
const MOST_BYTES: u64 = 16 << 20;

/// An ACL file.
#[derive(Debug)]
pub struct Acl {
    path: PathBuf,
    anonymous: Arc<RuleTree>,
    users: AHashMap<Box<str>, Section>,
    patterns: Option<Arc<RuleTree>>,
    warnings: Vec<Flaw>,
}

#[derive(Debug)]
struct Section {
    /// The line of its first `user`.
    line: usize,
    rules: Arc<RuleTree>,
}

impl Acl {
    /// Reads the file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Vec<Flaw>> {
        match read(path, MOST_BYTES) {
            Ok(bytes) => Self::parse(path, &bytes),
            Err(error) => Err(vec![Flaw {
                path: path.to_owned(),
                line: None,
                fault: format!("cannot read the ACL file: {error}"),
                remedy: "set access.acl_file to a file that the broker may read, or leave it out".into(),
            }]),
        }
    }

    /// Reads an ACL file of this content.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, Vec<Flaw>> {
        parse::parse(path, content)
    }

    /// What is allowed in it but deserves a second thought. `has_user` tells whether the password file has a user.
    #[must_use]
    pub fn warnings(&self, has_user: Option<&dyn Fn(&str) -> bool>) -> Vec<Flaw> {
        let mut warnings = self.warnings.clone();
        if let Some(has_user) = has_user {
            let unknown = self.users.iter().filter(|(name, _)| !has_user(name));
            warnings.extend(unknown.map(|(name, section)| Flaw {
                path: self.path.clone(),
                line: Some(section.line),
                fault: format!("there is no user {name:?} in the password file"),
                remedy: "correct the name, or add the user with `dockgate passwd`".into(),
            }));
        }
        warnings.sort_by_key(|warning| warning.line);
        warnings
    }

    /// The rules for clients of this name, or without one.
    pub(super) fn section(&self, username: Option<&str>) -> Option<Arc<RuleTree>> {
        match username {
            None => Some(Arc::clone(&self.anonymous)),
            Some(name) => self.users.get(name).map(|section| Arc::clone(&section.rules)),
        }
    }

    /// The rules for all clients.
    pub(super) fn patterns(&self) -> Option<Arc<RuleTree>> {
        self.patterns.clone()
    }
}
