//! The remote log upload, guarded: real sockets on one side, `/metrics` and the API on the other.

#[path = "../common/mod.rs"]
mod common;
mod ends;
mod late;
mod messages;

use common::property::{MESSAGE_EXPIRY, REASON, find};
use common::{
    Answer, Broker, BrokerProcess, Puback, Publish, Pubrec, V5, V311, Value as Property, Version, Wire, eventually,
    get, metric,
};
use dockgate::config::{Policy, Scope};
use messages::{GATEWAY, SECRETS, other, progress, reply, start, topic};
use serde_json::{Value, json};

fn publish(wire: &mut Wire, kind: &str, message: &Value) -> u8 {
    wire.publish(&Publish::new(&topic(kind), message.to_string()).qos(1, 1))
}

#[track_caller]
fn expect_json(wire: &mut Wire, wanted: &Value) {
    wire.expect_message(&wanted.to_string());
}

#[test]
fn with_the_policy_off_everything_passes_and_nothing_is_known() {
    let broker = Broker::start(|settings| settings.uploads.policy = Policy::Off);
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V5, "backend"));
    let (first, second) = (start("a", "one", &["3"]), start("b", "other", &["3"]));
    assert_eq!((publish(&mut backend, "services", &first), publish(&mut backend, "services", &second)), (0, 0));
    for request in [&first, &second] {
        let message = dock.expect_message(&request.to_string());
        assert_eq!(find(&message.properties, MESSAGE_EXPIRY), None, "it may be as late as any other message");
        assert_eq!(publish(&mut dock, "services_reply", &reply(request, 0)), 0);
        expect_json(&mut backend, &reply(request, 0));
    }
    let told = progress("a", "one", 10, "in_progress");
    assert_eq!(publish(&mut dock, "events", &told), 0);
    expect_json(&mut backend, &told);
    assert_eq!(uploads(&broker), Vec::<Value>::new());
    assert_eq!(metric(broker.http, "dockgate_uploads_started_total", ""), 0.0);
    let overview: Value = serde_json::from_str(&get(broker.http, "/api/v1/overview")).expect("JSON");
    assert_eq!(overview["rules"]["policy"], "off");
    let asked = common::post(broker.http, &format!("/api/v1/gateways/{GATEWAY}/log-list"), &json!({"modules": ["3"]}));
    assert!(asked.status == 409 && asked.body.contains("uploads.policy is off"), "{asked:?}");
}

/// A dock that takes its services.
fn dock(broker: &Broker) -> Wire {
    let mut dock = Wire::clean(broker.mqtt, V5, GATEWAY);
    dock.subscribe(&[(&topic("services"), 1)]);
    dock
}

/// A backend that hears replies and events.
fn backend(broker: &Broker, version: Version, id: &str) -> Wire {
    let mut backend = Wire::clean(broker.mqtt, version, id);
    backend.subscribe(&[("thing/product/+/services_reply", 1), ("thing/product/+/events", 1)]);
    backend
}

/// The uploads of the API, the last started first.
fn uploads(broker: &Broker) -> Vec<Value> {
    let body = get(broker.http, "/api/v1/uploads");
    let body: Value = serde_json::from_str(&body).expect("the API speaks JSON");
    body["uploads"].as_array().expect("a list of uploads").clone()
}

#[track_caller]
fn eventually_outcome(broker: &Broker, outcome: &str) {
    eventually(&format!("the upload ends {outcome}"), || {
        uploads(broker).first().is_some_and(|upload| upload["outcome"] == outcome)
    });
}

/// The broker's answer to a refused start.
#[track_caller]
fn expect_refusal(wire: &mut Wire, request: &Value) {
    let message = wire.expect_publish();
    wire.complete(&message);
    assert_eq!((message.topic.as_str(), message.retain), (topic("services_reply").as_str(), false));
    let answer: Value = serde_json::from_slice(&message.payload).expect("the answer is JSON");
    for key in ["tid", "bid", "method"] {
        assert_eq!(answer[key], request[key], "{key} of {answer}");
    }
    assert_eq!(answer["data"]["result"], 325_009, "{answer}");
    assert_eq!(answer["gateway"], GATEWAY, "{answer}");
    assert!(answer["timestamp"].as_i64().is_some_and(|ms| ms > 1_700_000_000_000), "{answer}");
}

