//! `/api/openapi.json`, held against what the handlers answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::common::{Broker, Response, get, post, request};
use super::moto::Moto;
use super::{connect, endless, plan};

struct Description(Value);

impl Description {
    fn of(broker: &Broker) -> Self {
        Self(serde_json::from_str(&get(broker.http, "/api/openapi.json")).unwrap())
    }

    /// Fails unless `answer` is what is described for this status of this operation.
    #[track_caller]
    fn check(&self, method: &str, path: &str, answer: &Response) {
        let described = &self.0["paths"][path][method]["responses"][answer.status.to_string()];
        assert!(described.is_object(), "{method} {path} is not said to answer {}: {answer:?}", answer.status);
        let content = described["content"].as_object().unwrap();
        let kind = answer.header("content-type").unwrap().split(';').next().unwrap().to_owned();
        // A problem document is JSON that has a kind of its own.
        let schema = content.get(&kind).or_else(|| content.get("application/json")).unwrap()["schema"].clone();
        let mut schema = schema;
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::validator_for(&closed(schema)).unwrap();
        let body = answer.json();
        let errors: Vec<_> =
            validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{method} {path}: {errors:#?}\n{body:#}");
    }
}

/// The same schema, in which no object has fields that are not described.
fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            for value in fields.values_mut() {
                *value = closed(value.take());
            }
            if fields.contains_key("properties") && fields.get("type") == Some(&json!("object")) {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| *element = closed(element.take())),
        _ => {}
    }
    schema
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_it_is_described() {
    let Some(moto) = Moto::get() else { return };
    let broker = Broker::start(|settings| settings.object_store = moto.settings());
    let description = Description::of(&broker);
    let (stuck, good) = (endless(21), plan(22, |_| {}));
    let (_stuck, _) = connect(&broker, &stuck).await;
    let (_good, _) = connect(&broker, &good).await;
    let read = |path: &str, concrete: &str| {
        let answer = request(broker.http, "GET", concrete, &[], "");
        description.check("get", path, &answer);
        answer
    };
    let do_it = |what: &str, gateway: &str, body: Value| {
        let answer = post(broker.http, &format!("/api/v1/gateways/{gateway}/{what}"), &body);
        description.check("post", &format!("/api/v1/gateways/{{sn}}/{what}"), &answer);
        answer
    };
    let boots = |plan: &dockgate::sim::Plan| json!({ "files": [{ "module": "3", "boots": [plan.logs[1].boots[0].boot_index] }] });
    for plan in [&stuck, &good] {
        assert_eq!(do_it("log-list", &plan.gateway, json!({})).status, 200);
        assert_eq!(do_it("uploads", &plan.gateway, boots(plan)).status, 202);
    }
    assert_eq!(do_it("uploads", &stuck.gateway, boots(&stuck)).status, 409);
    assert_eq!(do_it("uploads", "NOBODY", boots(&stuck)).status, 503);
    assert_eq!(do_it("uploads", &stuck.gateway, json!({ "files": [] })).status, 400);
    super::common::eventually("it has arrived", || {
        request(broker.http, "GET", "/api/v1/uploads?outcome=ok", &[], "").json()["matching"] == 1
    });
    read("/api/v1/overview", "/api/v1/overview");
    read("/api/v1/codes", "/api/v1/codes");
    read("/api/v1/gateways", "/api/v1/gateways");
    read("/api/v1/gateways", "/api/v1/gateways?limit=0");
    read("/api/v1/gateways/{sn}", &format!("/api/v1/gateways/{}", stuck.gateway));
    read("/api/v1/gateways/{sn}", &format!("/api/v1/gateways/{}", good.gateway));
    read("/api/v1/gateways/{sn}", "/api/v1/gateways/NOBODY");
    let uploads = read("/api/v1/uploads", "/api/v1/uploads").json();
    assert_eq!(uploads["matching"], 2);
    read("/api/v1/uploads", "/api/v1/uploads?state=done");
    read("/api/v1/uploads/{id}", &format!("/api/v1/uploads/{}", uploads["uploads"][0]["id"]));
    read("/api/v1/uploads/{id}", "/api/v1/uploads/99999");
    assert_eq!(do_it("uploads/cancel", &stuck.gateway, json!({ "modules": ["3"] })).status, 200);
    do_it("uploads/release", &stuck.gateway, json!({ "id": 99_999 }));
    assert_eq!(do_it("uploads/release", &good.gateway, json!({})).status, 404);
}

#[test]
fn every_operation_that_is_described_is_there_and_every_parameter_is_taken() {
    let broker = Broker::start(|_| {});
    let description = Description::of(&broker);
    let mut operations = BTreeSet::new();
    for (path, methods) in description.0["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.insert(format!("{method} {path}"));
            let concrete = path.replace("{sn}", "SN1").replace("{id}", "1");
            if method == "get" && !path.ends_with("/events") {
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
                    let answer = request(
                        broker.http,
                        "GET",
                        &format!("{concrete}?{}=", parameter["name"].as_str().unwrap()),
                        &[],
                        "",
                    );
                    assert!(!answer.body.contains("unknown parameter"), "{answer:?}");
                }
                let unknown = request(broker.http, "GET", &format!("{concrete}?nonsense=1"), &[], "");
                assert!(path.ends_with("/codes") || unknown.status == 400, "{path}: {unknown:?}");
            }
            let other = if method == "get" { "DELETE" } else { "GET" };
            let status = request(broker.http, other, &concrete, &[], "").status;
            assert!(status == 405 || methods.as_object().unwrap().len() > 1, "{other} {path}: {status}");
        }
    }
    let expected = [
        "get /api/v1/codes",
        "get /api/v1/events",
        "get /api/v1/gateways",
        "get /api/v1/gateways/{sn}",
        "get /api/v1/overview",
        "get /api/v1/uploads",
        "get /api/v1/uploads/{id}",
        "post /api/v1/gateways/{sn}/log-list",
        "post /api/v1/gateways/{sn}/uploads",
        "post /api/v1/gateways/{sn}/uploads/cancel",
        "post /api/v1/gateways/{sn}/uploads/release",
    ];
    assert_eq!(operations, expected.map(String::from).into());
}
