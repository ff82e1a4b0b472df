//! Who reaches a listener, and who gets in there without a name.

use std::net::SocketAddr;

use super::{Listener, Settings};

/// Whether only this machine can reach the address.
#[must_use]
pub fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Listener {
    /// Whether clients on other machines get to this listener: directly, or through the proxy that stands in front of it.
    #[must_use]
    pub fn is_reached_by_others(&self) -> bool {
        !is_local(self.bind) || self.proxy_protocol
    }

    /// Whether of the web pages only those that this machine serves may open a WebSocket here: where it needs no name to come
    /// in and only this machine reaches, any page that somebody on it looks at could speak to the broker. `anonymous`:
    /// clients without a name are let in. `origins` says otherwise.
    #[must_use]
    pub fn admits_local_pages_only(&self, anonymous: bool) -> bool {
        anonymous && self.protocol.is_websocket() && self.origins.is_empty() && !self.is_reached_by_others()
    }
}

impl Settings {
    /// Whether this listener lets clients in that prove no user name.
    ///
    /// What the listener says for itself counts before what `access` says for all. Without leave from either, they are let in
    /// only where nothing at all is said about who may connect and only this machine connects.
    #[must_use]
    pub fn admits_anonymous(&self, listener: &Listener) -> bool {
        let unguarded =
            self.access.password_file.is_none() && listener.client_ca.is_none() && !listener.is_reached_by_others();
        listener.allow_anonymous.unwrap_or(self.access.allow_anonymous || unguarded)
    }

    /// Whether it has been said who may use this listener: those with a password, those with a certificate, or everybody.
    pub(super) fn says_who_may_use(&self, listener: &Listener) -> bool {
        self.access.password_file.is_some()
            || (listener.client_ca.is_some() && listener.require_client_cert)
            || listener.allow_anonymous.unwrap_or(self.access.allow_anonymous)
    }

    /// Whether any client can prove its user name.
    pub(super) fn proves_names(&self) -> bool {
        self.listeners.iter().any(|listener| self.proves_names_at(listener))
    }

    /// Whether a client of this listener can.
    pub(super) fn proves_names_at(&self, listener: &Listener) -> bool {
        self.access.password_file.is_some() || listener.client_ca.is_some()
    }
}
