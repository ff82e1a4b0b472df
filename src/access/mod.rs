//! Who may connect, publish and read.
//!
//! [`Access`] holds one version of the rules at a time; [`Access::reload`] reads their files again and swaps them as a whole.
//! `identity` is who a client is, `authentication` whether it is, by the file that `password` reads. What it may do is its
//! `rights`, which follow from `policy`: the ACL file (`acl`) and the `roles`, one of which is `dock`; `topology` is which
//! aircraft belong to it. `read` reads files.

pub mod acl;
mod authentication;
mod dock;
pub mod identity;
pub mod password;
pub mod policy;
pub(crate) mod read;
pub mod rights;
pub mod roles;
pub mod topology;

pub use crate::secret::Secret;
pub use identity::{Denied, Door, Identity, Login, Proof, Role, SerialNumber, Standing};
pub use policy::Policy;
pub use rights::{GatewayRights, Reading, Rights};
pub use roles::Roles;
pub use topology::Topology;

use arc_swap::ArcSwap;
use authentication::Authentication;
use password::Passwords;
use std::path::PathBuf;
use std::sync::Arc;

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
    policy: ArcSwap<Policy>,
    topology: Arc<Topology>,
}

impl Access {
    /// Reads the files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn open(sources: Sources) -> Result<Self, Vec<Flaw>> {
        let (passwords, policy) = read(&sources)?;
        let authentication = Authentication::new(passwords);
        let access = Self { sources, authentication, policy: ArcSwap::from_pointee(policy), topology: Arc::default() };
        access.expect_docks();
        Ok(access)
    }

    /// Reads the files again. If anything is wrong with them, nothing changes.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn reload(&self) -> Result<(), Vec<Flaw>> {
        let (passwords, policy) = read(&self.sources)?;
        self.authentication.replace(passwords);
        self.policy.store(Arc::new(policy));
        self.expect_docks();
        Ok(())
    }

    /// What is allowed in the files but deserves a second thought.
    #[must_use]
    pub fn warnings(&self) -> Vec<Flaw> {
        let mut warnings = self.authentication.warnings();
        let passwords = self.authentication.passwords();
        let has_user = passwords.as_ref().map(|passwords| |user: &str| passwords.hash(user).is_some());
        warnings.extend(self.policy.load().warnings(has_user.as_ref().map(|has_user| has_user as _)));
        warnings
    }

    /// Lets a client in, or not. It may take a while.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub async fn authenticate(&self, login: Login) -> Result<Identity, Denied> {
        self.authentication.authenticate(login).await
    }

    /// What has become of a client that was let in.
    #[must_use]
    pub fn standing(&self, who: &Identity) -> Standing {
        self.authentication.standing(who)
    }

    /// What proves a user name that was proved before a restart, if anything still does: see [`Access::standing`].
    #[must_use]
    pub fn proof_of(&self, username: Option<&str>, by_certificate: bool) -> Proof {
        match username {
            None => Proof::Anonymous,
            Some(_) if by_certificate => Proof::Certificate,
            Some(name) => Proof::Password(self.authentication.fingerprint(name).unwrap_or(0)),
        }
    }

    /// What a client may do.
    #[must_use]
    pub fn rights(&self, who: &Identity) -> Arc<Rights> {
        Arc::new(self.policy.load().rights(who, &self.topology))
    }

    /// A dock announces its aircraft; another dock is none.
    fn expect_docks(&self) {
        let policy = self.policy.load();
        let passwords = self.authentication.passwords();
        let users = passwords.iter().flat_map(|passwords| passwords.users());
        self.topology.expect(users.filter(|user| policy.may_be_dock(user)));
    }
}

/// Reads all files, and says everything that is wrong with any of them.
fn read(sources: &Sources) -> Result<(Option<Passwords>, Policy), Vec<Flaw>> {
    let passwords = sources.password_file.as_deref().map(Passwords::read).transpose();
    match (passwords, Policy::open(sources)) {
        (Ok(passwords), Ok(policy)) => Ok((passwords, policy)),
        (passwords, policy) => Err(passwords.err().into_iter().chain(policy.err()).flatten().collect()),
    }
}
