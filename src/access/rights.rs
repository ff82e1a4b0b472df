//! What one client may do.

use super::acl::levels::{Levels, has_wildcard};
use super::acl::tree::{Modes, Placeholder, RuleTree, Subject};
use super::dock;
use super::identity::Identity;
use super::topology::{Announced, Topology};
use std::sync::Arc;

/// What one client may do, by one version of the rules.
///
/// A `deny` of the ACL file that counts for the client comes before what its role grants, and that before what the file
/// allows.
#[derive(Debug)]
pub struct Rights {
    /// Nothing if no rules concern the client: then it may do everything.
    grants: Option<Grants>,
}

/// The rules that concern one client. The trees are shared by all.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// The ACL file's section for the client.
    pub(super) own: Option<Arc<RuleTree>>,
    /// The ACL file's patterns.
    pub(super) patterns: Option<Arc<RuleTree>>,
    /// The client's name is not to be trusted in a pattern that allows something.
    pub(super) patterns_only_deny: bool,
    /// `%u` in the patterns.
    pub(super) username: Option<Box<str>>,
    /// `%c` in the patterns.
    pub(super) client_id: Option<Box<str>>,
    /// What the client's role grants.
    pub(super) role: Option<&'static RuleTree>,
    /// The client as a gateway, if its role makes it one.
    pub(super) gateway: Option<Gateway>,
}

/// A client that is a gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    serial_number: Box<str>,
    aircraft: Arc<Announced>,
    topology: Arc<Topology>,
}

impl Gateway {
    pub(super) fn join(serial_number: &str, topology: &Arc<Topology>) -> Self {
        let aircraft = topology.join(serial_number);
        Self { serial_number: serial_number.into(), aircraft, topology: Arc::clone(topology) }
    }
}

/// How much of what a filter matches a client may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// All of it.
    All,
    /// Some of it: each message has to be asked for.
    Some,
    /// None of it.
    Nothing,
}

/// What one client may do with one gateway (`thing/product/{sn}/…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayRights {
    /// Speak as the gateway: `services_reply`, `events`.
    pub speak: bool,
    /// Command it: `services`.
    pub command: bool,
}

impl Rights {
    /// The rights of `who` where there are no rules: everything.
    #[must_use]
    pub fn everything(_who: &Identity) -> Self {
        Self { grants: None }
    }

    pub(super) fn ruled(grants: Grants) -> Self {
        Self { grants: Some(grants) }
    }

    /// Whether it may publish to a topic. Nobody may to those of the broker itself (4.7.2), whatever the rules say: who reads
    /// them takes them for the broker's word.
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> bool {
        !is_the_brokers(topic)
            && self.grants.as_ref().is_none_or(|grants| grants.permit(Levels::of(topic), Modes::WRITE))
    }

    /// Whether a message that it may publish to a topic may be retained there.
    ///
    /// A dock's may where it publishes as itself, or the ACL file lets it: these topics are a handful. Those of its
    /// aircraft are as many as it cares to announce. Everybody else's may.
    #[must_use]
    pub fn may_retain(&self, topic: &str) -> bool {
        self.grants.as_ref().is_none_or(|grants| grants.permit_lastingly(Levels::of(topic), Modes::WRITE) == Some(true))
    }

    /// Whether a message of this topic may be delivered to it.
    #[must_use]
    pub fn may_read(&self, topic: &str) -> bool {
        self.grants.as_ref().is_none_or(|grants| grants.permit(Levels::of(topic), Modes::READ))
    }

    /// How much of what `filter` (without `$share/{group}/`) matches it may read.
    ///
    /// A filter without wildcards is [`Reading::Nothing`] exactly if [`Rights::may_read`] says no; but [`Reading::Some`] if it says yes
    /// only because an aircraft is announced, which another message can change.
    #[must_use]
    pub fn reading(&self, filter: &str) -> Reading {
        self.grants.as_ref().map_or(Reading::All, |grants| grants.reading(filter))
    }

    /// What it may do with the gateway with this serial number.
    #[must_use]
    pub fn gateway(&self, serial_number: &str) -> GatewayRights {
        let Some(grants) = &self.grants else { return GatewayRights { speak: true, command: true } };
        let may_publish = |last: &'static str| {
            let topic = ["thing", "product", serial_number, last];
            grants.permit_lastingly(topic.iter().copied(), Modes::WRITE) == Some(true)
        };
        GatewayRights {
            speak: may_publish("services_reply") || may_publish("events"),
            command: may_publish("services"),
        }
    }

    /// Takes notice of a message that the client has published and was allowed to: a dock announces its aircraft with
    /// `update_topo`.
    pub fn notice(&self, topic: &str, payload: &[u8]) {
        if let Some(gateway) = self.grants.as_ref().and_then(|grants| grants.gateway.as_ref())
            && dock::status_of(topic) == Some(&*gateway.serial_number)
        {
            gateway.aircraft.read(payload, &gateway.topology);
        }
    }
}

