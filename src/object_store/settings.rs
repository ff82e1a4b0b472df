//! The section `[object_store]` of the settings.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::Secret;

/// Where docks upload their logs, and how credentials for that are had. Without a provider there is no object store, and
/// uploads are started by backends that have one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectStoreSettings {
    /// Whose interface it has: what docks are told as `provider`.
    pub provider: Option<Provider>,
    /// Where docks reach it: `http://host:port` or `https://…`. AWS and Alibaba Cloud have one a region.
    pub endpoint: Option<String>,
    /// The store's region. MinIO's is `us-east-1` unless its own settings say otherwise.
    pub region: Option<String>,
    /// The bucket, which must exist.
    pub bucket: Option<String>,
    /// What the object keys begin with, without slashes at its ends; nothing for none.
    pub prefix: String,
    /// A file with the long-lived keys: TOML with `access_key_id` and `secret_access_key`. Read at the start and again for each
    /// upload, so that keys are changed without a restart.
    pub credentials_file: Option<PathBuf>,
    /// The long-lived keys themselves, meant for the environment; they count before those of the file.
    #[serde(serialize_with = "hidden", deserialize_with = "secret")]
    pub access_key_id: Option<Secret>,
    /// See `access_key_id`.
    #[serde(serialize_with = "hidden", deserialize_with = "secret")]
    pub secret_access_key: Option<Secret>,
    /// Where temporary credentials come from.
    pub sts: Sts,
    /// The role that the temporary credentials are of.
    pub role: Option<String>,
    /// How long temporary credentials are good.
    #[serde(with = "humantime_serde")]
    pub session: Duration,
}

impl Default for ObjectStoreSettings {
    fn default() -> Self {
        Self {
            provider: None,
            endpoint: None,
            region: None,
            bucket: None,
            prefix: "dockgate".to_owned(),
            credentials_file: None,
            access_key_id: None,
            secret_access_key: None,
            sts: Sts::Auto,
            role: None,
            session: Duration::from_secs(60 * 60),
        }
    }
}

impl ObjectStoreSettings {
    /// The region, if it is given or its provider has a usual one.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        let usual = (self.provider == Some(Provider::Minio)).then_some("us-east-1");
        self.region.as_deref().or(usual)
    }

    /// Where docks reach the store: what is given, or what its provider has for the region.
    #[must_use]
    pub fn endpoint(&self) -> Option<String> {
        let of_region = || {
            let region = self.region()?;
            match self.provider? {
                Provider::Minio => None,
                Provider::Aws => Some(format!("https://s3.{region}.{}", aws_domain(region))),
                Provider::Ali => Some(format!("https://oss-{region}.aliyuncs.com")),
            }
        };
        self.endpoint.clone().or_else(of_region)
    }

    /// Where the token service is; `None` if there is to be none.
    #[must_use]
    pub fn sts_endpoint(&self) -> Option<String> {
        match &self.sts {
            Sts::Off => None,
            Sts::At(address) => Some(address.clone()),
            Sts::Auto => match self.provider? {
                // MinIO has its token service on the address of the store.
                Provider::Minio => self.endpoint(),
                Provider::Aws => self.region().map(|region| format!("https://sts.{region}.{}", aws_domain(region))),
                Provider::Ali => self.region().map(|region| format!("https://sts.{region}.aliyuncs.com")),
            },
        }
    }
}

/// The regions in China are an AWS of their own.
fn aws_domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// Whose interface an object store has. The words are those that docks know (`provider` of a `fileupload_start`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// MinIO, and whatever else of one's own that speaks S3.
    Minio,
    /// Amazon S3.
    Aws,
    /// Alibaba Cloud OSS.
    Ali,
}

impl Provider {
    /// As it is written in the settings and told to docks.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minio => "minio",
            Self::Aws => "aws",
            Self::Ali => "ali",
        }
    }
}

/// Where temporary credentials come from. Leaving the long-lived keys to docks takes a word of its own, `off`: a missing role
/// or address must not do it by accident.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Sts {
    /// The provider's own service: MinIO's is at its endpoint, the others have one a region.
    #[default]
    Auto,
    /// There is none: docks are given the long-lived keys.
    Off,
    /// At this address, `https://host:port`: where the broker reaches the store by another one than docks do.
    At(String),
}

impl From<String> for Sts {
    fn from(text: String) -> Self {
        match &*text {
            "auto" => Self::Auto,
            "off" => Self::Off,
            _ => Self::At(text),
        }
    }
}

impl From<Sts> for String {
    fn from(sts: Sts) -> Self {
        match sts {
            Sts::Auto => "auto".to_owned(),
            Sts::Off => "off".to_owned(),
            Sts::At(address) => address,
        }
    }
}

/// Settings are shown, but no secret of theirs.
#[allow(clippy::ref_option)] // serde's signature
fn hidden<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| "(secret)").serialize(serializer)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(|text| Secret::new(text.into_bytes())))
}
