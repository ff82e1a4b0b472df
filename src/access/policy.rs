//! One version of the rules: the ACL file and the roles, and what they come to for one client.

use super::acl::Acl;
use super::identity::{Identity, Role, SerialNumber};
use super::rights::{Gateway, Grants, Rights};
use super::roles::Assignment;
use super::topology::Topology;
use super::{Flaw, Sources, dock, roles};
use std::sync::Arc;

/// One version of the rules.
#[derive(Debug)]
pub struct Policy {
    acl: Option<Acl>,
    roles: Assignment,
    serial_number: SerialNumber,
}

impl Policy {
    /// Reads the rules.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn open(sources: &Sources) -> Result<Self, Vec<Flaw>> {
        Ok(Self {
            acl: sources.acl_file.as_deref().map(Acl::read).transpose()?,
            roles: Assignment::new(&sources.roles),
            serial_number: sources.serial_number,
        })
    }

    /// What deserves a second thought. `has_user` tells whether the password file, if there is one, has a user.
    #[must_use]
    pub fn warnings(&self, has_user: Option<&dyn Fn(&str) -> bool>) -> Vec<Flaw> {
        self.acl.as_ref().map_or_else(Vec::new, |acl| acl.warnings(has_user))
    }

    /// Whether a user with this name may be a dock and the name its serial number, so that it is no aircraft: see
    /// [`Topology::expect`]. Who has no role by name may have that of a listener.
    #[must_use]
    pub fn may_be_dock(&self, username: &str) -> bool {
        let role = self.roles.role(Some(username));
        self.serial_number == SerialNumber::Username && !matches!(role, Some(Role::Backend | Role::Observer))
    }

    /// What a client may do.
    #[must_use]
    pub fn rights(&self, who: &Identity, topology: &Arc<Topology>) -> Rights {
        let username = who.username.as_deref();
        let role = self.roles.role(username).or(who.listener_role);
        if self.acl.is_none() && self.roles.is_empty() && role.is_none() {
            return Rights::everything(who);
        }
        let mut grants = Grants::default();
        if let Some(acl) = &self.acl {
            grants.own = acl.section(username);
            grants.patterns = acl.patterns();
            // A pattern could grant too much to a client that called itself `+` or `#` (CVE-2017-7650).
            let is_dangerous = |name: &str| name.contains(['+', '#']);
            grants.patterns_only_deny = is_dangerous(&who.client_id) || username.is_some_and(is_dangerous);
            if grants.patterns.is_some() {
                grants.username = username.map(Into::into);
                grants.client_id = Some((*who.client_id).into());
            }
        }
        match role {
            Some(Role::Dock) => {
                if let Some(serial_number) = dock::serial_number(who, self.serial_number) {
                    grants.role = Some(&dock::AS_GATEWAY);
                    grants.gateway = Some(Gateway::join(serial_number, topology));
                }
            }
            Some(Role::Backend) => grants.role = Some(&roles::BACKEND),
            Some(Role::Observer) => grants.role = Some(&roles::OBSERVER),
            None => {}
        }
        Rights::ruled(grants)
    }
}
