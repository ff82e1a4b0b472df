//! What token services are asked, read off the wire. That the signatures are right, moto and the vendors' examples say.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use dockgate::config::{ObjectStoreSettings, Provider, Sts};
use dockgate::object_store::ObjectStore;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::moto::text;

/// A request: the first line, the headers in lower case, the form.
struct Asked {
    line: String,
    headers: HashMap<String, String>,
    form: HashMap<String, String>,
}

impl Asked {
    fn policy(&self) -> Value {
        serde_json::from_str(&self.form["Policy"]).unwrap()
    }
}

/// Gives one answer, and what was asked.
fn answering(body: &str) -> (String, mpsc::Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
        let asked = loop {
            let count = connection.read(&mut buffer).unwrap();
            read.extend_from_slice(&buffer[..count]);
            let so_far = String::from_utf8(read.clone()).unwrap();
            if let Some(asked) = whole(&so_far) {
                break asked;
            }
            assert!(count > 0, "{so_far}");
        };
        connection.write_all(answer.as_bytes()).unwrap();
        tell.send(asked).unwrap();
    });
    (address, told)
}

/// The request, once all of it has come.
fn whole(read: &str) -> Option<Asked> {
    let (head, body) = read.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    if body.len() < headers["content-length"].parse().unwrap() {
        return None;
    }
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned();
    let fields = body.split('&').filter_map(|field| field.split_once('='));
    let form = fields.map(|(name, value)| (decode(name), decode(value))).collect();
    Some(Asked { line, headers, form })
}

fn settings(provider: Provider, region: &str, role: Option<&str>, sts: String) -> ObjectStoreSettings {
    ObjectStoreSettings {
        provider: Some(provider),
        endpoint: Some("https://store.example".to_owned()),
        region: Some(region.to_owned()),
        bucket: Some("dock-logs".to_owned()),
        access_key_id: Some("id".into()),
        secret_access_key: Some("hunter2".into()),
        sts: Sts::At(sts),
        role: role.map(str::to_owned),
        ..Default::default()
    }
}

const XML: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>\
    <SecretAccessKey>B</SecretAccessKey><SessionToken>C</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration>\
    </Credentials></AssumeRoleResult></AssumeRoleResponse>";

#[test]
fn aws_is_asked_for_a_session_that_may_write_the_objects_of_the_upload() {
    let (address, asked) = answering(XML);
    let role = "arn:aws:iam::123456789012:role/dock-logs";
    let store = ObjectStore::open(&settings(Provider::Aws, "eu-central-1", Some(role), address)).unwrap();
    let grant = store.credentials(&["dockgate/a b.tar", "dockgate/c.tar"]).unwrap();
    assert_eq!(text(&grant.security_token), "C");
    assert_eq!(grant.expires_at_ms, 1_893_456_000_000);
    let asked = asked.recv().unwrap();
    assert_eq!(asked.line, "POST / HTTP/1.1");
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    let authorization = &asked.headers["authorization"];
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=id/"), "{authorization}");
    assert!(authorization.contains("/eu-central-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date, "));
    for (name, value) in [
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("DurationSeconds", "3600"),
        ("RoleSessionName", "dockgate"),
        ("RoleArn", role),
    ] {
        assert_eq!(asked.form[name], value);
    }
    let statement = &asked.policy()["Statement"][0];
    assert_eq!(
        statement["Resource"],
        serde_json::json!(["arn:aws:s3:::dock-logs/dockgate/a b.tar", "arn:aws:s3:::dock-logs/dockgate/c.tar"])
    );
    assert_eq!(
        statement["Action"],
        serde_json::json!(["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"])
    );
    assert!(!format!("{:?} {:?}", asked.form, asked.headers).contains("hunter2"));
}

#[test]
fn minio_is_not_told_of_a_role_that_nobody_gave() {
    let (address, asked) = answering(XML);
    let store = ObjectStore::open(&settings(Provider::Minio, "us-east-1", None, address)).unwrap();
    store.credentials(&["dockgate/a"]).unwrap();
    assert!(!asked.recv().unwrap().form.contains_key("RoleArn"));
}

#[test]
fn alibaba_cloud_is_asked_in_its_own_way() {
    let answer = r#"{"Credentials":{"SecurityToken":"C","AccessKeyId":"A","AccessKeySecret":"B","Expiration":"2030-01-01T00:00:00Z"}}"#;
    let (address, asked) = answering(answer);
    let role = "acs:ram::1234567890123456:role/dock-logs";
    let store = ObjectStore::open(&settings(Provider::Ali, "cn-hangzhou", Some(role), address)).unwrap();
    let grant = store.credentials(&["dockgate/a.tar"]).unwrap();
    assert_eq!(
        (text(&grant.access_key_id), text(&grant.access_key_secret), text(&grant.security_token)),
        ("A", "B", "C")
    );
    assert_eq!(grant.expires_at_ms, 1_893_456_000_000);
    let asked = asked.recv().unwrap();
    assert_eq!(asked.headers["x-acs-action"], "AssumeRole");
    assert_eq!(asked.headers["x-acs-version"], "2015-04-01");
    assert_eq!(asked.headers["x-acs-signature-nonce"].len(), 32);
    let signed = "content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
    let begin = format!("ACS3-HMAC-SHA256 Credential=id,SignedHeaders={signed},Signature=");
    assert!(asked.headers["authorization"].starts_with(&begin), "{}", asked.headers["authorization"]);
    for (name, value) in [("DurationSeconds", "3600"), ("RoleSessionName", "dockgate"), ("RoleArn", role)] {
        assert_eq!(asked.form[name], value);
    }
    let policy = asked.policy();
    assert_eq!((&policy["Version"], &policy["Statement"][0]["Effect"]), (&"1".into(), &"Allow".into()));
    assert_eq!(policy["Statement"][0]["Resource"], serde_json::json!(["acs:oss:*:*:dock-logs/dockgate/a.tar"]));
    assert_eq!(
        policy["Statement"][0]["Action"],
        serde_json::json!(["oss:PutObject", "oss:AbortMultipartUpload", "oss:ListParts"])
    );
}
