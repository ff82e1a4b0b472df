//! The section `[object_store]`.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use dockgate::config::{Provider, Settings, Sts};
use dockgate::secret::Secret;

use crate::{assert_only_problem, from_environment, from_file, load_all, problems};

const MINIO: &str = "[object_store]\nprovider = 'minio'\nendpoint = 'http://10.0.0.5:9000'\nbucket = 'dock-logs'\n\
                     credentials_file = 's3-keys'\n";

fn minio_with(line: &str) -> String {
    let name = line.split(' ').next().unwrap();
    let others = MINIO.lines().filter(|other| !other.starts_with(name));
    others.chain([line]).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_store_of_ones_own_needs_an_address_a_bucket_and_keys() {
    let store = from_file(MINIO, &[]).unwrap().object_store;
    assert_eq!(store.provider, Some(Provider::Minio));
    assert_eq!(store.region(), Some("us-east-1"));
    assert_eq!(store.sts_endpoint().as_deref(), Some("http://10.0.0.5:9000"));
    assert_eq!((store.prefix.as_str(), store.session), ("dockgate", Duration::from_secs(3600)));
    assert!(store.credentials_file.unwrap().is_absolute(), "it starts from the folder of the settings file");
    let missing = problems("[object_store]\nprovider = 'minio'\n", &[]);
    assert_eq!(missing.len(), 3, "{missing:#?}");
    for key in ["endpoint", "bucket", "credentials_file"] {
        assert!(missing.iter().any(|problem| problem.contains(&format!("object_store.{key}: "))), "{missing:#?}");
    }
}

#[test]
fn the_addresses_of_aws_and_alibaba_follow_from_the_region() {
    for (provider, region, role, endpoint, sts) in [
        (
            "aws",
            "eu-central-1",
            "arn:aws:iam::123456789012:role/logs",
            "https://s3.eu-central-1.amazonaws.com",
            "https://sts.eu-central-1.amazonaws.com",
        ),
        (
            "aws",
            "cn-north-1",
            "arn:aws-cn:iam::123456789012:role/logs",
            "https://s3.cn-north-1.amazonaws.com.cn",
            "https://sts.cn-north-1.amazonaws.com.cn",
        ),
        (
            "ali",
            "cn-hangzhou",
            "acs:ram::1234567890123456:role/logs",
            "https://oss-cn-hangzhou.aliyuncs.com",
            "https://sts.cn-hangzhou.aliyuncs.com",
        ),
    ] {
        let text = format!(
            "[object_store]\nprovider = '{provider}'\nregion = '{region}'\nbucket = 'logs'\nrole = '{role}'\ncredentials_file = 'k'"
        );
        let store = from_file(&text, &[]).unwrap().object_store;
        assert_eq!(store.endpoint().as_deref(), Some(endpoint));
        assert_eq!(store.sts_endpoint().as_deref(), Some(sts));
        let without_role = text.replace(&format!("role = '{role}'\n"), "");
        assert_only_problem(&without_role, &[], &["object_store.role: temporary credentials are those of a role"]);
        assert!(from_file(&format!("{without_role}\nsts = 'off'"), &[]).is_ok(), "keys of one's own have no role");
        assert_only_problem(&text.replace(&format!("region = '{region}'\n"), ""), &[], &["object_store.region: "]);
    }
}

#[test]
fn everything_can_come_from_the_environment_and_keys_are_text_whatever_they_look_like() {
    let settings = from_environment(&[
        ("DOCKGATE_OBJECT_STORE__PROVIDER", "minio"),
        ("DOCKGATE_OBJECT_STORE__ENDPOINT", "http://minio:9000"),
        ("DOCKGATE_OBJECT_STORE__BUCKET", "dock-logs"),
        ("DOCKGATE_OBJECT_STORE__ACCESS_KEY_ID", "true"),
        ("DOCKGATE_OBJECT_STORE__SECRET_ACCESS_KEY", "0012345678"),
        ("DOCKGATE_OBJECT_STORE__STS", "http://127.0.0.1:9000"),
        ("DOCKGATE_OBJECT_STORE__SESSION", "2h"),
    ]);
    let store = settings.unwrap().object_store;
    assert_eq!(store.access_key_id, Some(Secret::from("true")));
    assert_eq!(store.secret_access_key, Some(Secret::from("0012345678")));
    assert_eq!(store.sts, Sts::At("http://127.0.0.1:9000".to_owned()));
    assert_eq!(store.session, Duration::from_secs(7200));
}

#[test]
fn what_makes_no_sense_is_told_with_a_remedy() {
    for (line, parts) in [
        ("endpoint = '10.0.0.5:9000'", ["object_store.endpoint = \"10.0.0.5:9000\"", "http://10.0.0.5:9000"]),
        ("endpoint = 'http://10.0.0.5:9000/dock-logs'", ["nothing may follow the host", "give scheme, host and port"]),
        ("endpoint = 'http://me:hunter2@minio'", ["object_store.endpoint = \"…@minio\"", "no place here"]),
        ("bucket = 'Dock_Logs'", ["object_store.bucket = \"Dock_Logs\"", "3 to 63"]),
        ("bucket = '192.168.1.1'", ["no bucket can have this name", "3 to 63"]),
        ("prefix = '/logs'", ["object_store.prefix = \"/logs\"", "single slashes"]),
        ("prefix = 'logs/../other'", ["no object key can begin", "and .."]),
        ("prefix = 'logs/*'", ["no object key can begin", "without *"]),
        ("region = 'us east'", ["object_store.region", "not the name of a region"]),
        ("session = '5m'", ["object_store.session = 5m: the least that makes sense is 15m", "give more"]),
        ("session = '1d'", ["the most that makes sense is 12h", "give less"]),
        ("sts = 'none'", ["object_store.sts = \"none\"", "give \"auto\", \"off\" or"]),
        ("provider = 'oss'", ["object_store.provider = \"oss\"", "\"minio\", \"aws\", \"ali\""]),
        ("credentials_file = ''", ["object_store.credentials_file", "names no file"]),
        ("access_key_id = 'id'", ["object_store.secret_access_key: object_store.access_key_id is given", "give both"]),
        ("buckets = 'x'", ["object_store.buckets", "did you mean object_store.bucket?"]),
    ] {
        let text = if line.starts_with("buckets") { format!("{MINIO}{line}") } else { minio_with(line) };
        assert_only_problem(&text, &[], &parts);
    }
    assert_only_problem(
        "[object_store]\nbucket = 'dock-logs'",
        &[],
        &["object_store.provider: without it there is no object store", "\"minio\", \"aws\" or \"ali\""],
    );
}

#[test]
fn no_key_is_ever_shown() {
    let keys = "access_key_id = 'hunter1'\nsecret_access_key = 'hunter2'\n";
    let settings = from_file(&format!("{MINIO}{keys}"), &[]).unwrap();
    let json = serde_json::to_string(&settings).unwrap();
    for shown in [format!("{settings:?}"), json] {
        assert!(shown.contains("secret") && !shown.contains("hunter"), "{shown}");
    }
    for line in
        ["secret_access_key = ['hunter2']", "secret_access_key = 'hunter2 '", "secret_access_key = { hunter2 = 1 }"]
    {
        let problems = problems(&format!("{MINIO}access_key_id = 'hunter1'\n{line}\n"), &[]);
        assert!(problems.iter().any(|problem| problem.contains("object_store.secret_access_key")), "{problems:#?}");
        assert!(!problems.concat().contains("hunter"), "{problems:#?}");
    }
    let variables =
        [("DOCKGATE_OBJECT_STORE__SECRET_ACCESS_KEY", "hunter2\n"), ("DOCKGATE_OBJECT_STORE__ACCESS_KEY_ID", "")];
    let problems = problems(MINIO, &variables).concat();
    assert!(
        problems.contains("DOCKGATE_OBJECT_STORE__SECRET_ACCESS_KEY") && !problems.contains("hunter"),
        "{problems}"
    );
}

/// The warnings of this text and these variables.
fn warnings(text: &str, variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (file, keys) = (folder.path().join("dockgate.toml"), folder.path().join("s3-keys"));
    std::fs::write(&file, text).unwrap();
    std::fs::write(&keys, "").unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    let warnings = load_all(Some(&file), variables).unwrap().warnings;
    warnings.iter().map(|warning| format!("{warning}\n")).collect()
}

#[test]
fn long_lived_keys_for_docks_plain_http_and_a_key_in_the_file_are_warned_about() {
    assert_eq!(warnings(MINIO, &[]), "");
    let said = warnings(&minio_with("sts = 'off'"), &[]);
    assert!(said.contains("object_store.sts = \"off\": docks are given the long-lived keys"), "{said}");
    let said = warnings(&minio_with("endpoint = 'http://s3.example.com'"), &[]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("object_store.endpoint") && said.contains("unencrypted"), "{said}");
    let said = warnings(&minio_with("sts = 'http://203.0.113.7:9000'"), &[]);
    assert!(said.contains("object_store.sts = \"http://203.0.113.7:9000\": it is reached unencrypted"), "{said}");
    let keys =
        [("DOCKGATE_OBJECT_STORE__ACCESS_KEY_ID", "hunter1"), ("DOCKGATE_OBJECT_STORE__SECRET_ACCESS_KEY", "hunter2")];
    assert_eq!(warnings(MINIO, &keys), "", "the environment is where they belong");
    let said = warnings(&format!("{MINIO}access_key_id = 'hunter1'\nsecret_access_key = 'hunter2'\n"), &[]);
    assert!(said.contains("dockgate.toml:7: object_store.secret_access_key") && !said.contains("hunter"), "{said}");
}

#[test]
fn a_file_of_keys_that_everybody_can_read_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let (file, keys) = (folder.path().join("dockgate.toml"), folder.path().join("s3-keys"));
    std::fs::write(&file, MINIO).unwrap();
    std::fs::write(&keys, "").unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = load_all(Some(&file), &[]).unwrap().warnings;
    assert_eq!((warnings.len(), &*warnings[0].key), (1, "object_store.credentials_file"));
}

#[test]
fn without_a_provider_there_is_no_object_store() {
    assert_eq!(Settings::default().object_store.provider, None);
}
