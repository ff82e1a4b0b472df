//! What the API has docks do.

use dockgate::cloud_api::{self, Header};
use dockgate::sim::{Outcome, Plan};
use serde_json::{Value, json};

use super::common::{Broker, Response, eventually, get, metric, post};
use super::moto::Moto;
use super::{connect, endless, plan};

fn of(plan: &Plan, what: &str) -> String {
    format!("/api/v1/gateways/{}/{what}", plan.gateway)
}

fn everything(plan: &Plan) -> Value {
    let files = plan.logs.iter().map(|logs| {
        let boots: Vec<u32> = logs.boots.iter().map(|boot| boot.boot_index).collect();
        json!({ "module": logs.module.as_str(), "boots": boots })
    });
    json!({ "files": files.collect::<Vec<_>>() })
}

#[track_caller]
fn assert_problem(answer: &Response, status: u16, words: &str) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(answer.status == status && detail.contains(words), "{status}, {words}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dock_is_asked_for_its_logs_and_the_answer_has_them() {
    let broker = Broker::start(|_| {});
    let plan = plan(1, |_| {});
    let (_dock, journal) = connect(&broker, &plan).await;
    let answer = post(broker.http, &of(&plan, "log-list"), &json!({}));
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.json();
    assert_eq!((&list["gateway"], &list["result"]), (&json!(plan.gateway), &json!(0)));
    let asked: Header = cloud_api::decode(&journal.received()[0].payload).unwrap();
    assert_eq!(
        (json!(asked.tid), json!(asked.bid), &*asked.method),
        (list["tid"].clone(), list["bid"].clone(), cloud_api::LIST)
    );
    for (listed, logs) in list["listed"].as_array().unwrap().iter().zip(&plan.logs) {
        assert_eq!(listed["module"], logs.module.as_str());
        let boots: Vec<_> = listed["files"].as_array().unwrap().iter().map(|file| file["boot_index"].clone()).collect();
        assert_eq!(boots, logs.boots.iter().map(|boot| json!(boot.boot_index)).collect::<Vec<_>>());
        assert_eq!(listed["files"][0]["size"], logs.boots[0].size);
    }
    let one = post(broker.http, &of(&plan, "log-list"), &json!({ "modules": ["3"] })).json();
    assert_eq!((one["listed"].as_array().unwrap().len(), &one["listed"][0]["module"]), (1, &json!("3")));
    let known: Value = serde_json::from_str(&get(broker.http, &format!("/api/v1/gateways/{}", plan.gateway))).unwrap();
    assert_eq!(known["listed"].as_array().unwrap().len(), 2);
    assert_eq!((&known["online"], &known["client"]["id"]), (&json!(true), &json!(plan.gateway)));
    assert!(known["client"]["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{known}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_started_under_the_same_rule_as_everybodys_and_canceled() {
    let Some(moto) = Moto::get() else { return };
    let broker = Broker::start(|settings| settings.object_store = moto.settings());
    let plan = endless(2);
    let (_dock, journal) = connect(&broker, &plan).await;
    let answer = post(broker.http, &of(&plan, "uploads"), &everything(&plan));
    assert_eq!(answer.status, 202, "{answer:?}");
    let started = answer.json();
    let location = format!("/api/v1/uploads/{}", started["id"]);
    assert_eq!(answer.header("location"), Some(&*location));
    let upload = || -> Value { serde_json::from_str(&get(broker.http, &location)).unwrap() };
    eventually("it is under way", || upload()["files"][0]["status"] == "file_uploading");
    let keys: Vec<_> = started["keys"].as_array().unwrap().iter().map(|key| key["object_key"].clone()).collect();
    assert_eq!(upload()["files"].as_array().unwrap().iter().map(|f| f["key"].clone()).collect::<Vec<_>>(), keys);
    assert!(keys[1].as_str().unwrap().starts_with(&format!("dockgate/{}/", plan.gateway)), "{keys:?}");

    let second = post(broker.http, &of(&plan, "uploads"), &everything(&plan));
    assert_problem(&second, 409, "another log upload is active");
    let problem = second.json();
    assert_eq!((&problem["code"], &problem["upload"]), (&json!(325_009), &started["id"]));
    assert!(problem["meaning"].as_str().unwrap().contains("exporting logs"), "{problem}");
    let starts = journal
        .received()
        .iter()
        .filter(|message| {
            cloud_api::decode::<Header>(&message.payload).is_ok_and(|header| header.method == cloud_api::START)
        })
        .count();
    assert_eq!(starts, 1, "the dock never saw the second");
    assert_eq!(metric(broker.http, "dockgate_uploads_refused_total", "active"), 1.0);
    let gateway: Value =
        serde_json::from_str(&get(broker.http, &format!("/api/v1/gateways/{}", plan.gateway))).unwrap();
    assert_eq!(
        (&gateway["refusals"][0]["client"], &gateway["refusals"][0]["would"]),
        (&json!("dockgate"), &json!(false))
    );

    assert_eq!(post(broker.http, &of(&plan, "uploads/cancel"), &json!({})).status, 200);
    eventually("it is canceled", || upload()["outcome"] == "canceled");
    let text = get(broker.http, "/api/v1/uploads?outcome=canceled");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["matching"], 1);
    let all =
        [text, get(broker.http, &format!("/api/v1/gateways/{}", plan.gateway)), get(broker.http, "/metrics")].concat();
    let sent = String::from_utf8(journal.received()[0].payload.to_vec()).unwrap();
    let credentials = &serde_json::from_str::<Value>(&sent).unwrap()["data"]["credentials"];
    for secret in ["access_key_id", "access_key_secret", "security_token"] {
        let secret = credentials[secret].as_str().unwrap();
        assert!(secret.len() > 8 && !all.contains(secret), "a credential is shown");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_slot_is_released_and_the_next_start_passes() {
    let Some(moto) = Moto::get() else { return };
    let broker = Broker::start(|settings| settings.object_store = moto.settings());
    let plan = endless(3);
    let (dock, _) = connect(&broker, &plan).await;
    let first = post(broker.http, &of(&plan, "uploads"), &everything(&plan)).json()["id"].clone();
    assert_problem(&post(broker.http, &of(&plan, "uploads/release"), &json!({ "id": 12_345 })), 404, "no upload 12345");
    // The dock hangs, and is started again.
    drop(dock);
    let released = post(broker.http, &of(&plan, "uploads/release"), &json!({ "id": first }));
    assert_eq!(released.status, 200, "{released:?}");
    let released = &released.json()["released"][0];
    assert_eq!((&released["id"], &released["outcome"]), (&first, &json!("released")));
    assert_eq!(metric(broker.http, "dockgate_uploads_ended_total", "released"), 1.0);
    assert_problem(&post(broker.http, &of(&plan, "uploads/release"), &json!({})), 404, "no upload is running");
    let (_dock, _) = connect(&broker, &plan).await;
    assert_eq!(post(broker.http, &of(&plan, "uploads"), &everything(&plan)).status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_in_the_way_is_said_with_the_remedy() {
    let broker = Broker::start(|settings| settings.uploads.reply_timeout = std::time::Duration::from_millis(300));
    let plan = plan(4, |_| {});
    let (list, cancel) = (of(&plan, "log-list"), of(&plan, "uploads/cancel"));
    assert_problem(&post(broker.http, &list, &json!({})), 503, "is not connected");
    assert_problem(&post(broker.http, &of(&plan, "uploads"), &everything(&plan)), 409, "[object_store]");
    // Somebody is subscribed, and says nothing.
    let topic = cloud_api::services(&plan.gateway);
    let mut silent = super::common::Wire::subscriber(broker.mqtt, &plan.gateway, &[(&topic, 1)]);
    assert_problem(&post(broker.http, &cancel, &json!({})), 504, "did not answer fileupload_update within 300ms");
    silent.expect_publish();
    silent.leave();
    assert_problem(&post(broker.http, &cancel, &json!({})), 503, "is not connected");
    for (path, body, words) in [
        (&*list, json!({ "modules": ["7"] }), "\"7\""),
        (&*list, json!({ "modules": ["3", "3"] }), "twice"),
        (&*list, json!({ "modules": [] }), "no module"),
        (&*list, json!({ "module": "3" }), "unknown field `module`"),
        ("/api/v1/gateways/a%2Fb/log-list", json!({}), "no serial number"),
        ("/api/v1/gateways/%2B/log-list", json!({}), "no serial number"),
        (&*of(&plan, "uploads"), json!({ "files": [{ "module": "3", "boots": [] }] }), "0 boots"),
        (&*of(&plan, "uploads"), json!({ "files": [{ "module": "3", "boots": [1, 1] }] }), "each once"),
        (&*of(&plan, "uploads"), json!({}), "missing field `files`"),
    ] {
        let answer = post(broker.http, path, &body);
        let status = if words.contains("field") { 422 } else { 400 };
        assert_problem(&answer, status, words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_dock_refuses_is_told_with_its_code_and_meaning() {
    let Some(moto) = Moto::get() else { return };
    let broker = Broker::start(|settings| settings.object_store = moto.settings());
    let plan = plan(5, |plan| plan.outcome = Outcome::Reject { code: 324_015 });
    let (_dock, _) = connect(&broker, &plan).await;
    let answer = post(broker.http, &of(&plan, "uploads"), &everything(&plan));
    assert_problem(&answer, 502, "the dock answered 324015: Aircraft is powered off");
    assert_eq!(answer.json()["code"], 324_015);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_gives_no_credentials_takes_no_slot() {
    let broker = Broker::start(|settings| {
        settings.object_store.provider = Some(dockgate::config::Provider::Minio);
        settings.object_store.endpoint = Some("http://127.0.0.1:1".to_owned());
        settings.object_store.bucket = Some("dock-logs".to_owned());
        settings.object_store.access_key_id = Some("key".into());
        settings.object_store.secret_access_key = Some("never-to-be-seen".into());
    });
    let plan = plan(6, |_| {});
    let (_dock, _) = connect(&broker, &plan).await;
    let answer = post(broker.http, &of(&plan, "uploads"), &everything(&plan));
    assert_problem(&answer, 502, "127.0.0.1:1");
    assert!(!answer.body.contains("never-to-be-seen"), "{answer:?}");
    assert_eq!(metric(broker.http, "dockgate_uploads_started_total", ""), 0.0);
}
