//! What is said when there are no credentials.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use dockgate::config::{ObjectStoreSettings, Provider};
use dockgate::object_store::ObjectStore;

use super::moto::Moto;

fn error(settings: &ObjectStoreSettings) -> String {
    let error = ObjectStore::open(settings).unwrap().credentials(&["dockgate/a"]).unwrap_err();
    let shown = format!("{error} {error:?}");
    for secret in ["hunter1", "hunter2"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    error.to_string()
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} in {said:?}");
    }
}

/// A store at this address whose keys are well known.
fn at(endpoint: &str) -> ObjectStoreSettings {
    ObjectStoreSettings {
        provider: Some(Provider::Minio),
        endpoint: Some(endpoint.to_owned()),
        bucket: Some("dock-logs".to_owned()),
        access_key_id: Some("hunter1".into()),
        secret_access_key: Some("hunter2".into()),
        ..Default::default()
    }
}

/// Answers every request with this, whoever asks.
fn answering(answer: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.to_owned();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 8192];
            let _ = connection.read(&mut request);
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn a_wrong_key_is_told_from_a_wrong_secret_and_a_wrong_role() {
    let Some(moto) = Moto::get() else { return };
    let right = moto.settings();
    let wrong_secret = ObjectStoreSettings { secret_access_key: Some("hunter2".into()), ..right.clone() };
    let said = error(&wrong_secret);
    assert_says(&said, &[&moto.endpoint.url(), &moto.role, "SignatureDoesNotMatch", "403", "check secret_access_key"]);
    let wrong_key = ObjectStoreSettings { access_key_id: Some("AKIAhunter1".into()), ..right.clone() };
    assert_says(&error(&wrong_key), &["InvalidClientTokenId", "check access_key_id"]);
    let wrong_region = ObjectStoreSettings { region: Some("eu-central-1".to_owned()), ..right };
    assert!(ObjectStore::open(&wrong_region).unwrap().credentials(&["dockgate/a"]).is_ok(), "it has all regions");
}

#[test]
fn a_refusal_is_told_with_the_services_own_words_and_without_the_keys_in_them() {
    for (status, code, message, parts) in [
        (
            "403 Forbidden",
            "AccessDenied",
            "User hunter1 may not.\n\u{1b}[31m",
            &["AccessDenied (User (hidden) may not.\\n\\u{1b}[31m)", "not the access keys that its console makes"][..],
        ),
        ("403 Forbidden", "RequestTimeTooSkewed", "", &["status 403; set the clock"]),
        ("400 Bad Request", "ValidationError", "DurationSeconds exceeds", &["object_store.session"]),
        ("400 Bad Request", "InvalidAction", "no such action", &["sts = \"off\""]),
        ("503 Busy", "SlowDown", "", &["try again later"]),
        ("400 Bad Request", "SomethingNew", &"x".repeat(5_000), &["SomethingNew (xxx", "…)"]),
    ] {
        let body =
            format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>");
        let said = error(&at(&answering(&http(status, &body))));
        assert_says(&said, parts);
        assert!(said.len() < 600, "{said}");
    }
}

#[test]
fn what_is_no_token_service_is_told_as_that() {
    for answer in [
        http("404 Not Found", "<html>not here</html>"),
        http("200 OK", "hello"),
        http("200 OK", "<AccessKeyId>hunter1</AccessKeyId>"),
        // Not followed: the request is signed for one host.
        "HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        assert_says(&error(&at(&answering(&answer))), &["answers as no token service does", "sts = \"off\""]);
    }
}

#[test]
fn a_service_that_is_away_silent_or_endless_is_given_up_in_time() {
    let begun = Instant::now();
    assert_says(&error(&at("http://127.0.0.1:1")), &["http://127.0.0.1:1 cannot be reached", "check that it runs"]);
    let endless = format!("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{}", "x".repeat(100_000));
    assert_says(&error(&at(&answering(&endless))), &["cannot be reached"]);
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Bound, and never accepted from.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    assert_says(&error(&at(&endpoint)), &["cannot be reached (timeout"]);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_key_that_is_none_of_the_stores_uploads_is_not_asked_for() {
    let store = ObjectStore::open(&at("http://127.0.0.1:1")).unwrap();
    let long = format!("dockgate/{}", "x".repeat(1024));
    for key in
        ["", "other/a", "dockgate", "dockgate/", "dockgate/../a", "dockgate//a", "dockgate/*", "dockgate/${x}", &long]
    {
        let error = store.credentials(&[key]).unwrap_err().to_string();
        assert!(error.contains("is no key for an upload"), "{key}: {error}");
    }
    assert!(store.credentials(&[]).is_err());
    assert!(store.credentials(&["dockgate/a"; 9]).is_err());
}

#[test]
fn a_file_of_keys_that_cannot_be_used_is_told_with_the_other_files() {
    let object_store = ObjectStoreSettings {
        access_key_id: None,
        secret_access_key: None,
        credentials_file: Some("/nowhere/s3-keys".into()),
        ..at("http://127.0.0.1:1")
    };
    let settings = dockgate::config::Settings { object_store, ..Default::default() };
    let flaws = dockgate::files::Files::open(&settings).unwrap_err();
    assert_eq!(flaws.len(), 1, "{flaws:?}");
    assert_says(
        &flaws[0].to_string(),
        &["/nowhere/s3-keys: the object store's keys cannot be read (No such file", "give a file"],
    );
}
