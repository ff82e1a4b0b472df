//! Who may connect, publish and read.
//!
//! [`Access`] holds one version of the rules at a time; [`Access::reload`] reads their files again and swaps them as a whole.
//! `identity` is who a client is, `rights` what it may do, `secret` what must never be printed. What a client may do follows from
//! `policy`, which is the ACL file (`acl`) and the `roles`, one of which is `dock`; `topology` is which aircraft belong to it.

pub mod acl;
mod dock;
pub mod identity;
pub mod policy;
pub mod rights;
pub mod roles;
pub mod secret;
pub mod topology;

pub use identity::{Denied, Door, Identity, Login, Proof, Role, SerialNumber};
pub use policy::Policy;
pub use rights::{GatewayRights, Reading, Rights};
pub use roles::Roles;
pub use secret::Secret;
pub use topology::Topology;

use arc_swap::ArcSwap;
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
    policy: ArcSwap<Policy>,
    topology: Arc<Topology>,
}

impl Access {
    /// Reads the files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn open(sources: Sources) -> Result<Self, Vec<Flaw>> {
        let policy = ArcSwap::from_pointee(Policy::open(&sources)?);
        Ok(Self { sources, policy, topology: Arc::default() })
    }

    /// Reads the files again. If anything is wrong with them, nothing changes.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn reload(&self) -> Result<(), Vec<Flaw>> {
        self.policy.store(Arc::new(Policy::open(&self.sources)?));
        Ok(())
    }

    /// What is allowed in the files but deserves a second thought.
    #[must_use]
    pub fn warnings(&self) -> Vec<Flaw> {
        self.policy.load().warnings(None)
    }

    /// Lets a client in, or not. It may take a while.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub async fn authenticate(&self, login: Login) -> Result<Identity, Denied> {
        Ok(Identity {
            client_id: login.client_id,
            username: None,
            listener_role: login.door.role,
            proof: Proof::Anonymous,
        })
    }

    /// Whether what let a client in would still let it in.
    #[must_use]
    pub fn still_lets_in(&self, _who: &Identity) -> bool {
        true
    }

    /// What a client may do.
    #[must_use]
    pub fn rights(&self, who: &Identity) -> Arc<Rights> {
        Arc::new(self.policy.load().rights(who, &self.topology))
    }
}
