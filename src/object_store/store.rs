//! The object store as the broker uses it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::error::{GrantError, OpenError, clean};
use super::keys::{KeyPair, Keys, is_usable};
use super::policy::{is_literal, policy};
use super::sts::Service;
use super::{Endpoint, ObjectStoreSettings, Provider, http};
use crate::secret::Secret;

/// Objects of one grant: a start has one a module, of which there are two.
const MOST_KEYS: usize = 8;
/// S3's bound of a key, in bytes.
const LONGEST_KEY: usize = 1024;

/// An object store that docks can upload to. It may be shared and asked from any thread, but no async one.
#[derive(Debug)]
pub struct ObjectStore {
    provider: Provider,
    endpoint: Endpoint,
    region: String,
    bucket: String,
    prefix: String,
    keys: Keys,
    /// How long credentials that end by nothing are said to be good.
    session: Duration,
    /// `None` where docks are given the long-lived keys.
    service: Option<Service>,
}

/// Credentials for one upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// `data.credentials.access_key_id` of the start.
    pub access_key_id: Secret,
    /// `data.credentials.access_key_secret` of the start.
    pub access_key_secret: Secret,
    /// `data.credentials.security_token` of the start; empty without a token service.
    pub security_token: Secret,
    /// `data.credentials.expire` of the start, milliseconds since the epoch. Long-lived keys do not end; then it is when a
    /// session would.
    pub expires_at_ms: u64,
}

impl ObjectStore {
    /// Checks the settings and reads the long-lived keys. It asks nobody: a store that is away is no reason not to start.
    ///
    /// # Errors
    /// If a setting is missing or makes no sense, or the keys cannot be read.
    pub fn open(settings: &ObjectStoreSettings) -> Result<Self, OpenError> {
        let wrong = |key, fault: &str| OpenError::Setting { key, fault: fault.to_owned() };
        let missing = |key| wrong(key, "it is not given");
        let address = |key, text: &str| {
            Endpoint::parse(text).map_err(|error| OpenError::Setting { key, fault: error.to_string() })
        };
        let provider = settings.provider.ok_or_else(|| missing("provider"))?;
        let region = settings.region().ok_or_else(|| missing("region"))?.to_owned();
        let endpoint = address("endpoint", &settings.endpoint().ok_or_else(|| missing("endpoint"))?)?;
        let bucket = settings.bucket.clone().ok_or_else(|| missing("bucket"))?;
        let keys = match (&settings.credentials_file, &settings.access_key_id, &settings.secret_access_key) {
            // As the environment counts before the file.
            (_, Some(id), Some(secret)) if is_usable(id.expose()) && is_usable(secret.expose()) => {
                Keys::Given(KeyPair { access_key_id: id.clone(), secret_access_key: secret.clone() })
            }
            (_, Some(_), Some(_)) => return Err(wrong("secret_access_key", "this is no key")),
            (Some(path), None, None) => Keys::In(path.clone()),
            _ => return Err(missing("credentials_file")),
        };
        keys.read()?;
        let service = match settings.sts_endpoint() {
            None => None,
            Some(text) => Some(Service {
                provider,
                endpoint: address("sts", &text)?,
                region: region.clone(),
                role: settings.role.clone(),
                session: settings.session,
                client: http::client(),
            }),
        };
        let (prefix, session) = (settings.prefix.clone(), settings.session);
        Ok(Self { provider, endpoint, region, bucket, prefix, keys, session, service })
    }

    /// Credentials that may write these objects and do nothing else. It waits for the token service, ten seconds at most.
    ///
    /// # Errors
    /// If a key is none of this store's uploads, the long-lived keys cannot be read, or the token service cannot be reached
    /// or refuses.
    pub fn credentials(&self, keys: &[&str]) -> Result<Grant, GrantError> {
        self.check(keys)?;
        let pair = self.keys.read()?;
        let otherwise = millis(SystemTime::now() + self.session);
        let Some(service) = &self.service else {
            return Ok(Grant {
                access_key_id: pair.access_key_id,
                access_key_secret: pair.secret_access_key,
                security_token: Secret::from(""),
                expires_at_ms: otherwise,
            });
        };
        let temporary = service.assume_role(&pair, &policy(self.provider, &self.region, &self.bucket, keys))?;
        Ok(Grant {
            access_key_id: temporary.access_key_id,
            access_key_secret: temporary.secret_access_key,
            security_token: temporary.security_token,
            expires_at_ms: temporary.expires_at_ms.unwrap_or(otherwise),
        })
    }

    /// Keys come into a policy, in which some characters mean more than themselves.
    fn check(&self, keys: &[&str]) -> Result<(), GrantError> {
        let wrong = |key: &str, fault| Err(GrantError::ObjectKey { key: clean(key), fault });
        if keys.is_empty() || keys.len() > MOST_KEYS {
            return wrong("", "an upload has one to eight objects");
        }
        for key in keys {
            let inside = match &*self.prefix {
                "" => Some(*key),
                prefix => key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')),
            };
            if key.len() > LONGEST_KEY {
                return wrong(key, "it is longer than 1,024 bytes");
            }
            if !inside.is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | ".."))) {
                return wrong(key, "it is not inside object_store.prefix");
            }
            if !is_literal(key) {
                return wrong(key, "it has a character that means others in a policy");
            }
        }
        Ok(())
    }

    /// `data.provider` of a start.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// `data.endpoint` of a start: where docks reach the store.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.endpoint.url()
    }

    /// `data.region` of a start.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// `data.bucket` of a start.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What the key of every object begins with, without a slash at its end; empty for nothing.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether docks are given credentials that end by themselves.
    #[must_use]
    pub fn has_token_service(&self) -> bool {
        self.service.is_some()
    }
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
