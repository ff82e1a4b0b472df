//! What must never be printed.

use secrecy::ExposeSecret as _;
use std::fmt;

/// A password or token: it cannot be printed or compared by accident, and its memory is overwritten when it goes.
#[derive(Clone)]
pub struct Secret(secrecy::SecretSlice<u8>);

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The secret itself, for who has to check it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "(secret)");
    }
}
