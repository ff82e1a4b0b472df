//! Who a connection is.

use crate::secret::Secret;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What a client is, as one word for many rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Publishes and subscribes to what the Cloud API gives to one gateway, and to the aircraft that it announces.
    Dock,
    /// Everything under `thing/` and `sys/`.
    Backend,
    /// Reads everything, publishes nothing.
    Observer,
}

/// What the serial number of a client with [`Role::Dock`] is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SerialNumber {
    /// Its user name, which a password or a certificate has proved; of a client without one its client identifier.
    #[default]
    Username,
    /// Its client identifier, which it chooses: for docks that share one user name.
    ClientId,
}

/// Who a connection is, as far as the broker knows.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Client identifier, which the client chooses.
    pub client_id: ByteString,
    /// User name, if it was proved by a password or a certificate.
    pub username: Option<ByteString>,
    /// The role that its listener gives; the rules may name another.
    pub listener_role: Option<Role>,
    /// What proved the user name.
    pub proof: Proof,
}

/// What proved a user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: there is none.
    Anonymous,
    /// The common name of a client certificate.
    Certificate,
    /// The password of an entry of the password file; the number is the entry's fingerprint.
    Password(u64),
}

/// What a CONNECT brings along to be let in.
#[derive(Debug)]
pub struct Login {
    /// Client identifier.
    pub client_id: ByteString,
    /// User name.
    pub username: Option<ByteString>,
    /// Password.
    pub password: Option<Secret>,
    /// Common name of the client certificate that TLS has verified.
    pub certificate_name: Option<ByteString>,
    /// Where the client is.
    pub address: IpAddr,
    /// What its listener says.
    pub door: Door,
}

/// What a listener says about those who come through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// Clients without a user name are let in.
    pub anonymous: bool,
    /// The role of who has no other.
    pub role: Option<Role>,
}

/// What has become of a client that was let in, now that the files have been read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It would be let in again.
    Good,
    /// It has to prove itself again: its password is another now, or its client identifier is a user's.
    Unproved,
    /// There is no such user any more.
    Gone,
}

/// Why a client was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It gave no user name or no password, and needs them (CONNACK 5; MQTT 5: 0x87).
    NoCredentials,
    /// There is no such user (CONNACK 4; MQTT 5: 0x86).
    UnknownUser,
    /// The password is not the user's (CONNACK 4; MQTT 5: 0x86).
    WrongPassword,
    /// The client identifier is another user's name (CONNACK 2; MQTT 5: 0x85).
    Identifier,
    /// Too many passwords wait to be checked (CONNACK 3; MQTT 5: 0x89).
    Busy,
}
