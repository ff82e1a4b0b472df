//! Everything that is odd about the messages, by name.

use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::ledger::{GatewayView, Outcome, Rules, UploadView};

const DOCK: &str = "4TADK7E0000003";

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Vec<Observation>>);

impl Observer for Seen {
    fn observe(&self, observation: &Observation) {
        self.0.lock().expect("no test panics in here").push(*observation);
    }
}

/// A hook with a gateway to talk about.
pub(super) struct Desk {
    pub(super) hook: Hook,
    seen: Arc<Seen>,
    pub(super) now: Now,
}

impl Desk {
    pub(super) fn new() -> Desk {
        Desk::with(Rules::default())
    }

    pub(super) fn with(rules: Rules) -> Desk {
        let seen = Arc::new(Seen::default());
        let hook = Hook::new(Arc::new(Ledger::new(rules)), Arc::clone(&seen) as Arc<dyn Observer>, DigestKey::random());
        Desk { hook, seen, now: Now(1_700_000_000_000) }
    }

    pub(super) fn publish(&self, level: &str, payload: impl AsRef<[u8]>) -> Verdict {
        self.publish_as(
            &Publisher { client_id: DOCK, is_here: true, may_speak_as_gateway: true, may_command: true },
            level,
            payload,
        )
    }

    pub(super) fn publish_as(&self, publisher: &Publisher<'_>, level: &str, payload: impl AsRef<[u8]>) -> Verdict {
        let topic = format!("thing/product/{DOCK}/{level}");
        let topic = Hook::concerns(&topic).expect("one of the three");
        self.hook.inspect(publisher, topic, payload.as_ref(), self.now).verdict
    }

    /// What was counted since the last time.
    pub(super) fn seen(&self) -> Vec<Observation> {
        std::mem::take(&mut self.seen.0.lock().expect("no test panics in here"))
    }

    pub(super) fn view(&self) -> GatewayView {
        self.hook.ledger.gateway(DOCK, self.now).expect("the gateway has state")
    }

    pub(super) fn running(&self) -> UploadView {
        self.view().running.into_iter().next().expect("an upload is running")
    }

    pub(super) fn states(&self) -> Vec<&'static str> {
        self.hook
            .ledger
            .gateway(DOCK, self.now)
            .map_or(Vec::new(), |view| view.running.iter().map(|upload| upload.state).collect())
    }

    /// A desk where an upload with the name `a` is active.
    pub(super) fn busy() -> Desk {
        let desk = Desk::new();
        assert!(desk.publish("services", start("a", "first")).forwards());
        desk.publish("services_reply", r#"{"tid":"a","bid":"a","method":"fileupload_start","data":{"result":0}}"#);
        assert_eq!(desk.states(), ["active"]);
        desk.seen();
        desk
    }
}

/// A start under a name, with an object key.
pub(super) fn start(name: &str, key: &str) -> String {
    let files = json!([{"module": "3", "object_key": key, "list": [{"boot_index": 321}]}]);
    json!({"tid": name, "bid": name, "method": "fileupload_start", "data": {"params": {"files": files}}}).to_string()
}

fn file(of: serde_json::Value) -> String {
    json!({"tid": "t", "bid": "a", "method": "fileupload_progress", "data": {"output": {"status": "in_progress", "ext": {"files": [of]}}}})
        .to_string()
}

/// What the first file of the running upload shows as, after an event about it.
fn shown(of: serde_json::Value) -> serde_json::Value {
    let desk = Desk::busy();
    assert_eq!(desk.publish("events", file(of)), Verdict::Forward);
    let file = desk.running().files.pop().expect("a file");
    serde_json::to_value(file).expect("a view serialises")
}

