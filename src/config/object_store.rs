//! Whether the section `[object_store]` makes sense, and what in it deserves a second thought.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::flaw::Flaws;
use super::warnings::secret;
use crate::object_store::{Endpoint, ObjectStoreSettings, Provider, Sts, is_literal, is_usable};

const MINUTE: Duration = Duration::from_secs(60);
/// What AWS, Alibaba Cloud and MinIO all take for a session.
const SESSION: RangeInclusive<Duration> = MINUTE.saturating_mul(15)..=MINUTE.saturating_mul(12 * 60);
/// S3's bound of a key is 1,024 bytes, and the broker needs some for each upload.
const LONGEST_PREFIX: usize = 512;

pub(super) fn flaws(store: &ObjectStoreSettings, found: &mut Flaws) {
    let Some(provider) = store.provider else {
        if *store != ObjectStoreSettings::default() {
            let fault = "without it there is no object store, and the rest of the section has no effect";
            found.missing("object_store.provider", fault, "give \"minio\", \"aws\" or \"ali\", or delete the section");
        }
        return;
    };
    place(provider, store, found);
    keys(store, found);
    token_service(provider, store, found);
}

/// Where the store is, and where in it.
fn place(provider: Provider, store: &ObjectStoreSettings, found: &mut Flaws) {
    let example = "give scheme, host and port, such as \"http://10.0.0.5:9000\" or \"https://minio.example\"";
    match &store.endpoint {
        Some(text) => address("object_store.endpoint", text, example, found),
        None if provider == Provider::Minio => {
            found.missing("object_store.endpoint", "MinIO has no address of its own accord", example);
        }
        None => {}
    }
    match store.region() {
        None => {
            let remedy = "give the one that the bucket is in, such as \"eu-central-1\" (aws) or \"cn-hangzhou\" (ali)";
            found.missing("object_store.region", "requests are signed for a region", remedy);
        }
        Some(region) if !is_region(region) || region.starts_with("oss-") => {
            let remedy = "give one such as \"us-east-1\" (minio), \"eu-central-1\" (aws) or \"cn-hangzhou\" (ali)";
            found.push("object_store.region", format!("{region:?}"), "this is not the name of a region", remedy);
        }
        Some(_) => {}
    }
    match &store.bucket {
        None => found.missing("object_store.bucket", "docks upload into a bucket", "give the name of one that exists"),
        Some(bucket) if !is_bucket(bucket) => found.push(
            "object_store.bucket",
            format!("{bucket:?}"),
            "no bucket can have this name",
            "give 3 to 63 of a-z, 0-9, - and ., with a letter or digit at both ends",
        ),
        Some(_) => {}
    }
    let prefix = &store.prefix;
    let is_path = prefix.is_empty() || prefix.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !is_path || !is_literal(prefix) || prefix.len() > LONGEST_PREFIX {
        found.push(
            "object_store.prefix",
            format!("{prefix:?}"),
            "no object key can begin with this",
            "give names with single slashes between them, such as \"dockgate\" or \"fleet/logs\", without * ? $ \\ and ..",
        );
    }
}

/// No key is shown, not even a wrong one.
fn keys(store: &ObjectStoreSettings, found: &mut Flaws) {
    if store.credentials_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        found.push("object_store.credentials_file", "\"\"", "this names no file", "give its path, or leave it out");
    }
    let pair = [
        ("object_store.access_key_id", &store.access_key_id, "object_store.secret_access_key"),
        ("object_store.secret_access_key", &store.secret_access_key, "object_store.access_key_id"),
    ];
    for (key, given, other) in pair {
        if given.as_ref().is_some_and(|given| !is_usable(given.expose())) {
            let fault = "this is no key: it is empty, or has a space, a line end or another character that none has";
            found.missing(key, fault, "give it as the store has shown it");
        } else if given.is_none() && pair.iter().any(|(key, given, _)| *key == other && given.is_some()) {
            found.missing(key, format!("{other} is given, and one is of no use without the other"), "give both");
        }
    }
    if store.credentials_file.is_none() && pair.iter().all(|(_, given, _)| given.is_none()) {
        let fault = "the store lets nobody in without keys";
        let remedy = "name a file with access_key_id = \"…\" and secret_access_key = \"…\", or give these two in the \
                      environment (DOCKGATE_OBJECT_STORE__ACCESS_KEY_ID, …)";
        found.missing("object_store.credentials_file", fault, remedy);
    }
}