/// Brings an upload under way: started, accepted.
#[track_caller]
fn begin(dock: &mut Wire, backend: &mut Wire, id: &str) -> Value {
    let request = start(id, id, &["3"]);
    publish(backend, "services", &request);
    expect_json(dock, &request);
    let answer = reply(&request, 0);
    publish(dock, "services_reply", &answer);
    expect_json(backend, &answer);
    request
}

#[test]
fn a_whole_upload_passes_unchanged_and_is_seen() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    let list = other("fileupload_list", "list", &json!({"module_list": ["0", "3"]}));
    publish(&mut backend, "services", &list);
    expect_json(&mut dock, &list);
    let mut listed = reply(&list, 0);
    listed["data"]["files"] = json!([{"module": "3", "device_sn": "", "result": 0,
        "list": [{"boot_index": 1, "start_time": 1_654_070_968_655_i64, "end_ime": 1_659_427_398_806_i64, "size": 33_789}]}]);
    publish(&mut dock, "services_reply", &listed);
    expect_json(&mut backend, &listed);
    begin(&mut dock, &mut backend, "whole");
    for (percent, status) in [(10, "file_uploading"), (60, "file_uploading"), (100, "ok")] {
        let event = progress("whole", "whole", percent, status);
        publish(&mut dock, "events", &event);
        expect_json(&mut backend, &event);
    }
    eventually_outcome(&broker, "ok");
    let upload = uploads(&broker).remove(0);
    assert_eq!((&upload["gateway"], &upload["state"]), (&json!(GATEWAY), &json!("ended")), "{upload}");
    assert_eq!(upload["files"][0]["progress"], 100, "{upload}");
    assert_eq!(upload["files"][0]["size"], 155_232, "{upload}");
    assert!((metric(broker.http, "dockgate_uploads_started_total", "") - 1.0).abs() < 0.5);
    assert!((metric(broker.http, "dockgate_uploads_ended_total", r#"outcome="ok""#) - 1.0).abs() < 0.5);
    let gateways = get(broker.http, "/api/v1/gateways");
    assert!(gateways.contains(GATEWAY), "{gateways}");
}

#[test]
fn a_conflicting_start_never_reaches_the_dock_and_is_answered() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut first) = (dock(&broker), backend(&broker, V311, "first"));
    begin(&mut dock, &mut first, "running");
    for (version, id) in [(V311, "second-311"), (V5, "second-5")] {
        let mut second = backend(&broker, version, id);
        let request = start(id, id, &["3"]);
        second.push(&Publish::new(&topic("services"), request.to_string()).qos(1, 9));
        let (mut acknowledged, mut answered) = (false, false);
        while !(acknowledged && answered) {
            match second.next() {
                Answer::Ack(Puback, 9, code, properties) => {
                    acknowledged = true;
                    let reason = matches!(find(&properties, REASON), Some(Property::Text(text)) if !text.is_empty());
                    assert_eq!((code, reason), if version == V5 { (0x97, true) } else { (0, false) });
                }
                Answer::Publish(message) => {
                    answered = true;
                    second.complete(&message);
                    let answer: Value = serde_json::from_slice(&message.payload).unwrap();
                    assert_eq!((&answer["tid"], &answer["bid"]), (&request["tid"], &request["bid"]));
                    assert_eq!(answer["data"]["result"], 325_009, "{answer}");
                }
                other => panic!("{other:?} came"),
            }
        }
        // The first backend hears the answer as well: it is on the gateway's reply topic.
        expect_refusal(&mut first, &request);
        second.leave();
    }
    // What comes next at the dock is not a start.
    let list = other("fileupload_list", "sentinel", &json!({"module_list": ["3"]}));
    publish(&mut first, "services", &list);
    expect_json(&mut dock, &list);
    assert!((metric(broker.http, "dockgate_uploads_refused_total", "") - 2.0).abs() < 0.5);
    assert_eq!(uploads(&broker).len(), 1);
    let gateway: Value = serde_json::from_str(&get(broker.http, &format!("/api/v1/gateways/{GATEWAY}"))).unwrap();
    let refusal = &gateway["refusals"][0];
    assert_eq!((&refusal["client"], &refusal["code"]), (&json!("second-5"), &json!(325_009)), "{gateway}");
}

