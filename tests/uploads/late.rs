//! What reaches a dock that was away: nothing that the guard does not stand behind any more.

use super::common::{Broker, Connect, Publish, V5, V311, Wire, eventually, get};
use super::messages::{GATEWAY, other, progress, start, topic};
use super::{backend, begin, dock, eventually_outcome, expect_json, publish};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_start_is_never_retained() {
    let broker = Broker::start(|_| {});
    let mut backend = backend(&broker, V311, "backend");
    let request = start("a", "a", &["3"]);
    backend.publish(&Publish::new(&topic("services"), request.to_string()).qos(1, 1).retain());
    let mut list = Wire::clean(broker.mqtt, V5, GATEWAY);
    list.subscribe(&[(&topic("services"), 1)]);
    let sentinel = other("fileupload_list", "b", &json!({"module_list": ["3"]}));
    publish(&mut backend, "services", &sentinel);
    expect_json(&mut list, &sentinel);
}

/// A dock with a persistent session would get every start that was sent while it was away, all at once.
#[test]
fn starts_for_a_dock_that_is_away_expire_when_their_reply_is_due() {
    let broker = Broker::start(|settings| settings.uploads.reply_timeout = Duration::from_millis(300));
    let mut dock = Wire::connect(broker.mqtt, &Connect::persistent(V5, GATEWAY));
    dock.subscribe(&[(&topic("services"), 1)]);
    dock.leave();
    let mut backend = backend(&broker, V311, "backend");
    publish(&mut backend, "services", &start("a", "a", &["3"]));
    eventually_outcome(&broker, "unanswered");
    let sentinel = other("fileupload_list", "b", &json!({"module_list": ["3"]}));
    publish(&mut backend, "services", &sentinel);
    let mut dock = Wire::connect(broker.mqtt, &Connect::persistent(V5, GATEWAY).resuming());
    expect_json(&mut dock, &sentinel);
}

/// A reconnect is a client that comes and one that goes, and the ledger must hear of them in that order.
#[test]
fn a_dock_that_reconnects_again_and_again_is_present() {
    let broker = Broker::start(|settings| settings.uploads.offline_grace = Duration::from_millis(700));
    let (mut first, mut backend) = (dock(&broker), backend(&broker, V311, "backend"));
    begin(&mut first, &mut backend, "a");
    let mut present = first;
    for _ in 0..200 {
        let next = dock(&broker);
        drop(std::mem::replace(&mut present, next));
    }
    std::thread::sleep(Duration::from_millis(900));
    publish(&mut present, "events", &progress("a", "a", 50, "file_uploading"));
    eventually("the upload goes on", || get(broker.http, "/api/v1/uploads?state=running").contains("active"));
    present.expect_alive();
}