/// Where temporary credentials come from, of whom, and for how long.
fn token_service(provider: Provider, store: &ObjectStoreSettings, found: &mut Flaws) {
    if let Sts::At(text) = &store.sts {
        let remedy = "give \"auto\", \"off\" or the address of a token service, such as \"https://sts.example\"";
        address("object_store.sts", text, remedy, found);
    }
    let (begins, example) = match provider {
        Provider::Aws => ("arn:", "\"arn:aws:iam::123456789012:role/dock-logs\""),
        Provider::Ali => ("acs:ram::", "\"acs:ram::1234567890123456:role/dock-logs\""),
        Provider::Minio => ("", "any text, or leave it out"),
    };
    match &store.role {
        None if provider != Provider::Minio && store.sts != Sts::Off => found.missing(
            "object_store.role",
            "temporary credentials are those of a role",
            format!("give one that may write into the bucket, such as {example}"),
        ),
        Some(role) if !role.starts_with(begins) || !is_usable(role.as_bytes()) => {
            let fault = "this is not the name of a role";
            found.push("object_store.role", format!("{role:?}"), fault, format!("give {example}"));
        }
        _ => {}
    }
    found.duration("object_store.session", store.session, SESSION);
}

fn address(key: &str, text: &str, remedy: &str, found: &mut Flaws) {
    if let Err(error) = Endpoint::parse(text) {
        // What stands before the host may be a password.
        let shown = text.rsplit_once('@').map_or_else(|| format!("{text:?}"), |(_, host)| format!("\"…@{host}\""));
        found.push(key, shown, error.to_string(), remedy);
    }
}

fn is_region(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The rules of AWS, which are also MinIO's; Alibaba Cloud has no dots.
fn is_bucket(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(byte))
        && is_end(bytes.first())
        && is_end(bytes.last())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

pub(super) fn warnings(store: &ObjectStoreSettings, found: &mut Flaws) {
    if store.provider.is_none() {
        return;
    }
    if store.sts == Sts::Off {
        found.push(
            "object_store.sts",
            "\"off\"",
            "docks are given the long-lived keys: whoever has had one dock's upload may write to the store until they are changed",
            "set \"auto\" if the store has AssumeRole; if not, give keys that may write below object_store.prefix and nothing else",
        );
    }
    let endpoints = [("object_store.endpoint", store.endpoint()), ("object_store.sts", store.sts_endpoint())];
    for (key, text) in endpoints {
        let Some(text) = text.filter(|text| Endpoint::parse(text).is_ok_and(|address| address.is_open_to_others()))
        else {
            continue;
        };
        // MinIO's token service is at the endpoint, which has been said then.
        if key == "object_store.sts" && store.sts == Sts::Auto {
            continue;
        }
        let fault = "it is reached unencrypted: who is on the way reads the logs and changes them";
        found.push(
            key,
            format!("{text:?}"),
            fault,
            "give an https:// address, or keep it inside a network that you trust",
        );
    }
    if let Some(path) = store.credentials_file.as_deref() {
        secret("object_store.credentials_file", path, found);
    }
    if store.secret_access_key.is_some() {
        // Said of a file only; see `load`.
        let fault = "whoever reads the settings file has the key: it is copied, shown and kept in version control";
        let remedy = "put the keys into a file of their own (object_store.credentials_file), or into the environment";
        found.missing(SECRET_IN_FILE, fault, remedy);
    }
}

/// The setting that belongs into the environment.
pub(super) const SECRET_IN_FILE: &str = "object_store.secret_access_key";
