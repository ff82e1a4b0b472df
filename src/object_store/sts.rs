//! Asking a token service for temporary credentials.
//!
//! - AWS: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
//! - MinIO: the same, <https://github.com/minio/minio/blob/master/docs/sts/assume-role.md>; it knows no roles, and takes the
//!   permissions of the user whose keys sign.
//! - Alibaba Cloud: <https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-assumerole>

use std::time::{Duration, SystemTime};

use ureq::Agent;
use uuid::Uuid;

use super::answer::{self, Answer, Temporary};
use super::canonical::{CanonicalRequest, form, sha256};
use super::error::GrantError;
use super::keys::KeyPair;
use super::sigv4::{self, Scope};
use super::{Endpoint, Provider, acs3, http};

const FORM: &str = "application/x-www-form-urlencoded";
/// What the store's own log calls whoever uses these credentials.
const SESSION_NAME: &str = "dockgate";

/// A token service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) provider: Provider,
    pub(super) endpoint: Endpoint,
    pub(super) region: String,
    pub(super) role: Option<String>,
    pub(super) session: Duration,
    pub(super) client: Agent,
}

impl Service {
    /// Credentials that allow what the policy does. It waits for the network.
    pub(super) fn assume_role(&self, keys: &KeyPair, policy: &str) -> Result<Temporary, GrantError> {
        let answered = match self.provider {
            Provider::Ali => self.ask_alibaba(keys, policy),
            Provider::Aws | Provider::Minio => self.ask(keys, policy, SystemTime::now()),
        };
        let (status, body) = answered.map_err(|cause| GrantError::unreachable(self, &cause))?;
        let answer = match self.provider {
            Provider::Ali => answer::json(&body),
            Provider::Aws | Provider::Minio => answer::xml(&body),
        };
        match answer {
            Answer::Granted(temporary) if status == 200 => Ok(temporary),
            Answer::Refused { code, message } => Err(GrantError::refused(self, keys, status, &code, &message)),
            Answer::Granted(_) | Answer::Unreadable => Err(GrantError::unreadable(self, status)),
        }
    }

    fn ask(&self, keys: &KeyPair, policy: &str, now: SystemTime) -> Result<(u16, Vec<u8>), ureq::Error> {
        let seconds = self.session.as_secs().to_string();
        let mut fields = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("DurationSeconds", &seconds),
            ("RoleSessionName", SESSION_NAME),
            ("Policy", policy),
        ];
        if let Some(role) = &self.role {
            fields.push(("RoleArn", role));
        }
        let body = form(&fields);
        let (time, payload) = (sigv4::amz_date(now), sha256(body.as_bytes()));
        let mut headers = vec![("content-type", FORM), ("host", self.endpoint.authority()), ("x-amz-date", &time)];
        let request = CanonicalRequest { method: "POST", path: "/", query: &[], headers: &headers, payload: &payload };
        let scope = Scope { time: &time, region: &self.region, service: "sts" };
        let authorization = sigv4::authorization(keys, scope, &request);
        headers.push(("authorization", &authorization));
        http::post(&self.client, &format!("{}/", self.endpoint.url()), &headers, &body)
    }

    fn ask_alibaba(&self, keys: &KeyPair, policy: &str) -> Result<(u16, Vec<u8>), ureq::Error> {
        let seconds = self.session.as_secs().to_string();
        let mut fields = vec![("DurationSeconds", &*seconds), ("RoleSessionName", SESSION_NAME), ("Policy", policy)];
        if let Some(role) = &self.role {
            fields.push(("RoleArn", role));
        }
        let body = form(&fields);
        let payload = sha256(body.as_bytes());
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let nonce = Uuid::new_v4().simple().to_string();
        let mut headers = vec![
            ("content-type", FORM),
            ("host", self.endpoint.authority()),
            ("x-acs-action", "AssumeRole"),
            ("x-acs-content-sha256", &payload),
            ("x-acs-date", &time),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", "2015-04-01"),
        ];
        let request = CanonicalRequest { method: "POST", path: "/", query: &[], headers: &headers, payload: &payload };
        let authorization = acs3::authorization(keys, &request);
        headers.push(("authorization", &authorization));
        headers.push(("accept", "application/json"));
        http::post(&self.client, &format!("{}/", self.endpoint.url()), &headers, &body)
    }
}
