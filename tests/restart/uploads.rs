//! The ledger of uploads.

use serde_json::{Value, json};

use crate::common::{Connect, Publish, V5, Wire, eventually, get};
use crate::ground::Ground;
use crate::messages::{GATEWAY, other, progress, reply, start, topic};

fn publish(wire: &mut Wire, kind: &str, message: &Value) -> u8 {
    wire.publish(&Publish::new(&topic(kind), message.to_string()).qos(1, 1))
}

fn uploads(ground: &Ground) -> Vec<Value> {
    let body: Value = serde_json::from_str(&get(ground.http(), "/api/v1/uploads")).unwrap();
    body["uploads"].as_array().unwrap().clone()
}

fn dock(ground: &Ground) -> Wire {
    let mut dock = Wire::clean(ground.mqtt(), V5, GATEWAY);
    dock.subscribe(&[(&topic("services"), 1)]);
    dock
}

fn backend(ground: &Ground) -> Wire {
    Wire::clean(ground.mqtt(), V5, "backend")
}

#[test]
fn a_running_upload_runs_on_and_another_start_is_refused() {
    let mut ground = Ground::new();
    let mut dock_before = dock(&ground);
    let first = start("first", "first", &["3"]);
    assert_eq!(publish(&mut backend(&ground), "services", &first), 0);
    dock_before.expect_message(&first.to_string());
    ground.crash();
    // Pending.
    assert_eq!(uploads(&ground)[0]["state"], "pending");
    let mut dock = dock(&ground);
    assert_eq!(publish(&mut backend(&ground), "services", &start("other", "other", &["3"])), 0x97);
    // Its retry is still known as such, though nothing of its data was kept.
    let mut again = first.clone();
    (again["tid"], again["bid"]) = (json!("again"), json!("again"));
    assert_eq!(publish(&mut backend(&ground), "services", &again), 0);
    dock.expect_message(&again.to_string());
    assert_eq!(uploads(&ground)[0]["aliases"].as_array().unwrap().len(), 2);
    publish(&mut dock, "services_reply", &reply(&first, 0));
    ground.crash();
    // Active.
    assert_eq!(uploads(&ground)[0]["state"], "active");
    assert_eq!(publish(&mut backend(&ground), "services", &start("third", "third", &["3"])), 0x97);
    let mut dock = self::dock(&ground);
    publish(&mut dock, "events", &progress("first", "first", 40, "file_uploading"));
    assert_eq!(uploads(&ground)[0]["files"][0]["progress"], 40);
    // Cancelling.
    let cancel = other("fileupload_update", "cancel", &json!({"status": "cancel", "module_list": ["0", "3"]}));
    publish(&mut backend(&ground), "services", &cancel);
    publish(&mut dock, "services_reply", &reply(&cancel, 0));
    ground.crash();
    assert_eq!(uploads(&ground)[0]["state"], "cancelling");
    assert_eq!(publish(&mut backend(&ground), "services", &start("fourth", "fourth", &["3"])), 0x97);
    // Ended: the slot is free, and the history has it.
    let mut dock = self::dock(&ground);
    publish(&mut dock, "events", &progress("first", "first", 41, "canceled"));
    ground.crash();
    let ended = uploads(&ground);
    assert_eq!((&ended[0]["state"], &ended[0]["outcome"]), (&json!("ended"), &json!("canceled")));
    assert_eq!(ended.len(), 1);
    assert_eq!(publish(&mut backend(&ground), "services", &start("fifth", "fifth", &["3"])), 0x10, "no dock is there");
    assert_eq!(uploads(&ground).len(), 2);
}

#[test]
fn a_time_out_goes_on_over_the_crash() {
    let mut ground = Ground::with(&[("DOCKGATE_UPLOADS__REPLY_TIMEOUT", "2s")]);
    publish(&mut backend(&ground), "services", &start("late", "late", &["3"]));
    let began = std::time::Instant::now();
    ground.crash();
    eventually("the upload is unanswered", || uploads(&ground)[0]["outcome"] == "unanswered");
    assert!(began.elapsed().as_millis() >= 1_900, "the time-out is shorter than it was");
    let age = uploads(&ground)[0]["age_ms"].as_u64().unwrap();
    assert!(age >= 2_000, "{age}");
}

#[test]
fn progress_is_kept_within_a_second_and_none_of_it_is_waited_for() {
    let mut ground = Ground::new();
    let mut dock = dock(&ground);
    let request = start("p", "p", &["3"]);
    publish(&mut backend(&ground), "services", &request);
    dock.expect_message(&request.to_string());
    publish(&mut dock, "services_reply", &reply(&request, 0));
    for percent in 1..=60 {
        publish(&mut dock, "events", &progress("p", "p", percent, "file_uploading"));
    }
    // Longer than that: the last is written.
    std::thread::sleep(std::time::Duration::from_millis(1_600));
    ground.crash();
    assert_eq!(uploads(&ground)[0]["files"][0]["progress"], 60);
}

#[test]
fn a_start_that_waits_for_a_dock_outlives_the_crash() {
    let mut ground = Ground::new();
    let connect = Connect::persistent(V5, GATEWAY);
    let mut dock = Wire::connect(ground.mqtt(), &connect);
    dock.subscribe(&[(&topic("services"), 1)]);
    dock.leave();
    let request = start("waits", "waits", &["3"]);
    assert_eq!(publish(&mut backend(&ground), "services", &request), 0);
    ground.crash();
    let (mut dock, present) = Wire::resume(ground.mqtt(), &connect);
    assert!(present);
    dock.expect_message(&request.to_string());
}

#[test]
fn a_start_that_may_have_been_sent_is_not_sent_again_when_others_may_have_its_slot() {
    let mut ground = Ground::with(&[("DOCKGATE_UPLOADS__REPLY_TIMEOUT", "1s")]);
    let connect = Connect::persistent(V5, GATEWAY);
    for qos in [1, 2] {
        let mut dock = Wire::connect(ground.mqtt(), &connect);
        dock.subscribe(&[(&topic("services"), qos)]);
        let name = format!("late-{qos}");
        let request = start(&name, &name, &["3"]);
        let mut backend = backend(&ground);
        let message = Publish::new(&topic("services"), request.to_string()).qos(qos, 1);
        assert_eq!(backend.publish(&message), 0);
        dock.expect_publish();
        ground.crash_and(|| std::thread::sleep(std::time::Duration::from_millis(1_200)));
        let (mut dock, present) = Wire::resume(ground.mqtt(), &connect);
        assert!(present);
        dock.expect_alive();
        dock.leave();
    }
}