#[test]
fn a_file_is_read_with_every_quirk() {
    let in_step = |step: serde_json::Value| json!({"module": "3", "progress": step});
    for (quirk, said, field, expected) in [
        ("progress", in_step(json!({"progress": 40})), "progress", json!(40)),
        ("prgress", in_step(json!({"prgress": 40})), "progress", json!(40)),
        ("both, progress preferred", in_step(json!({"progress": 41, "prgress": 40})), "progress", json!(41)),
        ("both, the other way round", in_step(json!({"prgress": 40, "progress": 41})), "progress", json!(41)),
        ("progress null, prgress given", in_step(json!({"progress": null, "prgress": 40})), "progress", json!(40)),
        ("progress as text", in_step(json!({"progress": "40"})), "progress", json!(40)),
        ("progress with a fraction", in_step(json!({"progress": 40.7})), "progress", json!(40)),
        ("progress beyond 100", in_step(json!({"progress": 1e18})), "progress", json!(100)),
        ("progress an object", in_step(json!({"progress": {"x": [1]}})), "progress", json!(null)),
        ("module as number", json!({"module": 3}), "module", json!("3")),
        ("module as float", json!({"module": 3.0}), "module", json!("3")),
        ("module as text", json!({"module": "3"}), "module", json!("3")),
        ("size as text", json!({"module": "3", "size": "155232"}), "size", json!(155_232)),
        ("size as float", json!({"module": "3", "size": 155_232.0}), "size", json!(155_232)),
        ("size above 2^63", json!({"module": "3", "size": u64::MAX}), "size", json!(null)),
        ("size not a number", json!({"module": "3", "size": "big"}), "size", json!(null)),
        ("size as text, infinite", json!({"module": "3", "size": "inf"}), "size", json!(null)),
        ("total_step missing", in_step(json!({"current_step": 19, "progress": 100})), "overall", json!(null)),
        ("total_step 0", in_step(json!({"current_step": 1, "total_step": 0, "progress": 1})), "overall", json!(null)),
        ("upload_rate a float", in_step(json!({"upload_rate": 1.5})), "upload_rate", json!(1.5)),
        ("upload_rate as text", in_step(json!({"upload_rate": "2048"})), "upload_rate", json!(2048.0)),
        ("key is the object_key", json!({"module": "0", "key": "k"}), "key", json!("k")),
        ("object_key is the key", json!({"module": "0", "object_key": "k"}), "key", json!("k")),
        (
            "device_sn blank: the dock's is the gateway's",
            json!({"module": "3", "device_sn": ""}),
            "device_sn",
            json!(DOCK),
        ),
        ("an unknown status word", in_step(json!({"status": "uploading"})), "status", json!("uploading")),
        ("a status that is a number", in_step(json!({"status": 5})), "status", json!("5")),
        (
            "finish_time before the end",
            in_step(json!({"finish_time": 9, "status": "file_zip"})),
            "finish_time",
            json!(null),
        ),
        ("finish_time at the end", in_step(json!({"finish_time": 9, "status": "ok"})), "finish_time", json!(9)),
        ("finish_time 0", in_step(json!({"finish_time": 0, "status": "ok"})), "finish_time", json!(null)),
        ("progress not an object", json!({"module": "3", "progress": 50, "size": 7}), "size", json!(7)),
    ] {
        assert_eq!(shown(said).get(field).cloned().unwrap_or_default(), expected, "{quirk}");
    }
}