#[test]
fn a_refused_start_at_qos_0_and_2_is_answered_too() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut first) = (dock(&broker), backend(&broker, V311, "first"));
    begin(&mut dock, &mut first, "running");
    for version in [V311, V5] {
        let mut second = Wire::clean(broker.mqtt, version, "second");
        let request = start("zero", "zero", &["3"]);
        second.push(&Publish::new(&topic("services"), request.to_string()));
        expect_refusal(&mut first, &request);
        let request = start("two", "two", &["3"]);
        let code = second.publish(&Publish::new(&topic("services"), request.to_string()).qos(2, 3));
        assert_eq!(code, if version == V5 { 0x97 } else { 0 }, "PUBREC");
        expect_refusal(&mut first, &request);
        // The refused identifier is free again.
        second.push(&Publish::new("elsewhere", "x").qos(2, 3));
        second.expect_ack(Pubrec, 3);
        second.vanish();
    }
    let list = other("fileupload_list", "sentinel", &json!({"module_list": ["3"]}));
    publish(&mut first, "services", &list);
    expect_json(&mut dock, &list);
}

/// The demo backend sends a start at QoS 0 up to three times in 9 s, each with a new tid and bid.
#[test]
fn three_sends_of_one_start_are_one_upload_and_all_reach_the_dock() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    let mut last = Value::Null;
    for id in ["try-1", "try-2", "try-3"] {
        last = start(id, "same-object", &["3"]);
        backend.push(&Publish::new(&topic("services"), last.to_string()));
        expect_json(&mut dock, &last);
    }
    let answer = reply(&last, 0);
    publish(&mut dock, "services_reply", &answer);
    expect_json(&mut backend, &answer);
    let all = uploads(&broker);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["aliases"].as_array().map(Vec::len), Some(3), "{all:?}");
    assert!((metric(broker.http, "dockgate_upload_retries_total", "") - 2.0).abs() < 0.5);
    assert!(metric(broker.http, "dockgate_uploads_refused_total", "") < 0.5);
}

#[test]
fn of_a_thousand_concurrent_starts_one_reaches_the_dock() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V5, "backend"));
    let gate = std::sync::Barrier::new(20);
    std::thread::scope(|scope| {
        for thread in 0..20 {
            let (address, gate) = (broker.mqtt, &gate);
            scope.spawn(move || {
                let version = if thread % 2 == 0 { V311 } else { V5 };
                let mut wire = Wire::clean(address, version, &format!("racer-{thread}"));
                let mut starts = Vec::new();
                for number in 1..=50 {
                    let id = format!("{thread}-{number}");
                    let message = start(&id, &id, &["3"]).to_string();
                    starts.extend(Publish::new(&topic("services"), message).qos(1, number).bytes(version));
                }
                gate.wait();
                wire.send(&starts);
                for number in 1..=50 {
                    wire.expect_ack(Puback, number);
                }
            });
        }
    });
    let winner = dock.expect_publish();
    dock.complete(&winner);
    let list = other("fileupload_list", "sentinel", &json!({"module_list": ["3"]}));
    publish(&mut backend, "services", &list);
    expect_json(&mut dock, &list);
    let winner: Value = serde_json::from_slice(&winner.payload).unwrap();
    let mut refused = std::collections::HashSet::new();
    for _ in 0..999 {
        let message = backend.expect_publish();
        backend.complete(&message);
        let answer: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(answer["data"]["result"], 325_009, "{answer}");
        assert_ne!(answer["tid"], winner["tid"]);
        refused.insert(answer["tid"].to_string());
    }
    assert_eq!(refused.len(), 999);
    assert!((metric(broker.http, "dockgate_uploads_refused_total", "") - 999.0).abs() < 0.5);
}

#[test]
fn the_policy_observe_lets_a_conflicting_start_through_and_counts_it() {
    let broker = Broker::start(|settings| settings.uploads.policy = Policy::Observe);
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V5, "backend"));
    begin(&mut dock, &mut backend, "running");
    let request = start("second", "second", &["3"]);
    assert!(publish(&mut backend, "services", &request) < 0x80);
    expect_json(&mut dock, &request);
    assert!((metric(broker.http, "dockgate_uploads_would_refuse_total", "") - 1.0).abs() < 0.5);
    assert!(metric(broker.http, "dockgate_uploads_refused_total", "") < 0.5);
}

#[test]
fn the_scope_module_gives_each_module_a_slot() {
    let broker = Broker::start(|settings| settings.uploads.scope = Scope::Module);
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    begin(&mut dock, &mut backend, "dock-logs");
    let aircraft = start("aircraft", "aircraft", &["0"]);
    publish(&mut backend, "services", &aircraft);
    expect_json(&mut dock, &aircraft);
    let second = start("again", "again", &["3"]);
    publish(&mut backend, "services", &second);
    expect_refusal(&mut backend, &second);
}

