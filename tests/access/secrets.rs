//! What must never be seen: the credentials of an upload, and passwords.

use super::common::{Connect, Publish, V5, V311, Wire, eventually, get, metric};
use super::{DOCK, FLEET, Files, client, thing};
use serde_json::Value;

const START: &str = include_str!("../seed/fileupload_start.json");

/// In a start that is refused.
const OTHER_KEY: &str = "STS.NUeXampleOfARefusedStart";

/// The credentials in the protocol page's example.
fn credentials() -> Vec<String> {
    let start: Value = serde_json::from_str(START).unwrap();
    let credentials = start["data"]["credentials"].as_object().unwrap();
    let secrets: Vec<_> = ["access_key_id", "access_key_secret", "security_token"]
        .iter()
        .map(|name| credentials[*name].as_str().unwrap().to_owned())
        .collect();
    assert!(secrets.iter().all(|secret| secret.len() > 4), "{secrets:?}");
    secrets
}

#[test]
fn no_credentials_are_seen_at_any_log_level() {
    for level in ["error,dockgate::server=info", "warn,dockgate::server=info", "info", "debug", "trace"] {
        let files = Files::with_users(&[DOCK, "backend"]);
        let mut settings = FLEET.to_vec();
        settings.push(("DOCKGATE_LOG__LEVEL", level));
        let broker = files.start(&settings);
        let mut dock = client(&broker, V5, DOCK);
        dock.subscribe(&[(&thing(DOCK, "services"), 1)]);
        let mut backend = client(&broker, V311, "backend");
        // One that passes, one that is refused, one from somebody who may not, one that is cut off, one as a will.
        backend.publish(&Publish::new(&thing(DOCK, "services"), START).qos(1, 1));
        dock.expect_message(START);
        let another = START.replace(r#""module": "3""#, r#""module": "0""#).replace("STS.access_key_id", OTHER_KEY);
        backend.publish(&Publish::new(&thing(DOCK, "services"), another).qos(1, 2));
        dock.publish(&Publish::new(&thing(DOCK, "services"), START).qos(1, 1));
        backend.publish(&Publish::new(&thing(DOCK, "services"), &START[..START.len() - 2]).qos(1, 3));
        let will = Connect::new(V311, "will").login("backend", "pass-backend").will(&thing(DOCK, "services"), START);
        Wire::connect(broker.mqtt, &will).vanish();
        dock.publish(&Publish::new(&thing(DOCK, "events"), START).qos(1, 1));
        assert_eq!(
            Wire::try_connect(broker.mqtt, &Connect::new(V5, "x").login("backend", "hunter2hunter2")).1.code,
            0x86
        );
        backend.expect_alive();
        eventually("the will is published", || metric(broker.http, "dockgate_wills_total", "") == 1.0);

        let mut seen = broker.log();
        for path in ["/metrics", "/api/v1/uploads", "/api/v1/gateways", &format!("/api/v1/gateways/{DOCK}")] {
            seen.push_str(&get(broker.http, path));
        }
        assert!(seen.contains("dockgate_uploads_started_total 1"), "the start was seen");
        for secret in credentials().iter().map(String::as_str).chain([OTHER_KEY, "pass-backend", "hunter2hunter2"]) {
            assert!(!seen.contains(secret), "{secret} at {level}");
        }
    }
}

#[test]
fn check_shows_no_secret_of_the_files_that_it_reads() {
    let files = Files::with_users(&[DOCK]);
    let hash = std::fs::read_to_string(files.passwords()).unwrap();
    let (_, hash) = hash.trim().split_once(':').unwrap();
    std::fs::write(files.passwords(), format!("{DOCK}:{hash}\nplain:hunter2\n")).unwrap();
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .arg("check")
        .env("DOCKGATE_ACCESS__PASSWORD_FILE", files.passwords())
        .output()
        .unwrap();
    let shown = [check.stdout, check.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(shown.contains("passwd:2"), "{shown}");
    assert!(!shown.contains(hash) && !shown.contains("hunter2"), "{shown}");
}
