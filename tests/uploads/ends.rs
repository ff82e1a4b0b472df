//! How an upload ends, and that its end frees the slot.

use std::time::Duration;

use serde_json::json;

use crate::common::{Broker, V311, eventually};
use crate::messages::{other, progress, reply, start};
use crate::{backend, begin, dock, eventually_outcome, expect_json, publish, uploads};

#[test]
fn a_cancelled_upload_ends_and_frees_the_slot() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    begin(&mut dock, &mut backend, "cancelled");
    let cancel = other("fileupload_update", "cancel", &json!({"status": "cancel", "module_list": ["3"]}));
    publish(&mut backend, "services", &cancel);
    expect_json(&mut dock, &cancel);
    let answer = reply(&cancel, 0);
    publish(&mut dock, "services_reply", &answer);
    expect_json(&mut backend, &answer);
    eventually("the upload is being cancelled", || uploads(&broker)[0]["state"] == "cancelling");
    let event = progress("cancelled", "cancelled", 40, "canceled");
    publish(&mut dock, "events", &event);
    expect_json(&mut backend, &event);
    eventually_outcome(&broker, "canceled");
    begin(&mut dock, &mut backend, "next");
}

#[test]
fn a_rejected_start_frees_the_slot() {
    let broker = Broker::start(|_| {});
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    let request = start("rejected", "rejected", &["3"]);
    publish(&mut backend, "services", &request);
    expect_json(&mut dock, &request);
    let answer = reply(&request, 324_015);
    publish(&mut dock, "services_reply", &answer);
    expect_json(&mut backend, &answer);
    eventually_outcome(&broker, "rejected");
    assert_eq!(uploads(&broker)[0]["code"], 324_015);
    begin(&mut dock, &mut backend, "next");
}

#[test]
fn a_start_without_a_reply_frees_the_slot() {
    let broker = Broker::start(|settings| settings.uploads.reply_timeout = Duration::from_millis(500));
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    let request = start("unanswered", "unanswered", &["3"]);
    publish(&mut backend, "services", &request);
    expect_json(&mut dock, &request);
    eventually_outcome(&broker, "unanswered");
    begin(&mut dock, &mut backend, "next");
}

#[test]
fn an_upload_without_progress_stalls_and_frees_the_slot() {
    let broker = Broker::start(|settings| settings.uploads.stall_timeout = Duration::from_millis(500));
    let (mut dock, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    begin(&mut dock, &mut backend, "stalls");
    eventually_outcome(&broker, "stalled");
    begin(&mut dock, &mut backend, "next");
}

#[test]
fn the_upload_of_a_dock_that_is_gone_is_lost() {
    let broker = Broker::start(|settings| settings.uploads.offline_grace = Duration::from_millis(300));
    let (mut dock_wire, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    begin(&mut dock_wire, &mut backend, "lost");
    dock_wire.vanish();
    eventually_outcome(&broker, "lost");
    begin(&mut dock(&broker), &mut backend, "next");
}
