//! The routes for monitors, and the errors of all.

use super::*;
use crate::metrics::{Qos, Version};

#[test]
fn the_page_runs_nothing_but_its_own_and_healthz_says_ok() {
    let server = start();
    let page = get_path(&server, "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    for element in ["script", "style"] {
        let opened = page.body.matches(&format!("<{element}")).count();
        assert_eq!(opened, 1, "the policy names one {element}");
        assert!(page.body.contains(&format!("<{element}>")), "an attribute of {element} would change what is hashed");
    }
    assert!(!page.body.contains(" style=\"") && !page.body.contains(" onclick="), "the policy would not let it");
    let health = get_path(&server, "/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    assert_eq!(health.header("cache-control"), Some("no-store"));
    assert_eq!(health.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(health.header("access-control-allow-origin"), None);
}

#[test]
fn readyz_names_every_reason_until_the_last_has_gone() {
    let server = start();
    let answer = get_path(&server, "/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (503, "starting: the broker is starting\n"));
    server.health.ready(Reason::Starting);
    assert_eq!(get_path(&server, "/readyz").status, 200);
    server.health.not_ready(Reason::Router, "no answer for 3 s");
    server.health.not_ready(Reason::Store, "no space left");
    let answer = get_path(&server, "/readyz");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "router: no answer for 3 s\nstore: no space left\n");
    assert_eq!(get_path(&server, "/healthz").status, 200, "alive all the same");
    server.health.ready(Reason::Router);
    server.health.ready(Reason::Store);
    assert_eq!(get_path(&server, "/readyz").status, 200);
}

#[test]
fn metrics_come_as_prometheus_text() {
    let server = start();
    server.metrics.connected(Version::V311);
    server.metrics.sent(Qos::AtLeastOnce, 4, 321);
    let answer = get_path(&server, "/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    for line in [
        "# TYPE dockgate_connections gauge",
        "dockgate_connections{protocol=\"3.1.1\"} 1",
        "dockgate_message_bytes_sent_total{qos=\"1\"} 321",
    ] {
        assert!(answer.body.lines().any(|l| l == line), "{line} in\n{}", answer.body);
    }
    #[cfg(target_os = "linux")]
    assert!(answer.body.contains("\nprocess_resident_memory_bytes "));
}

#[test]
fn an_unknown_path_is_a_problem_that_names_it() {
    let server = start();
    for path in ["/nothing", "/api/v1/", "/api/v2/uploads", "/metrics/x"] {
        let answer = get_path(&server, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.detail().contains(path), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let long = format!("/{}", "x".repeat(5000));
    assert!(get_path(&server, &long).body.len() < 300, "what is repeated to the client is bounded");
}

#[test]
fn a_wrong_method_is_a_problem_with_what_is_allowed() {
    let server = start();
    for path in ["/", "/healthz", "/readyz", "/metrics", "/api/v1/uploads", "/api/v1/gateways/SN1"] {
        for method in ["POST", "DELETE", "BREW"] {
            let answer = request(&server, method, path);
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{answer:?}");
            assert!(answer.detail().contains(method), "{answer:?}");
        }
    }
    let head = request(&server, "HEAD", "/healthz");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}
