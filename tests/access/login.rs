//! CONNECT with and without credentials.

use super::common::{Connect, V5, V31, V311, VERSIONS, Version, Wire, metric};
use super::{DOCK, Files, client, connect};
use std::net::SocketAddr;

fn code(address: SocketAddr, connect: &Connect) -> u8 {
    Wire::try_connect(address, connect).1.code
}

fn expected(version: Version, v3: u8, v5: u8) -> u8 {
    if version == V5 { v5 } else { v3 }
}

#[test]
fn the_right_password_lets_in_and_nothing_else_does() {
    let files = Files::with_users(&[DOCK]);
    let broker = files.start(&[]);
    for version in VERSIONS {
        let connect = |user: &str, password: &str| code(broker.mqtt, &Connect::new(version, "x").login(user, password));
        assert_eq!(connect(DOCK, "pass-7CTDM3D00B1A2C"), 0);
        let bad = expected(version, 4, 0x86);
        assert_eq!((connect(DOCK, "wrong"), connect("nobody", "wrong")), (bad, bad), "{version:?}");
        assert_eq!(connect(DOCK, ""), bad, "{version:?}");
        assert_eq!(code(broker.mqtt, &Connect::new(version, "x")), expected(version, 5, 0x87), "{version:?}");
    }
    let failures = |reason| metric(broker.http, "dockgate_auth_failures_total", reason);
    assert_eq!((failures("wrong_password"), failures("unknown_user"), failures("anonymous")), (6.0, 3.0, 3.0));
    assert_eq!(metric(broker.http, "dockgate_connections_refused_total", "bad_credentials"), 9.0);
}

#[test]
fn anonymous_clients_come_in_beside_the_named_ones_if_that_is_written() {
    let files = Files::with_users(&[DOCK]);
    let broker = files.start(&[("DOCKGATE_ACCESS__ALLOW_ANONYMOUS", "true")]);
    assert_eq!(code(broker.mqtt, &Connect::new(V311, "x")), 0);
    assert_eq!(code(broker.mqtt, &connect(V31, DOCK)), 0);
    assert_eq!(code(broker.mqtt, &Connect::new(V311, "x").login(DOCK, "wrong")), 4);
}

#[test]
fn another_users_name_is_nobodys_client_identifier() {
    let files = Files::with_users(&[DOCK, "backend"]);
    let broker = files.start(&[]);
    let thief = Connect::new(V5, DOCK).login("backend", "pass-backend");
    assert_eq!(code(broker.mqtt, &thief), 0x85);
    client(&broker, V5, DOCK).expect_alive();
}
