//! What must never be printed.

use secrecy::ExposeSecret as _;
use serde::{Deserialize, Deserializer, Serializer};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// A password, token or key: it cannot be printed by accident, comparing it takes the same time wherever it differs, and its
/// memory is overwritten when it goes.
#[derive(Clone)]
pub struct Secret(secrecy::SecretSlice<u8>);

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The secret itself, for who has to check it or to hand it on.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// For `#[serde(with)]`, and only where a secret has to be sent to whom it is for.
pub mod exposed {
    use super::*;

    /// Writes a secret as text.
    ///
    /// # Errors
    /// The serializer's, and one if the secret is not UTF-8.
    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(secret.expose());
        serializer.serialize_str(text.map_err(|_| serde::ser::Error::custom("a secret that is not UTF-8"))?)
    }

    /// Reads a secret from text.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(|text| Secret::new(text.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "(secret)");
    }

    #[test]
    fn secrets_are_compared_by_what_they_are() {
        assert_eq!(Secret::from("hunter2"), Secret::from("hunter2"));
        assert_ne!(Secret::from("hunter2"), Secret::from("hunter22"));
    }
}
