//! Who may do what.
//!
//! There are no rules yet: everybody whom a listener lets in may publish and subscribe to everything, speak for every
//! gateway and command every dock. The questions are asked here already, so that rules have one place to stand.

/// Who a connection is, as far as the broker knows.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Client identifier.
    pub client_id: bytestring::ByteString,
    /// It speaks itself. A will speaks for one that is gone.
    pub is_here: bool,
}

/// What one client may do with one gateway (`thing/product/{sn}/…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayRights {
    /// Speak as the gateway: `services_reply`, `events`.
    pub speak: bool,
    /// Command it: `services`.
    pub command: bool,
}

/// The rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access;

impl Access {
    /// What `who` may do with the gateway with this serial number.
    #[must_use]
    pub fn gateway_rights(&self, _who: &Identity, _serial_number: &str) -> GatewayRights {
        GatewayRights { speak: true, command: true }
    }
}
