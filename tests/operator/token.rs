//! Who may use the HTTP listener.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::common::{Broker, BrokerProcess, DEADLINE, post, request};

fn token(path: &Path, arguments: &[&str]) -> String {
    let made =
        std::process::Command::new(env!("CARGO_BIN_EXE_dockgate")).arg("token").arg(path).args(arguments).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

fn status(at: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    request(at, method, path, headers, "{}").status
}

#[test]
fn with_a_token_everything_but_the_empty_page_and_health_asks_for_it_and_a_new_one_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let first = token(&path, &[]);
    let broker = Broker::start(|settings| settings.http.token_file = Some(path.clone()));
    let with = |token: &str| format!("Bearer {token}");
    for everybodys in ["/", "/healthz", "/readyz", "/api/openapi.json"] {
        assert_eq!(status(broker.http, "GET", everybodys, &[]), 200, "{everybodys}");
    }
    for guarded in ["/metrics", "/api/v1/overview", "/api/v1/gateways", "/api/v1/events", "/api/v1/codes", "/nothing"] {
        let answer = request(broker.http, "GET", guarded, &[], "");
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (401, Some("application/problem+json")),
            "{guarded}"
        );
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("http.token_file"), "{answer:?}");
    }
    assert_eq!(post(broker.http, "/api/v1/gateways/SN1/log-list", &json!({})).status, 401);
    assert_eq!(status(broker.http, "GET", "/metrics", &[("authorization", &with("not the token"))]), 401);
    // With the token, any name will do: a proxy asks under its own.
    let right = with(&first);
    let headers = [("authorization", &*right), ("host", "docks.example")];
    assert_eq!(status(broker.http, "GET", "/api/v1/overview", &headers), 200);
    let metrics = request(broker.http, "GET", "/metrics", &headers, "").body;
    assert!(metrics.contains("dockgate_auth_failures_total{reason=\"http_token\"} 8"), "{metrics}");

    let mut stream = TcpStream::connect(broker.http).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: {right}\r\n\r\n")
        .unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");

    let second = token(&path, &["--replace"]);
    assert_ne!(first, second);
    broker.reload();
    assert_eq!(status(broker.http, "GET", "/metrics", &[("authorization", &right)]), 401);
    assert_eq!(status(broker.http, "GET", "/metrics", &[("authorization", &with(&second))]), 200);
    let end = Instant::now() + DEADLINE;
    while stream.read(&mut [0; 4096]).unwrap() > 0 {
        assert!(Instant::now() < end, "who came in by the old token hears on");
    }
}

#[test]
fn a_token_is_not_overwritten_by_accident_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let first = token(&path, &[]);
    assert!(first.len() >= 32 && std::fs::metadata(&path).unwrap().permissions().mode().trailing_zeros() >= 6);
    let again = std::process::Command::new(env!("CARGO_BIN_EXE_dockgate")).arg("token").arg(&path).output().unwrap();
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("--replace"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), first);
}

#[test]
fn a_listener_that_others_reach_does_not_start_without_a_token() {
    let run = |variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dockgate"));
        command
            .arg("check")
            .env("DOCKGATE_PERSISTENCE__ENABLED", "false")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    };
    let refused = run(&[("DOCKGATE_HTTP__BIND", "0.0.0.0:0")]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("http.bind = 0.0.0.0:0") && said.contains("give http.token_file"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let variables = [("DOCKGATE_HTTP__BIND", "0.0.0.0:0"), ("DOCKGATE_HTTP__TOKEN_FILE", path.to_str().unwrap())];
    std::fs::write(&path, "too short").unwrap();
    let said = String::from_utf8_lossy(&run(&variables).stderr).into_owned();
    assert!(said.contains("this is no token") && !said.contains("too short"), "{said}");
    std::fs::remove_file(&path).unwrap();
    token(&path, &[]);
    let accepted = run(&variables);
    let said = String::from_utf8_lossy(&accepted.stdout).into_owned();
    assert!(
        accepted.status.success() && said.contains("reached by every machine that can reach this one, with a token"),
        "{accepted:?}"
    );
}

#[test]
fn another_page_can_neither_read_nor_change_anything() {
    let broker = BrokerProcess::start(&[("DOCKGATE_HTTP__HOSTS", "[\"docks.example\"]")]);
    let json = ("content-type", "application/json");
    let path = "/api/v1/gateways/SN1/log-list";
    let own = format!("http://{}", broker.http);
    // The dock is not there, which is all that is wrong with these.
    assert_eq!(status(broker.http, "POST", path, &[json]), 503);
    assert_eq!(status(broker.http, "POST", path, &[json, ("origin", &own)]), 503);
    assert_eq!(
        status(broker.http, "POST", path, &[json, ("host", "docks.example"), ("origin", "https://docks.example")]),
        503
    );
    for foreign in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(status(broker.http, "POST", path, &[json, foreign]), 403, "{foreign:?}");
    }
    let fetched = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
    assert_eq!(status(broker.http, "GET", "/api/v1/events", &fetched), 403);
    let linked = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(status(broker.http, "GET", "/api/v1/overview", &linked), 200);
    // What a form of another page could send is not JSON.
    assert_eq!(status(broker.http, "POST", path, &[("content-type", "text/plain")]), 415);
    // A name that somebody has made to mean this machine.
    for (method, path) in [("GET", "/api/v1/overview"), ("GET", "/metrics"), ("POST", path)] {
        assert_eq!(status(broker.http, method, path, &[json, ("host", "evil.example")]), 421, "{method} {path}");
    }
    let preflight = request(broker.http, "OPTIONS", path, &[("origin", "http://evil.example")], "");
    assert!(preflight.header("access-control-allow-origin").is_none(), "{preflight:?}");
}