#[test]
fn another_gateway_is_another_slot() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    begin(&mut dock, &mut backend, "one");
    let elsewhere = "thing/product/7CTDM0000000001/services";
    let mut neighbour = Wire::subscriber(broker.mqtt, "neighbour", &[(elsewhere, 1)]);
    let request = start("two", "two", &["3"]);
    backend.publish(&Publish::new(elsewhere, request.to_string()).qos(1, 1));
    expect_json(&mut neighbour, &request);
}

#[test]
fn progress_of_an_unknown_upload_is_adopted_and_guards_the_dock() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    let event = progress("before-restart", "old", 30, "file_uploading");
    publish(&mut dock, "events", &event);
    expect_json(&mut backend, &event);
    let request = start("new", "new", &["3"]);
    publish(&mut backend, "services", &request);
    expect_refusal(&mut backend, &request);
    assert_eq!(uploads(&broker)[0]["adopted"], true);
}

#[test]
fn what_cannot_be_read_is_forwarded_as_it_is() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    begin(&mut dock, &mut backend, "running");
    let deep = format!("{{\"method\":\"fileupload_start\",\"data\":{}", "[".repeat(100_000));
    let odd: [&[u8]; 8] = [
        b"",
        b"not json",
        b"{\"method\":\"fileupload_start\"",
        b"{\"method\":\"fileupload_start\xff\"}",
        b"{\"method\":\"fileupload_other\",\"data\":{}}",
        b"{\"method\":7,\"fileupload_start\":1}",
        b"[\"fileupload_start\"]",
        deep.as_bytes(),
    ];
    for payload in odd {
        backend.publish(&Publish::new(&topic("services"), payload).qos(1, 1));
        let came = dock.expect_publish();
        dock.complete(&came);
        assert!(came.payload == payload, "{:?}", String::from_utf8_lossy(payload));
    }
}

#[test]
fn credentials_appear_nowhere_but_at_the_dock() {
    let broker = BrokerProcess::start(&[("DOCKGATE_LOG__LEVEL", "trace")]);
    let mut dock = Wire::subscriber(broker.mqtt, GATEWAY, &[(&topic("services"), 1)]);
    let mut backend = Wire::subscriber(broker.mqtt, "backend", &[("thing/product/+/services_reply", 1)]);
    let request = start("secret", "secret", &["3"]);
    publish(&mut backend, "services", &request);
    expect_json(&mut dock, &request);
    let second = start("refused", "refused", &["3"]);
    publish(&mut backend, "services", &second);
    expect_refusal(&mut backend, &second);
    let broken = request.to_string().replace("\"params\"", "params");
    publish_text(&mut backend, &broken);
    dock.expect_message(&broken);
    let paths = ["/metrics", "/api/v1/uploads", "/api/v1/gateways", &format!("/api/v1/gateways/{GATEWAY}")];
    let shown: Vec<String> = paths.iter().map(|path| get(broker.http, path)).collect();
    for secret in SECRETS {
        for (path, text) in paths.iter().zip(&shown) {
            assert!(!text.contains(secret), "{secret} in {path}");
        }
        assert!(!broker.log().contains(secret), "{secret} in the log");
    }
    assert!(shown[1].contains("bid-secret"), "the API shows the upload: {}", shown[1]);
}

fn publish_text(wire: &mut Wire, text: &str) {
    wire.publish(&Publish::new(&topic("services"), text).qos(1, 1));
}

#[test]
fn no_identifier_of_a_message_is_a_label() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    begin(&mut dock, &mut backend, "label");
    let event = progress("label", "label", 50, "a_new_word");
    publish(&mut dock, "events", &event);
    expect_json(&mut backend, &event);
    let text = get(broker.http, "/metrics");
    for word in ["bid-label", "tid-label", "label/3.tar", "a_new_word", GATEWAY] {
        assert!(!text.contains(word), "{word} in /metrics");
    }
}

#[test]
fn sigterm_ends_the_process_with_0_after_telling_its_clients() {
    let mut broker = BrokerProcess::start(&[]);
    let mut modern = Wire::clean(broker.mqtt, V5, "modern");
    let mut old = Wire::clean(broker.mqtt, V311, "old");
    broker.terminate();
    assert_eq!(modern.expect_closed(), Some(0x8b));
    assert_eq!(old.expect_closed(), None);
    assert_eq!(broker.expect_exit().code(), Some(0));
}
