//! Who may connect, publish and read.
//!
//! [`Access`] holds one version of the rules at a time; [`Access::reload`] reads their files again and swaps them as a whole.
//! `identity` is who a client is, `authentication` whether it is, by the file that `password` reads; `rights` what it may do,
//! `secret` what must never be printed.

mod authentication;
pub mod identity;
pub mod password;
pub mod rights;
pub mod secret;

pub use identity::{Denied, Door, Identity, Login, Proof, Role, SerialNumber};
pub use rights::{GatewayRights, Reading, Rights};
pub use secret::Secret;

use authentication::Authentication;
use password::Passwords;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// User names, in which `*` stands for any characters, by role. A name without `*` comes before one with it, and a longer one
/// before a shorter one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// Docks.
    pub dock: Vec<String>,
    /// Backends.
    pub backend: Vec<String>,
    /// Observers.
    pub observer: Vec<String>,
}

/// Where the rules come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// User names and password hashes, in Mosquitto's format.
    pub password_file: Option<PathBuf>,
    /// Topics by user, in Mosquitto's format.
    pub acl_file: Option<PathBuf>,
    /// Who has which role.
    pub roles: Roles,
    /// What the serial number of a dock is.
    pub serial_number: SerialNumber,
}

/// Something that is wrong, or unwise, about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The file.
    pub path: PathBuf,
    /// The line in it, counted from 1, if it is about one.
    pub line: Option<usize>,
    /// What is wrong.
    pub fault: String,
    /// What to do about it.
    pub remedy: String,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        match self.line {
            Some(line) => write!(f, "{path}:{line}: {}; {}", self.fault, self.remedy),
            None => write!(f, "{path}: {}; {}", self.fault, self.remedy),
        }
    }
}

/// The rules, and who has been let in by them.
#[derive(Debug)]
pub struct Access {
    sources: Sources,
    authentication: Authentication,
}

impl Access {
    /// Reads the files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn open(sources: Sources) -> Result<Self, Vec<Flaw>> {
        let passwords = sources.password_file.as_deref().map(Passwords::read).transpose()?;
        Ok(Self { sources, authentication: Authentication::new(passwords) })
    }

    /// Reads the files again. If anything is wrong with them, nothing changes.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn reload(&self) -> Result<(), Vec<Flaw>> {
        let passwords = self.sources.password_file.as_deref().map(Passwords::read).transpose()?;
        self.authentication.replace(passwords);
        Ok(())
    }

    /// What is allowed in the files but deserves a second thought.
    #[must_use]
    pub fn warnings(&self) -> Vec<Flaw> {
        self.authentication.warnings()
    }

    /// Lets a client in, or not. It may take a while.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub async fn authenticate(&self, login: Login) -> Result<Identity, Denied> {
        self.authentication.authenticate(login).await
    }

    /// Whether what let a client in would still let it in.
    #[must_use]
    pub fn still_lets_in(&self, who: &Identity) -> bool {
        self.authentication.still_lets_in(who)
    }

    /// What a client may do.
    #[must_use]
    pub fn rights(&self, who: &Identity) -> Arc<Rights> {
        Arc::new(Rights::everything(who))
    }
}
