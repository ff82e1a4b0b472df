//! The ledger as JSON.

use super::*;

#[test]
fn an_empty_ledger_lists_nothing() {
    let server = start();
    let empty = |name: &str| serde_json::json!({ name: [], "matching": 0, "next": null });
    assert_eq!(get_path(&server, "/api/v1/uploads").json(), empty("uploads"));
    assert_eq!(get_path(&server, "/api/v1/uploads?gateway=SN1").json(), empty("uploads"));
    assert_eq!(get_path(&server, "/api/v1/gateways").json(), empty("gateways"));
    let answer = get_path(&server, "/api/v1/gateways/SN1");
    assert_eq!(answer.status, 404);
    assert!(answer.detail().contains("SN1"), "{answer:?}");
}

#[test]
fn a_running_upload_is_in_the_listing_the_gateway_and_the_metrics() {
    let server = start();
    server.start_upload("SN1", "b1", NOW.0 - 9000);
    server.tell("SN1", "b1", NOW.0 - 8000, Body::StartReply(Some(0)));
    let listing = get_path(&server, "/api/v1/uploads?state=running").json();
    let upload = &listing["uploads"][0];
    assert_eq!(listing["matching"], 1);
    assert_eq!(upload["gateway"], "SN1");
    assert_eq!(upload["state"], "active");
    assert_eq!(upload["age_ms"], 9000);
    assert_eq!(upload["aliases"][0]["bid"], "b1");
    assert_eq!(upload["files"][0]["module"], "3");
    assert_eq!(get_path(&server, "/api/v1/uploads?state=ended").json()["matching"], 0);
    assert_eq!(get_path(&server, "/api/v1/gateways").json()["gateways"][0]["running"][0], *upload);
    assert_eq!(get_path(&server, "/api/v1/gateways/SN1").json()["running"][0], *upload);
    let metrics = get_path(&server, "/metrics").body;
    for line in [
        "dockgate_uploads_running{state=\"active\"} 1",
        "dockgate_uploads_running{state=\"pending\"} 0",
        "dockgate_gateways 1",
        "dockgate_uploads_started_total 1",
        "dockgate_upload_result_codes_total{code=\"0\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }
}

#[test]
fn an_ended_upload_is_in_the_history_and_no_longer_running() {
    let server = start();
    server.start_upload("SN1", "b1", NOW.0 - 60_000);
    server.tell("SN1", "b1", NOW.0 - 59_000, Body::StartReply(Some(0)));
    server.end_upload("SN1", "b1", NOW.0 - 20_000);
    assert_eq!(get_path(&server, "/api/v1/uploads?state=running").json()["matching"], 0);
    let ended = get_path(&server, "/api/v1/uploads?state=ended&gateway=SN1").json();
    assert_eq!(ended["uploads"][0]["outcome"], "ok");
    assert_eq!(ended["uploads"][0]["ended_ms"], 20_000);
    assert_eq!(get_path(&server, "/api/v1/gateways/SN1").json()["history"], ended["uploads"]);
    let metrics = get_path(&server, "/metrics").body;
    for line in [
        "dockgate_uploads_running{state=\"pending\"} 0",
        "dockgate_uploads_running{state=\"active\"} 0",
        "dockgate_uploads_ended_total{module=\"dock\",outcome=\"ok\"} 1",
        "dockgate_upload_duration_seconds_bucket{le=\"30\"} 0",
        "dockgate_upload_duration_seconds_bucket{le=\"60\"} 1",
        "dockgate_upload_duration_seconds_sum 40",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }
}

#[test]
fn next_leads_through_every_upload_and_every_gateway_once() {
    let server = start();
    for i in 0..25 {
        server.start_upload(&format!("SN{i:02}"), "b", NOW.0 - 1000);
    }
    for (path, list, cursor, key) in
        [("/api/v1/uploads", "uploads", "before", "id"), ("/api/v1/gateways", "gateways", "after", "gateway")]
    {
        let mut seen = Vec::new();
        let mut from = String::new();
        for (listed, left) in [(10, 25), (10, 15), (5, 5)] {
            let page = get_path(&server, &format!("{path}?limit=10{from}")).json();
            let views = page[list].as_array().unwrap();
            assert_eq!((views.len(), &page["matching"]), (listed, &serde_json::json!(left)));
            seen.extend(views.iter().map(|view| view[key].to_string()));
            from = format!("&{cursor}={}", page["next"].to_string().trim_matches('"'));
        }
        assert!(from.ends_with("null"), "{from}");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 25, "{path}");
    }
}

#[test]
fn a_wrong_parameter_is_a_problem_that_names_it_and_the_remedy() {
    let server = start();
    for (path, named, remedy) in [
        ("/api/v1/uploads?state=done", "state is \"done\"", "running, ended or all"),
        ("/api/v1/uploads?limit=0", "limit is \"0\"", "from 1 to 1000"),
        ("/api/v1/uploads?limit=1001", "limit is \"1001\"", "from 1 to 1000"),
        ("/api/v1/uploads?limit=ten", "limit is \"ten\"", "from 1 to 1000"),
        ("/api/v1/uploads?before=-1", "before is \"-1\"", "the next of an earlier answer"),
        ("/api/v1/uploads?gateway=", "gateway is empty", "leave it out"),
        ("/api/v1/uploads?limit=1&limit=2", "limit is there twice", "once"),
        ("/api/v1/uploads?gatewy=SN1", "unknown parameter \"gatewy\"", "state, gateway, outcome, code, limit, before"),
        ("/api/v1/gateways?state=all", "unknown parameter \"state\"", "online, limit, after"),
        ("/api/v1/uploads?outcome=ok,done", "outcome has \"done\"", "released"),
        ("/api/v1/uploads?code=x", "code is \"x\"", "324019"),
        ("/api/v1/uploads/x", "number of the upload", "u64"),
        ("/api/v1/gateways?online=yes", "online is \"yes\"", "true or false"),
        ("/api/v1/gateways/SN1?limit=1", "unknown parameter \"limit\"", "no parameters"),
        ("/api/v1/gateways/%ff", "serial number", "UTF-8"),
    ] {
        let answer = get_path(&server, path);
        assert_eq!(answer.status, 400, "{path}");
        let detail = answer.detail();
        assert!(detail.contains(named) && detail.contains(remedy), "{path}: {detail}");
    }
}
