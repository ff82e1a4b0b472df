//! What can go wrong with an object store, said with the remedy and without any secret.

use thiserror::Error;

use super::Provider;
use super::keys::{KeyPair, KeysError};
use super::sts::Service;

/// Characters of a service's own text that are shown.
const SHOWN: usize = 200;

/// Settings of an object store that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// A setting that is missing or makes no sense. Settings that were loaded have been checked for that.
    #[error("object_store.{key}: {fault}")]
    Setting {
        /// Its name in the section.
        key: &'static str,
        /// What is wrong.
        fault: String,
    },
    /// The long-lived keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// Why there are no credentials for an upload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrantError {
    /// The long-lived keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An object key that no upload may have.
    #[error("{key:?} is no key for an upload ({fault})")]
    ObjectKey {
        /// The key, shortened.
        key: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The token service did not answer.
    #[error("the token service {endpoint} cannot be reached ({cause}); check that it runs, and object_store.{setting}")]
    Unreachable {
        /// Its URL.
        endpoint: String,
        /// Why.
        cause: String,
        /// Which setting gives its address.
        setting: &'static str,
    },
    /// The token service said no.
    #[error("the token service {endpoint} refuses credentials{of}: {code} ({message}), status {status}; {remedy}")]
    Refused {
        /// Its URL.
        endpoint: String,
        /// ` of the role …`, or nothing.
        of: String,
        /// The HTTP status.
        status: u16,
        /// Its own code, shortened.
        code: String,
        /// Its own text, shortened.
        message: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// What answered is no token service.
    #[error("{endpoint} answers as no token service does (status {status}); {remedy}")]
    Unreadable {
        /// Its URL.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// What to do about it.
        remedy: &'static str,
    },
}

const NO_SERVICE: &str = "check object_store.endpoint and object_store.sts; a store without AssumeRole needs sts = \"off\", \
     which leaves the long-lived keys to docks";

impl GrantError {
    pub(super) fn unreachable(service: &Service, cause: &ureq::Error) -> Self {
        let is_store = service.provider == Provider::Minio;
        Self::Unreachable {
            endpoint: service.endpoint.url(),
            cause: clean(&cause.to_string()),
            setting: if is_store { "endpoint (or object_store.sts)" } else { "region (or object_store.sts)" },
        }
    }

    pub(super) fn refused(service: &Service, keys: &KeyPair, status: u16, code: &str, message: &str) -> Self {
        // Some services repeat what they were given.
        let hide = |text: &str| {
            let secrets =
                [&keys.secret_access_key, &keys.access_key_id].map(|key| String::from_utf8_lossy(key.expose()));
            let hidden = secrets.iter().filter(|secret| !secret.is_empty());
            clean(&hidden.fold(text.to_owned(), |text, secret| text.replace(&**secret, "(hidden)")))
        };
        Self::Refused {
            endpoint: service.endpoint.url(),
            of: service.role.as_ref().map(|role| format!(" of the role {}", clean(role))).unwrap_or_default(),
            status,
            remedy: remedy(service.provider, code, status),
            code: hide(code),
            message: hide(message),
        }
    }

    pub(super) fn unreadable(service: &Service, status: u16) -> Self {
        Self::Unreadable { endpoint: service.endpoint.url(), status, remedy: NO_SERVICE }
    }
}

/// What to do about a code of AWS, MinIO or Alibaba Cloud.
fn remedy(provider: Provider, code: &str, status: u16) -> &'static str {
    let is = |words: &[&str]| words.iter().any(|word| code.contains(word));
    if is(&["TimeTooSkewed", "Expired", "InvalidTimeStamp"]) {
        "set the clock of this machine, for instance with NTP"
    } else if is(&["InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClient"]) {
        "check access_key_id"
    } else if is(&["SignatureDoesNotMatch", "IncompleteSignature", "AuthorizationHeaderMalformed"]) {
        "check secret_access_key and object_store.region"
    } else if provider == Provider::Minio && is(&["AccessDenied"]) {
        "check the keys: MinIO takes those of a user (mc admin user add), not the access keys that its console makes, and in \
         older releases not those of root"
    } else if is(&["AccessDenied", "NoPermission", "EntityNotExist", "AuthFailure"]) {
        "check object_store.role, that it trusts the user of these keys, and that the user may call sts:AssumeRole"
    } else if is(&["DurationSeconds", "ValidationError", "InvalidParameter", "MissingParameter"]) {
        "check object_store.role and object_store.session: a role has a longest session of its own"
    } else if matches!(status, 404 | 405 | 501) || is(&["InvalidAction", "NotImplemented", "MethodNotAllowed"]) {
        NO_SERVICE
    } else if status >= 500 || is(&["Throttl", "SlowDown", "Busy"]) {
        "try again later"
    } else {
        "check the section [object_store]"
    }
}

/// A text from outside as it may be shown: one line, not too long.
pub(super) fn clean(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(|c| {
            // escape_default would also encode letters that are not ASCII.
            if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
