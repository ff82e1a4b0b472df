//! One password's hash.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, pbkdf2};
use std::fmt;
use std::num::NonZeroU32;
use subtle::ConstantTimeEq as _;

/// Iterations of PBKDF2 in a hash that dockgate writes.
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(100_000).expect("it is not zero");
/// Fewer iterations deserve a warning. Mosquitto 2.0 writes 101.
pub const WEAK_ITERATIONS: u32 = 1_000;
/// More iterations are a mistake, or meant to keep the broker busy: each log-in would take seconds.
pub const MAX_ITERATIONS: u32 = 10_000_000;

/// More memory than this, in KiB, would let a few log-ins fill a small machine. Mosquitto 2.1 writes 46 MiB.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
/// Memory times passes, in KiB: what time is in proportion to. It takes some seconds.
const MAX_ARGON2_WORK_KIB: u64 = 4 * 1024 * 1024;
/// Lanes are computed one after the other here, so they buy nothing.
const MAX_LANES: u32 = 64;
/// Memory that one thread may take; a hash that needs more counts as several.
const THREAD_MEMORY_KIB: u32 = 64 * 1024;

/// Mosquitto 2.0 reads salts of this length only.
const SALT_LENGTH: usize = 12;
/// What Argon2 takes at least, and what the newest Mosquitto writes.
const SALT_LENGTHS: std::ops::RangeInclusive<usize> = 8..=64;
/// SHA-512 has 64 bytes, and so have the Argon2 hashes that Mosquitto writes; less than 16 could be guessed.
const ARGON2_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;

/// Reads Base64 with padding (`$6$`, `$7$`) and without (Argon2).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const BASE64_UNPADDED: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_encode_padding(false));

/// What it takes to compute a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cost {
    /// SHA-512 of password and salt: next to nothing (`$6$`).
    Sha512,
    /// PBKDF2 with HMAC-SHA512 (`$7$`).
    Pbkdf2 {
        /// How many rounds.
        iterations: NonZeroU32,
    },
    /// Argon2id, version 1.3 (`$argon2id$v=19$`).
    Argon2id {
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes it is divided into.
        lanes: u32,
    },
}

impl Cost {
    /// What dockgate writes: Mosquitto 2.0 reads it too.
    pub const PBKDF2: Self = Self::Pbkdf2 { iterations: DEFAULT_ITERATIONS };
    /// What Mosquitto 2.1 writes, and OWASP recommends where 46 MiB can be spared.
    pub const ARGON2ID: Self = Self::Argon2id { memory_kib: 47_104, passes: 1, lanes: 1 };

    /// Whether whoever gets hold of the file can try passwords by the million.
    #[must_use]
    pub fn is_weak(self) -> bool {
        match self {
            Self::Sha512 => true,
            Self::Pbkdf2 { iterations } => iterations.get() < WEAK_ITERATIONS,
            Self::Argon2id { .. } => false,
        }
    }

    /// How many of the threads that check passwords it counts for, by the memory that it takes.
    pub(in crate::access) fn threads(self) -> u32 {
        match self {
            Self::Argon2id { memory_kib, .. } => memory_kib.div_ceil(THREAD_MEMORY_KIB),
            Self::Sha512 | Self::Pbkdf2 { .. } => 1,
        }
    }

    fn check(self) -> Result<(), Fault> {
        match self {
            Self::Sha512 => Ok(()),
            Self::Pbkdf2 { iterations } if iterations.get() > MAX_ITERATIONS => {
                Err(Fault::of(format!("has {iterations} iterations, and the most is {MAX_ITERATIONS}")))
            }
            Self::Pbkdf2 { .. } => Ok(()),
            Self::Argon2id { memory_kib, .. } if memory_kib > MAX_MEMORY_KIB => {
                Err(Fault::of(format!("takes {memory_kib} KiB of memory (m), and the most is {MAX_MEMORY_KIB}")))
            }
            Self::Argon2id { lanes, .. } if lanes > MAX_LANES => {
                Err(Fault::of(format!("has {lanes} lanes (p), and the most is {MAX_LANES}")))
            }
            Self::Argon2id { memory_kib, passes, .. }
                if u64::from(memory_kib) * u64::from(passes) > MAX_ARGON2_WORK_KIB =>
            {
                Err(Fault::of(format!("makes {passes} passes (t) over {memory_kib} KiB (m), which takes too long")))
            }
            Self::Argon2id { .. } => Ok(()),
        }
    }
}

/// What is wrong with a text that should be a hash; it never holds any of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no hash, but may be the password itself.
    PlainText,
    /// It does not follow its format. The words go on from "the hash".
    Malformed(String),
}

