//! A digest of a start's whole `data`, to tell a retry from another start.
//!
//! The whole of it, not the parts that seem to matter: "the same start" then needs no knowledge of
//! what a dock does with which field, and no two uploads of a backend that follows the protocol
//! have the same (object keys and expiry are drawn anew), while its retries, which serialise
//! one object again, always do. So the credentials go through the hash as they stand in the payload,
//! without being copied; the hash is keyed with a secret, 64 bits long, and is neither shown nor logged.
//! Where uploads outlive the process, they are kept with their hashes, and the secret with them.
//!
//! The hash is aHash, which may differ between builds (another release of it, or one for a processor with other
//! instructions). Then a retry that comes just after the restart into the new build is refused as another start, for as
//! long as the upload that it repeats is running.
//!
//! White space, escapes and the order of keys do not count. What cannot be compared for certain (a
//! key twice in one object, too deep, too wide) has no digest, and is never taken for a retry.

use std::cell::Cell;
use std::fmt;

use ahash::RandomState;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use super::lenient::skip_map;

/// Deepest nesting compared. A start has five levels; serde_json itself stops at 128.
const MAX_DEPTH: u8 = 32;
/// Keys compared of one object.
const MAX_KEYS: usize = 1_024;

/// The secret with which starts are digested. Hooks that drive one ledger need the same.
#[derive(Clone)]
pub struct DigestKey(RandomState);

impl DigestKey {
    /// A key that nobody else has, and that is gone with this process.
    #[must_use]
    pub fn random() -> Self {
        DigestKey(RandomState::new())
    }

    /// The hash of a whole payload, under its tid.
    pub(super) fn content(&self, tid: &str, payload: &[u8]) -> u64 {
        self.0.hash_one((tid, payload))
    }

    /// Reads one value as its digest.
    pub(super) fn tree(&self) -> Whole<'_> {
        Whole { key: self, is_comparable: Cell::new(true) }
    }
}

impl From<[u8; 32]> for DigestKey {
    /// A key that was drawn before, so that the starts of then are recognised.
    fn from(secret: [u8; 32]) -> Self {
        let (words, _) = secret.as_chunks();
        let word = |at: usize| u64::from_le_bytes(words[at]);
        DigestKey(RandomState::with_seeds(word(0), word(1), word(2), word(3)))
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

/// A value to be digested.
pub(super) struct Whole<'k> {
    key: &'k DigestKey,
    is_comparable: Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let node = Node { key: &self.key.0, is_comparable: &self.is_comparable, depth: 0 };
        let digest = node.deserialize(deserializer)?;
        Ok(self.is_comparable.get().then_some(digest))
    }
}

#[derive(Clone, Copy)]
struct Node<'k> {
    key: &'k RandomState,
    is_comparable: &'k Cell<bool>,
    depth: u8,
}

impl Node<'_> {
    fn deeper(self) -> Self {
        Node { depth: self.depth + 1, ..self }
    }

    fn give_up(self) -> u64 {
        self.is_comparable.set(false);
        0
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        if self.depth > MAX_DEPTH {
            deserializer.deserialize_ignored_any(IgnoredAny)?;
            return Ok(self.give_up());
        }
        deserializer.deserialize_any(self)
    }
}

/// The first of each pair keeps values of different types apart.
impl<'de> Visitor<'de> for Node<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(self.key.hash_one(0_u8))
    }
    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(self.key.hash_one((1_u8, value)))
    }
    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        Ok(self.key.hash_one((2_u8, value)))
    }
    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(self.key.hash_one((3_u8, value)))
    }
    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        Ok(self.key.hash_one((4_u8, value.to_bits())))
    }
    fn visit_str<E>(self, value: &str) -> Result<u64, E> {
        Ok(self.key.hash_one((5_u8, value)))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u64, A::Error> {
        let mut digest = self.key.hash_one(6_u8);
        while let Some(item) = seq.next_element_seed(self.deeper())? {
            digest = self.key.hash_one((digest, item));
        }
        Ok(digest)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let mut entries = SmallVec::<[(u64, u64); 16]>::new();
        while let Some(key) = map.next_key_seed(self.deeper())? {
            entries.push((key, map.next_value_seed(self.deeper())?));
            if entries.len() > MAX_KEYS {
                skip_map(map)?;
                return Ok(self.give_up());
            }
        }
        entries.sort_unstable();
        if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Ok(self.give_up());
        }
        Ok(self.key.hash_one((7_u8, &entries[..])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: &DigestKey, json: &str) -> Option<u64> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        key.tree().deserialize(&mut deserializer).expect("valid JSON")
    }

    #[test]
    fn order_of_keys_white_space_and_escapes_do_not_count() {
        let key = DigestKey::random();
        let a = digest(&key, r#"{"a":1,"b":["x",{"c":null}]}"#);
        assert!(a.is_some());
        assert_eq!(a, digest(&key, "{ \"b\" : [\"\\u0078\", {\"c\":null}],\n\"a\":1 }"));
    }

    #[test]
    fn every_value_counts_and_so_does_the_order_of_a_list() {
        let key = DigestKey::random();
        let base = digest(&key, r#"{"a":1,"b":["x","y"]}"#);
        for other in [
            r#"{"a":2,"b":["x","y"]}"#,
            r#"{"a":"1","b":["x","y"]}"#,
            r#"{"a":1,"b":["y","x"]}"#,
            r#"{"a":1,"b":["x","y",null]}"#,
            r#"{"a":1,"b":[["x","y"]]}"#,
            r#"{"a":1,"c":["x","y"]}"#,
            r#"{"a":1,"b":["x","y"],"c":[]}"#,
        ] {
            assert_ne!(base, digest(&key, other), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_compared_has_no_digest() {
        let key = DigestKey::random();
        assert_eq!(digest(&key, r#"{"a":1,"a":1}"#), None);
        assert_eq!(digest(&key, &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))), None);
        let wide: Vec<String> = (0..=MAX_KEYS).map(|at| format!("\"{at}\":0")).collect();
        assert_eq!(digest(&key, &format!("{{{}}}", wide.join(","))), None);
    }

    #[test]
    fn another_process_has_another_key_unless_it_is_given_the_same() {
        assert_ne!(digest(&DigestKey::random(), "1"), digest(&DigestKey::random(), "1"));
        let given = |secret: u8| digest(&DigestKey::from([secret; 32]), r#"{"a":[1,"x"]}"#);
        assert_eq!(given(1), given(1));
        assert_ne!(given(1), given(2));
        let payload = |key: DigestKey| key.content("tid", b"payload");
        assert_eq!(payload(DigestKey::from([1; 32])), payload(DigestKey::from([1; 32])));
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", DigestKey::from([7; 32])), "DigestKey");
    }
}
