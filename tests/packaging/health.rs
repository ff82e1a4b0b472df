//! `dockgate health`, against a broker that is well, one that is not, and none.

use std::net::TcpListener;

use crate::common::{BrokerProcess, Publish, V5, Wire, eventually};
use crate::{dockgate, stderr};

#[test]
fn a_broker_that_is_ready_is_said_to_be() {
    let broker = BrokerProcess::start(&[]);
    let bind = broker.http.to_string();
    let url = format!("http://{bind}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dockgate.toml");
    std::fs::write(&file, format!("[http]\nbind = \"{bind}\"\n")).unwrap();
    for (arguments, variables) in [
        (vec!["health", "--url", &url], vec![]),
        (vec!["health", "--config", file.to_str().unwrap()], vec![]),
        (vec!["health"], vec![("DOCKGATE_HTTP__BIND", bind.as_str())]),
    ] {
        let output = dockgate(&arguments, &variables);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"ready\n"[..]), "{output:?}");
    }
    // The container's listener is on all addresses, and is asked on loopback.
    let everywhere = format!("0.0.0.0:{}", broker.http.port());
    let variables = [("DOCKGATE_HTTP__BIND", &everywhere[..]), ("DOCKGATE_HTTP__TOKEN_FILE", "http-token")];
    assert!(dockgate(&["health"], &variables).status.success());
}

#[test]
fn a_broker_that_is_not_ready_says_why() {
    let broker = BrokerProcess::start_with_files_up_to(4 << 20, &[]);
    let mut publisher = Wire::clean(broker.mqtt, V5, "publisher");
    let payload = vec![b'x'; 100_000];
    let is_refused =
        (1..1000).any(|n| publisher.publish(&Publish::new(&format!("fill/{n}"), &payload).qos(1, n).retain()) == 0x97);
    assert!(is_refused, "the disk is never full");
    let url = format!("http://{}", broker.http);
    eventually("it is not ready", || {
        let output = dockgate(&["health", "--url", &url], &[]);
        let said = stderr(&output);
        output.status.code() == Some(1) && said.starts_with("dockgate: not ready: store: ") && said.lines().count() == 1
    });
}

#[test]
fn no_broker_is_an_error_that_names_the_place_and_the_remedy() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/readyz", place.local_addr().unwrap());
    drop(place);
    let output = dockgate(&["health", "--url", &url], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&url) && said.contains("start the broker") && said.contains("refused"), "{said}");
}

#[test]
fn wrong_addresses_and_wrong_settings_are_told_from_a_broker_that_is_ill() {
    for arguments in [
        vec!["health", "--url", "https://127.0.0.1:9641"],
        vec!["health", "--url", "127.0.0.1:9641"],
        vec!["health", "--url", "http://127.0.0.1:9641", "--config", "dockgate.toml"],
        vec!["health", "--config", "/nowhere/dockgate.toml"],
    ] {
        let output = dockgate(&arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