impl Fault {
    fn of(words: impl Into<String>) -> Self {
        Self::Malformed(words.into())
    }
}

/// A password's hash. It is printed as it stands in the file; its `Debug` shows only its cost.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    cost: Cost,
    salt: Box<[u8]>,
    digest: Box<[u8]>,
}

impl Hash {
    /// Hashes a password with a new salt.
    #[must_use]
    pub fn new(password: &[u8], cost: Cost) -> Self {
        let length = if matches!(cost, Cost::Argon2id { .. }) { 32 } else { digest::SHA512_OUTPUT_LEN };
        let mut hash = Self { cost, salt: random(SALT_LENGTH), digest: vec![0; length].into() };
        hash.digest = hash.compute(password).expect("the cost and the lengths are ones that can be computed");
        hash
    }

    /// A hash that takes as long as others of this cost and that no password is known for.
    pub(super) fn of_nothing(cost: Cost) -> Self {
        Self { cost, salt: random(SALT_LENGTH), digest: random(digest::SHA512_OUTPUT_LEN) }
    }

    /// What it takes to check a password.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether this is the password. The time that it takes says nothing about either. It takes long: not for an
    /// async thread.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        match self.compute(password) {
            Ok(digest) => digest.ct_eq(&self.digest).into(),
            Err(error) => {
                // The cost was found good when the file was read, so what is left is memory.
                tracing::error!(%error, "a password cannot be checked");
                false
            }
        }
    }

    fn compute(&self, password: &[u8]) -> Result<Box<[u8]>, argon2::Error> {
        let mut digest = vec![0; self.digest.len()];
        match self.cost {
            Cost::Sha512 => {
                let mut context = digest::Context::new(&digest::SHA512);
                context.update(password);
                context.update(&self.salt);
                digest.copy_from_slice(context.finish().as_ref());
            }
            Cost::Pbkdf2 { iterations } => {
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, &self.salt, password, &mut digest);
            }
            Cost::Argon2id { memory_kib, passes, lanes } => {
                let params = Params::new(memory_kib, passes, lanes, Some(digest.len()))?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
                    password,
                    &self.salt,
                    &mut digest,
                )?;
            }
        }
        Ok(digest.into())
    }

    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let Some((scheme, rest)) = text.strip_prefix('$').and_then(|text| text.split_once('$')) else {
            return Err(Fault::PlainText);
        };
        let hash = match scheme {
            "6" => Self::parse_salted(rest, Cost::Sha512)?,
            "7" => {
                let (iterations, rest) =
                    rest.split_once('$').ok_or_else(|| Fault::of("is not $7$iterations$salt$hash"))?;
                let iterations = number(iterations).ok_or_else(|| Fault::of("has no usable number of iterations"))?;
                Self::parse_salted(rest, Cost::Pbkdf2 { iterations })?
            }
            "argon2id" => Self::parse_argon2id(rest)?,
            "argon2i" | "argon2d" => {
                return Err(Fault::of("is of a kind of Argon2 that Mosquitto does not write: only argon2id is read"));
            }
            _ => return Err(Fault::of("is of an unknown kind: only $7$, $6$ and $argon2id$ are read")),
        };
        if !SALT_LENGTHS.contains(&hash.salt.len()) {
            return Err(Fault::of(format!("has a salt of {} bytes, and Mosquitto's have 12 or 64", hash.salt.len())));
        }
        hash.cost.check()?;
        Ok(hash)
    }

    /// The rest of `$6$` and `$7$`: `salt$hash`.
    fn parse_salted(text: &str, cost: Cost) -> Result<Self, Fault> {
        let (salt, digest) = text.split_once('$').ok_or_else(|| Fault::of("ends too soon: salt or hash is missing"))?;
        let (salt, digest) = (decode(salt, "salt")?, decode(digest, "hash")?);
        if digest.len() != digest::SHA512_OUTPUT_LEN {
            return Err(Fault::of(format!("has {} bytes, and SHA-512 has 64", digest.len())));
        }
        Ok(Self { cost, salt, digest })
    }

    /// The rest of `$argon2id$`: `v=19$m=…,t=…,p=…$salt$hash`.
    fn parse_argon2id(text: &str) -> Result<Self, Fault> {
        let form = || Fault::of("is not $argon2id$v=19$m=…,t=…,p=…$salt$hash");
        let mut parts = text.split('$');
        let mut next = || parts.next().ok_or_else(form);
        let (version, costs, salt, digest) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(form());
        }
        if version != "v=19" {
            return Err(Fault::of("is of another version of Argon2 than 1.3 (v=19)"));
        }
        let mut costs = costs.split(',');
        let mut cost = |name| costs.next()?.strip_prefix(name).and_then(number).map(NonZeroU32::get);
        let (Some(memory_kib), Some(passes), Some(lanes)) = (cost("m="), cost("t="), cost("p=")) else {
            return Err(form());
        };
        if costs.next().is_some() {
            return Err(form());
        }
        let (salt, digest) = (decode(salt, "salt")?, decode(digest, "hash")?);
        if !ARGON2_LENGTHS.contains(&digest.len()) {
            return Err(Fault::of(format!("has {} bytes, and Mosquitto's have 64", digest.len())));
        }
        Params::new(memory_kib, passes, lanes, Some(digest.len()))
            .map_err(|error| Fault::of(format!("cannot be computed: {error}")))?;
        Ok(Self { cost: Cost::Argon2id { memory_kib, passes, lanes }, salt, digest })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base64 = if matches!(self.cost, Cost::Argon2id { .. }) { BASE64_UNPADDED } else { BASE64 };
        let (salt, digest) = (base64.encode(&self.salt), base64.encode(&self.digest));
        match self.cost {
            Cost::Sha512 => write!(f, "$6${salt}${digest}"),
            Cost::Pbkdf2 { iterations } => write!(f, "$7${iterations}${salt}${digest}"),
            Cost::Argon2id { memory_kib, passes, lanes } => {
                write!(f, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${digest}")
            }
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hash").field(&self.cost).finish()
    }
}