#[test]
fn an_event_is_read_with_every_quirk() {
    for (quirk, payload, states) in [
        (
            "no timestamp, need_reply or gateway",
            r#"{"tid":"t","bid":"a","method":"fileupload_progress","data":{"output":{"status":"ok"}}}"#,
            0,
        ),
        (
            "data before method",
            r#"{"data":{"output":{"status":"ok"}},"tid":"t","bid":"a","method":"fileupload_progress"}"#,
            0,
        ),
        (
            "the key \"timestamp:\"",
            r#"{"timestamp:":1,"bid":"a","method":"fileupload_progress","data":{"output":{"status":"ok"}}}"#,
            0,
        ),
        ("data is an array", r#"{"bid":"a","method":"fileupload_progress","data":[{"output":{"status":"ok"}}]}"#, 1),
        ("data is null", r#"{"bid":"a","method":"fileupload_progress","data":null}"#, 1),
        ("data is missing", r#"{"bid":"a","method":"fileupload_progress"}"#, 1),
        (
            "files is an object",
            r#"{"bid":"a","method":"fileupload_progress","data":{"output":{"ext":{"files":{"module":"3","progress":{"status":"ok"}}}}}}"#,
            0,
        ),
        (
            "data.result beside the output",
            r#"{"bid":"a","method":"fileupload_progress","data":{"result":0,"output":{"status":"ok"}}}"#,
            0,
        ),
        (
            "tid and bid are numbers",
            r#"{"tid":1,"bid":2,"method":"fileupload_progress","data":{"output":{"status":"ok"}}}"#,
            0,
        ),
        ("the method is missing, the bid known", r#"{"tid":"t","bid":"a","data":{"output":{"status":"ok"}}}"#, 0),
    ] {
        let desk = Desk::busy();
        assert_eq!(desk.publish("events", payload), Verdict::Forward, "{quirk}");
        assert_eq!(desk.states().len(), states, "{quirk}");
    }
}

#[test]
fn a_reply_is_read_with_every_quirk() {
    for (quirk, reply, states) in [
        ("gateway absent", r#"{"tid":"a","bid":"a","method":"fileupload_start","data":{"result":0}}"#, "active"),
        (
            "gateway empty",
            r#"{"gateway":"","tid":"a","bid":"a","method":"fileupload_start","data":{"result":0}}"#,
            "active",
        ),
        ("result as text", r#"{"tid":"a","bid":"a","method":"fileupload_start","data":{"result":"0"}}"#, "active"),
        (
            "result as text, a refusal",
            r#"{"tid":"a","bid":"a","method":"fileupload_start","data":{"result":"314000"}}"#,
            "",
        ),
        ("data null", r#"{"tid":"a","bid":"a","method":"fileupload_start","data":null}"#, "active"),
        (
            "output in a start's reply",
            r#"{"tid":"a","bid":"a","method":"fileupload_start","data":{"result":0,"output":{"status":"sent"}}}"#,
            "active",
        ),
        (
            "a result that cannot be read",
            r#"{"tid":"a","bid":"a","method":"fileupload_start","data":{"result":"busy"}}"#,
            "pending",
        ),
        (
            "a result that is null",
            r#"{"tid":"a","bid":"a","method":"fileupload_start","data":{"result":null}}"#,
            "active",
        ),
        ("method and result missing", r#"{"tid":"a","data":{"result":{}}}"#, "pending"),
        ("method missing", r#"{"tid":"a","bid":"a","data":{"result":0}}"#, "active"),
        ("method missing, a refusal", r#"{"tid":"a","data":{"result":314000}}"#, ""),
        ("method missing, another's tid", r#"{"tid":"x","data":{"result":314000}}"#, "pending"),
        ("only the bid is the same", r#"{"bid":"a","method":"fileupload_start","data":{"result":0}}"#, "active"),
        ("another service's reply", r#"{"tid":"a","bid":"a","method":"cover_open","data":{"result":5}}"#, "pending"),
    ] {
        let desk = Desk::new();
        desk.publish("services", start("a", "k"));
        desk.publish("services_reply", reply);
        assert_eq!(desk.states().first().copied().unwrap_or(""), states, "{quirk}");
    }
}

#[test]
fn a_list_is_read_with_every_quirk() {
    let ms = 1_659_427_398_806_i64;
    for (quirk, entry, expected) in [
        ("end_time", json!({"boot_index": 1, "start_time": ms, "end_time": ms, "size": 5}), json!([1, ms, ms, 5])),
        ("end_ime", json!({"boot_index": 1, "start_time": ms, "end_ime": ms, "size": 5}), json!([1, ms, ms, 5])),
        (
            "seconds",
            json!({"boot_index": 1, "start_time": ms / 1_000, "end_time": 0, "size": 5}),
            json!([1, ms / 1_000 * 1_000, 0, 5]),
        ),
        ("text", json!({"boot_index": "1", "start_time": ms.to_string(), "size": "5"}), json!([1, ms, null, 5])),
        ("nothing", json!({}), json!(null)),
        ("not an object", json!(7), json!(null)),
    ] {
        let desk = Desk::new();
        let reply = json!({"method": "fileupload_list", "tid": "t", "data": {"result": 0, "files": [{"module": 0, "result": 324_015, "list": [entry]}]}});
        desk.publish("services_reply", reply.to_string());
        let listed = &desk.view().listed[0];
        assert_eq!((&*listed.module, listed.meaning), ("0", crate::ledger::codes::meaning(324_015)), "{quirk}");
        let files = listed.files.as_deref().unwrap_or_default().iter();
        let read = files.map(|file| json!([file.boot_index, file.start_time, file.end_time, file.size])).next();
        assert_eq!(json!(read), expected, "{quirk}");
    }
}

#[test]
fn a_cancel_is_read_with_every_quirk() {
    for (quirk, data, state) in [
        ("as published", json!({"status": "cancel", "module_list": ["0", "3"]}), "cancelling"),
        ("modules as numbers", json!({"status": "cancel", "module_list": [0, 3]}), "cancelling"),
        ("one module, no list", json!({"status": "cancel", "module_list": 3}), "cancelling"),
        ("no modules: all", json!({"status": "cancel"}), "cancelling"),
        ("an empty list: all", json!({"status": "cancel", "module_list": []}), "cancelling"),
        ("the other module", json!({"status": "cancel", "module_list": ["0"]}), "active"),
        ("another status", json!({"status": "pause", "module_list": ["3"]}), "active"),
        ("no status", json!({"module_list": ["3"]}), "active"),
    ] {
        let desk = Desk::busy();
        desk.publish(
            "services",
            json!({"method": "fileupload_update", "tid": "c", "bid": "c", "data": data}).to_string(),
        );
        desk.publish("services_reply", r#"{"method":"fileupload_update","tid":"c","bid":"c","data":{"result":0}}"#);
        assert_eq!(desk.states(), [state], "{quirk}");
    }
}

#[test]
fn an_end_says_what_its_code_means() {
    let desk = Desk::busy();
    let data = json!({"result": 324_019, "output": {"status": "failed"}});
    desk.publish("events", json!({"method": "fileupload_progress", "bid": "a", "data": data}).to_string());
    let ended = desk.view().history.unwrap_or_default().remove(0);
    assert_eq!((ended.outcome, ended.code), (Some(Outcome::Failed), Some(324_019)));
    assert_eq!(ended.meaning, Some("Network anomaly at the dock. Log upload failed"));
}

#[test]
fn the_gateway_is_the_one_in_the_topic_and_another_in_the_payload_is_counted() {
    let desk = Desk::busy();
    desk.publish(
        "events",
        r#"{"gateway":"OTHER","bid":"a","method":"fileupload_progress","data":{"output":{"status":"ok"}}}"#,
    );
    assert!(desk.seen().contains(&Observation::GatewayMismatch));
    assert!(desk.states().is_empty());
}

#[test]
fn look_alikes_are_forwarded_and_only_unknown_fileupload_methods_are_counted() {
    for (method, counted) in [
        ("fileupload_result", vec![Observation::UnknownMethod]),
        ("fileupload_", vec![Observation::UnknownMethod]),
        ("file_upload_callback", vec![]),
        ("highest_priority_upload_flighttask_media", vec![]),
        ("storage_config_get", vec![]),
    ] {
        let desk = Desk::busy();
        for level in ["services", "services_reply", "events"] {
            let payload = json!({"method": method, "tid": "x", "bid": "a", "data": {"output": {"status": "ok"}}});
            assert_eq!(desk.publish(level, payload.to_string()), Verdict::Forward);
            assert_eq!(desk.seen(), counted, "{method} on {level}");
        }
        assert_eq!(desk.states(), ["active"], "{method}");
    }
}

#[test]
fn a_method_on_a_topic_where_it_makes_no_sense_does_nothing() {
    let desk = Desk::busy();
    for (level, payload) in [
        ("services_reply", r#"{"bid":"a","method":"fileupload_progress","data":{"output":{"status":"ok"}}}"#),
        ("services", r#"{"bid":"a","method":"fileupload_progress","data":{"output":{"status":"ok"}}}"#),
        ("events", r#"{"bid":"b","tid":"b","method":"fileupload_start","data":{}}"#),
    ] {
        assert_eq!(desk.publish(level, payload), Verdict::Forward);
        assert_eq!(desk.states(), ["active"], "{level}");
    }
}
