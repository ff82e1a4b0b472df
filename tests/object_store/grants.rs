//! What a grant is good for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dockgate::config::{Provider, Sts};
use dockgate::object_store::{GrantError, KeyPair, ObjectStore};

use super::moto::{BUCKET, Moto, pair, text};

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

#[test]
fn an_object_is_written_with_the_credentials_of_a_grant_and_arrives_as_it_was_sent() {
    let Some(moto) = Moto::get() else { return };
    let store = ObjectStore::open(&moto.settings()).unwrap();
    assert_eq!((store.provider(), store.bucket(), store.region()), (Provider::Minio, BUCKET, "us-east-1"));
    let key = "dockgate/8UUXN3D00A1B2C/2026-01-01 00:00 + dock.tar";
    let grant = store.credentials(&[key]).unwrap();
    let keys = KeyPair { access_key_id: grant.access_key_id, secret_access_key: grant.access_key_secret };
    assert_ne!(keys, moto.user, "the long-lived keys stay here");
    let good_for = Duration::from_millis(grant.expires_at_ms - now_ms());
    assert!((3_500..=3_605).contains(&good_for.as_secs()), "{good_for:?}");
    let body: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let token = text(&grant.security_token);
    assert!(moto.ask("PUT", key, &keys, token, &body).is_ok());
    assert_eq!(moto.read(key).unwrap(), body);
    // Without its token a key is none, and nothing can be read with it.
    assert!(moto.ask("PUT", key, &keys, "another", &body).is_err());
    assert_eq!(moto.ask("GET", key, &keys, token, b""), Err(403));
}

#[test]
fn each_upload_gets_credentials_of_its_own() {
    let Some(moto) = Moto::get() else { return };
    let store = ObjectStore::open(&moto.settings()).unwrap();
    let (one, other) = (store.credentials(&["dockgate/a"]).unwrap(), store.credentials(&["dockgate/b"]).unwrap());
    assert_ne!(one.access_key_id, other.access_key_id);
    assert_ne!(one.security_token, other.security_token);
}

#[test]
fn a_session_is_as_long_as_the_settings_say() {
    let Some(moto) = Moto::get() else { return };
    let mut settings = moto.settings();
    settings.session = Duration::from_secs(15 * 60);
    let grant = ObjectStore::open(&settings).unwrap().credentials(&["dockgate/a"]).unwrap();
    let good_for = (grant.expires_at_ms - now_ms()) / 1000;
    assert!((800..=905).contains(&good_for), "{good_for}");
}

#[test]
fn keys_from_a_file_are_read_again_for_each_grant() {
    let Some(moto) = Moto::get() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s3-keys");
    let write = |keys: &KeyPair| {
        let (id, key) = (text(&keys.access_key_id), text(&keys.secret_access_key));
        std::fs::write(&file, format!("access_key_id = \"{id}\"\nsecret_access_key = \"{key}\"\n")).unwrap();
    };
    write(&pair("AKIAOLD", "old"));
    let mut settings = moto.settings();
    (settings.access_key_id, settings.secret_access_key) = (None, None);
    settings.credentials_file = Some(file.clone());
    let store = ObjectStore::open(&settings).unwrap();
    assert!(matches!(store.credentials(&["dockgate/a"]), Err(GrantError::Refused { .. })));
    write(&moto.user);
    assert!(store.credentials(&["dockgate/a"]).is_ok());
    std::fs::remove_file(&file).unwrap();
    let error = store.credentials(&["dockgate/a"]).unwrap_err().to_string();
    assert!(error.contains("s3-keys") && error.contains("give a file with access_key_id"), "{error}");
}

#[test]
fn without_a_token_service_docks_get_the_long_lived_keys() {
    let settings = dockgate::config::ObjectStoreSettings {
        provider: Some(Provider::Minio),
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        bucket: Some(BUCKET.to_owned()),
        access_key_id: Some("id".into()),
        secret_access_key: Some("key".into()),
        sts: Sts::Off,
        ..Default::default()
    };
    let grant = ObjectStore::open(&settings).unwrap().credentials(&["dockgate/a"]).unwrap();
    assert_eq!((text(&grant.access_key_id), text(&grant.access_key_secret)), ("id", "key"));
    assert_eq!(text(&grant.security_token), "");
    assert!(grant.expires_at_ms > now_ms());
}
