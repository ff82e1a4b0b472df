//! Which gateways there are, as far as connections tell: a client that is subscribed to `thing/product/{sn}/services`, the
//! commands to a gateway, is that gateway or stands for it.

use super::broker::Broker;
use super::session::{Session, State};
use crate::feed::Change;
use crate::route::Subscriber as _;
use dashmap::DashMap;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;

/// The sessions that take the commands to a gateway, by its serial number: one, as a rule.
#[derive(Debug, Default)]
pub(super) struct Docks(DashMap<Box<str>, SmallVec<[Arc<Session>; 1]>, ahash::RandomState>);

/// Who takes the commands to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dock {
    /// The serial number.
    pub gateway: String,
    /// The client identifier.
    pub client_id: String,
    /// The user name, if it was proved.
    pub user: Option<String>,
    /// From where it is connected, or was last; unknown after a restart.
    pub address: Option<SocketAddr>,
    /// Whether it is connected.
    pub is_online: bool,
    /// Since when it is, or is not any more, in milliseconds since the epoch by the broker's clock.
    pub since_ms: u64,
}

/// The serial number in an exact filter for the commands to a gateway.
fn gateway_of(filter: &str) -> Option<&str> {
    let gateway = filter.strip_prefix("thing/product/")?.strip_suffix("/services")?;
    let is_name = !gateway.is_empty() && !gateway.contains(['/', '+', '#']);
    is_name.then_some(gateway)
}

impl Docks {
    fn insert(&self, gateway: &str, session: &Arc<Session>) {
        let mut sessions = self.0.entry(gateway.into()).or_default();
        sessions.retain(|other| other.key() != session.key());
        sessions.push(session.clone());
    }

    fn remove(&self, gateway: &str, session: u64) {
        self.0.remove_if_mut(gateway, |_, sessions| {
            sessions.retain(|other| other.key() != session);
            sessions.is_empty()
        });
    }

    fn sessions(&self, gateway: &str) -> SmallVec<[Arc<Session>; 1]> {
        self.0.get(gateway).map(|sessions| sessions.clone()).unwrap_or_default()
    }
}

impl Broker {
    /// A session has subscribed to `filter`, for itself alone.
    pub(super) fn note_dock(&self, filter: &str, session: &Arc<Session>) {
        if let Some(gateway) = gateway_of(filter) {
            self.docks.insert(gateway, session);
            self.tell_of(gateway);
        }
    }

    /// A session is not subscribed to `filter` any more.
    pub(super) fn forget_dock(&self, filter: &str, session: u64) {
        if let Some(gateway) = gateway_of(filter) {
            self.docks.remove(gateway, session);
            self.tell_of(gateway);
        }
    }

    /// Tells those who watch that a session's client has come or gone. Not under its lock.
    pub(super) fn tell_of_docks(&self, session: &Session) {
        if !self.feed().is_watched() {
            return;
        }
        let filters: Vec<_> =
            session.state().subscriptions.keys().filter(|f| gateway_of(f).is_some()).cloned().collect();
        for gateway in filters.iter().filter_map(|filter| gateway_of(filter)) {
            self.tell_of(gateway);
        }
    }

    fn tell_of(&self, gateway: &str) {
        self.feed().tell(|| Change::Gateway(gateway.into()));
    }

    /// Who takes the commands to this gateway: the client whose identifier it is, else one that is connected.
    #[must_use]
    pub fn dock(&self, gateway: &str) -> Option<Dock> {
        let sessions = self.docks.sessions(gateway);
        let rank = |session: &&Arc<Session>| (session.client_id() == gateway, session.is_online());
        let session = sessions.iter().max_by_key(rank)?;
        Some(dock(gateway, session, &session.state()))
    }

    /// Every gateway whose commands somebody takes, by serial number.
    #[must_use]
    pub fn docks(&self) -> Vec<Dock> {
        let mut gateways: Vec<Box<str>> = self.docks.0.iter().map(|entry| entry.key().clone()).collect();
        gateways.sort_unstable();
        gateways.iter().filter_map(|gateway| self.dock(gateway)).collect()
    }
}

fn dock(gateway: &str, session: &Session, state: &State) -> Dock {
    let client = &state.client;
    Dock {
        gateway: gateway.to_owned(),
        client_id: session.client_id().to_string(),
        user: client.identity.username.as_ref().map(ToString::to_string),
        address: client.peer,
        is_online: state.link.is_some(),
        since_ms: state.since_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_commands_to_one_gateway_make_a_dock() {
        assert_eq!(gateway_of("thing/product/8UUXN3D00A1B2C/services"), Some("8UUXN3D00A1B2C"));
        for other in [
            "thing/product/+/services",
            "thing/product/#/services",
            "thing/product//services",
            "thing/product/a/b/services",
            "thing/product/a/services_reply",
            "thing/product/services",
        ] {
            assert_eq!(gateway_of(other), None, "{other}");
        }
    }
}
