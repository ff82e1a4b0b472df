//! Who is behind a session.

use crate::access::{Identity, Rights};
use crate::config::Limits;
use bytestring::ByteString;
use std::net::SocketAddr;
use std::sync::Arc;

/// The client of a session.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) identity: Arc<Identity>,
    pub(super) rights: Arc<Rights>,
    /// The limits of its listener.
    pub(super) limits: Arc<Limits>,
    /// What the ledger knows it by.
    pub(super) presence: ByteString,
    /// From where it is connected; unknown of one that has not come back since a restart.
    pub(super) peer: Option<SocketAddr>,
}

impl Client {
    pub(super) fn new(identity: Identity, rights: Arc<Rights>, limits: Arc<Limits>) -> Self {
        // Its identifier, as docks have their serial numbers for theirs. But who may not speak as the gateway of that name does
        // not stand for it by being there, nor for another user's client; no identifier has U+0000.
        let presence = if rights.gateway(&identity.client_id).speak {
            identity.client_id.clone()
        } else {
            format!("{}\0{}", identity.client_id, identity.username.as_deref().unwrap_or_default()).into()
        };
        Self { identity: Arc::new(identity), rights, limits, presence, peer: None }
    }

    pub(super) fn at(self, peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// Whether a session of this client may become one of `other`, which has the same client identifier.
    pub(super) fn may_hand_over_to(&self, other: &Self) -> bool {
        let (owner, other) = (&self.identity.username, &other.identity.username);
        owner.is_none() || owner == other
    }
}