/// A number as the formats have it: no sign, no leading zero.
fn number(text: &str) -> Option<NonZeroU32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if digits { text.parse().ok() } else { None }
}

fn decode(text: &str, what: &str) -> Result<Box<[u8]>, Fault> {
    match BASE64.decode(text) {
        Ok(bytes) => Ok(bytes.into()),
        Err(_) => Err(Fault::of(format!("has a {what} that is not Base64"))),
    }
}

fn random(length: usize) -> Box<[u8]> {
    let mut bytes = vec![0; length];
    SystemRandom::new().fill(&mut bytes).expect("Linux has random bytes once it has started");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by Python's hashlib: `pbkdf2_hmac("sha512", b"hunter2", bytes(range(12)), 1000)`.
    const PBKDF2: &str = "$7$1000$AAECAwQFBgcICQoL$cK9QJEgADvKpCwPGxGBAcS8PPs1AlYCZFvW2qY38neOizETb0SS2lwcg2GYi7TcWksnim31jGVPMPPYJlHux5A==";
    /// Made by Python's hashlib: `sha512(b"hunter2" + bytes(range(12)))`.
    const SHA512: &str =
        "$6$AAECAwQFBgcICQoL$M9uy5baAQVewJoSC57pHtZGlGqRX3jq5tEx8s7W8w29wGLojIaP2qVdfjIolAUlK8fbO0hmJW7cZTx1fVju1PQ==";
    /// Made by Debian's argon2(1): `printf hunter2 | argon2 saltsaltsaltsalt -id -t 2 -k 64 -p 2 -l 64 -e`.
    const ARGON2ID: &str = "$argon2id$v=19$m=64,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$GVWghyGQNdZro7Eg+vurtu0FVE/HGE7IGZQN2Xox+e4Oenp8NVHr8VetFLm/Y1uDzhPuR4YL6Fn23qDSWlzD/w";

    #[test]
    fn each_kind_of_hash_knows_its_password_and_no_other() {
        for text in [PBKDF2, SHA512, ARGON2ID] {
            let hash = Hash::parse(text).unwrap();
            assert!(hash.verify(b"hunter2"), "{text}");
            for other in [&b""[..], b"hunter", b"hunter2 ", b"hunter22", b"Hunter2"] {
                assert!(!hash.verify(other), "{text} {other:?}");
            }
            assert_eq!(hash.to_string(), text, "it is written as it was read");
        }
    }

    #[test]
    fn a_new_hash_is_read_again_and_has_a_salt_of_its_own() {
        let cheap = Cost::Pbkdf2 { iterations: NonZeroU32::new(7).unwrap() };
        for cost in [Cost::Sha512, cheap, Cost::Argon2id { memory_kib: 64, passes: 1, lanes: 1 }] {
            let hash = Hash::new(b"\x00\xff", cost);
            assert_eq!(Hash::parse(&hash.to_string()).unwrap(), hash);
            assert!(hash.verify(b"\x00\xff"));
            assert!(!hash.verify(b"\x00"));
            assert_ne!(hash, Hash::new(b"\x00\xff", cost));
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let salt = "AAAAAAAAAAAAAAAA";
        let long = "A".repeat(86);
        for text in ["", "hunter2", "$", "$6", "hunter$2$"] {
            assert_eq!(Hash::parse(text), Err(Fault::PlainText), "{text}");
        }
        for (text, why) in [
            ("$5$a$b".to_owned(), "unknown kind"),
            ("$$".to_owned(), "unknown kind"),
            ("$6$".to_owned(), "ends too soon"),
            (format!("$6${salt}"), "ends too soon"),
            (format!("$6$${long}"), "salt of 0 bytes"),
            (format!("$6$AAAA${long}"), "salt of 3 bytes"),
            (format!("$6${}${long}", "A".repeat(88)), "salt of 66 bytes"),
            (format!("$6${salt}$AAAA"), "has 3 bytes"),
            (format!("$6${salt}$"), "has 0 bytes"),
            (format!("$6${salt}${long}$"), "hash that is not Base64"),
            (format!("$6$A AA${long}"), "salt that is not Base64"),
            (format!("$7${salt}${long}"), "no usable number"),
            (format!("$7$0${salt}${long}"), "no usable number"),
            (format!("$7$-1${salt}${long}"), "no usable number"),
            (format!("$7$+7${salt}${long}"), "no usable number"),
            (format!("$7$4294967296${salt}${long}"), "no usable number"),
            (format!("$7$10000001${salt}${long}"), "10000001 iterations"),
            (format!("$argon2i$v=19$m=64,t=1,p=1${salt}${long}"), "only argon2id"),
            (format!("$argon2id$v=16$m=64,t=1,p=1${salt}${long}"), "another version"),
            (format!("$argon2id$m=64,t=1,p=1${salt}${long}"), "is not $argon2id$v=19"),
            (format!("$argon2id$v=19$m=64,t=1${salt}${long}"), "is not $argon2id$v=19"),
            (format!("$argon2id$v=19$m=64,t=1,p=1,data=AAAA${salt}${long}"), "is not $argon2id$v=19"),
            (format!("$argon2id$v=19$m=7,t=1,p=1${salt}${long}"), "cannot be computed"),
            (format!("$argon2id$v=19$m=262145,t=1,p=1${salt}${long}"), "262145 KiB"),
            (format!("$argon2id$v=19$m=262144,t=17,p=1${salt}${long}"), "17 passes"),
            (format!("$argon2id$v=19$m=4294967295,t=4294967295,p=1${salt}${long}"), "4294967295 KiB"),
            (format!("$argon2id$v=19$m=65536,t=1,p=65${salt}${long}"), "65 lanes"),
            (format!("$argon2id$v=19$m=64,t=1,p=1${salt}$AAAA"), "has 3 bytes"),
            (format!("$argon2id$v=19$m=64,t=1,p=1$AAAA${long}"), "salt of 3 bytes"),
        ] {
            match Hash::parse(&text) {
                Err(Fault::Malformed(words)) => assert!(words.contains(why), "{text}: {words}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_hash_shows_its_cost_and_nothing_of_itself() {
        assert_eq!(format!("{:?}", Hash::parse(PBKDF2).unwrap()), "Hash(Pbkdf2 { iterations: 1000 })");
    }

    #[test]
    fn weak_is_what_can_be_tried_by_the_million() {
        let pbkdf2 = |iterations| Cost::Pbkdf2 { iterations: NonZeroU32::new(iterations).unwrap() };
        assert!(Cost::Sha512.is_weak());
        assert!(pbkdf2(999).is_weak());
        assert!(!pbkdf2(1_000).is_weak());
        assert!(!Cost::ARGON2ID.is_weak());
    }

    #[test]
    fn a_hash_that_takes_much_memory_counts_as_several() {
        let argon2id = |memory_kib| Cost::Argon2id { memory_kib, passes: 1, lanes: 1 };
        assert_eq!(Cost::PBKDF2.threads(), 1);
        assert_eq!(argon2id(64 * 1024).threads(), 1);
        assert_eq!(argon2id(64 * 1024 + 1).threads(), 2);
        assert_eq!(argon2id(MAX_MEMORY_KIB).threads(), 4);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_so_that_it_reads_the_same(
            text in r"\$(6|7|argon2id)\$(v=19\$)?([0-9]{1,8}\$|m=[0-9]{1,6},t=[0-9],p=[0-9]\$)?[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{85}[AQgw](==)?"
        ) {
            if let Ok(hash) = Hash::parse(&text) {
                prop_assert_eq!(Hash::parse(&hash.to_string()), Ok(hash));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in r"(\$|[67]|argon2id|v=19|m=|t=|p=|,|[0-9]{1,12}|[A-Za-z0-9+/=]{0,90}|\PC){0,12}") {
            let _verdict = Hash::parse(&text);
        }
    }
}