/// Whether a topic is in the tree `$SYS/#`.
fn is_the_brokers(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Grants {
    #[inline]
    fn permit<'t>(&self, topic: impl Iterator<Item = &'t str> + Clone, mode: Modes) -> bool {
        self.permit_lastingly(topic.clone(), mode).unwrap_or_else(|| self.permit_for_aircraft(topic, mode))
    }

    /// Whether the rules permit it whatever aircraft are announced; `None` if they say nothing about it.
    #[inline]
    fn permit_lastingly<'t>(&self, topic: impl Iterator<Item = &'t str> + Clone, mode: Modes) -> Option<bool> {
        if let Some(own) = &self.own {
            let said = own.covering(topic.clone(), self);
            if said.has(Modes::DENY) {
                return Some(false);
            }
            if said.has(mode) {
                return Some(true);
            }
        }
        let mut allowed = Modes::default();
        if let Some(patterns) = &self.patterns {
            let said = self.trusted(patterns.covering(topic.clone(), self));
            if said.has(Modes::DENY) {
                return Some(false);
            }
            allowed |= said;
        }
        if let Some(role) = self.role {
            allowed |= role.covering(topic, self);
        }
        allowed.has(mode).then_some(true)
    }

    #[inline]
    fn permit_for_aircraft<'t>(&self, topic: impl Iterator<Item = &'t str> + Clone, mode: Modes) -> bool {
        self.gateway.is_some() && dock::FOR_AIRCRAFT.covering(topic, self).has(mode)
    }

    /// What counts of what the patterns say.
    fn trusted(&self, said: Modes) -> Modes {
        if self.patterns_only_deny { said.denied() } else { said }
    }

    fn reading(&self, filter: &str) -> Reading {
        let levels = Levels::of(filter);
        if !has_wildcard(filter) {
            return match self.permit_lastingly(levels, Modes::READ) {
                Some(true) => Reading::All,
                None if self.permit_for_aircraft(levels, Modes::READ) => Reading::Some,
                Some(false) | None => Reading::Nothing,
            };
        }
        let ask = |tree: Option<&RuleTree>| {
            let covering = tree.map(|tree| tree.covering(levels, self)).unwrap_or_default();
            (covering, tree.map(|tree| tree.overlapping(levels, self)).unwrap_or_default())
        };
        let (own, own_partly) = ask(self.own.as_deref());
        let (patterns, patterns_partly) = ask(self.patterns.as_deref());
        let (patterns, patterns_partly) = (self.trusted(patterns), self.trusted(patterns_partly));
        let (role, mut role_partly) = ask(self.role);
        if self.gateway.is_some() {
            role_partly |= dock::FOR_AIRCRAFT.overlapping(levels, self);
        }

        let nothing = own.has(Modes::DENY)
            || !(own_partly | patterns_partly | role_partly).has(Modes::READ)
            || (patterns.has(Modes::DENY) && !own_partly.has(Modes::READ));
        // What the client's own rules allow, no pattern denies.
        let all = !own_partly.has(Modes::DENY)
            && (own.has(Modes::READ) || (!patterns_partly.has(Modes::DENY) && (patterns | role).has(Modes::READ)));
        match (nothing, all) {
            (true, _) => Reading::Nothing,
            (false, true) => Reading::All,
            (false, false) => Reading::Some,
        }
    }
}

impl Subject for Grants {
    #[inline]
    fn is(&self, placeholder: Placeholder, level: &str) -> bool {
        match placeholder {
            Placeholder::Username => self.username.as_deref() == Some(level),
            Placeholder::ClientId => self.client_id.as_deref() == Some(level),
            Placeholder::Gateway => self.gateway.as_ref().is_some_and(|gateway| *gateway.serial_number == *level),
            Placeholder::Aircraft => {
                self.gateway.as_ref().is_some_and(|gateway| gateway.aircraft.has(level, &gateway.topology))
            }
        }
    }

    fn has(&self, placeholder: Placeholder) -> bool {
        let is_level = |name: &str| !name.is_empty() && !name.contains('/');
        match placeholder {
            Placeholder::Username => self.username.as_deref().is_some_and(is_level),
            Placeholder::ClientId => self.client_id.as_deref().is_some_and(is_level),
            Placeholder::Gateway => self.gateway.is_some(),
            Placeholder::Aircraft => self.gateway.as_ref().is_some_and(|gateway| !gateway.aircraft.is_empty()),
        }
    }
}
