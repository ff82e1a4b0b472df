//! Wills that were still to be published.

use std::time::{Duration, Instant};

use crate::common::property::{WILL_DELAY, session_expiry};
use crate::common::{Connect, V5, Value, Wire};
use crate::ground::Ground;

/// A session of an hour with a will that waits so long.
fn delayed(id: &str, seconds: u32) -> Connect {
    Connect::new(V5, id)
        .resuming()
        .property(session_expiry(3600))
        .will("will/x", id)
        .change_will(|will| will.properties.push((WILL_DELAY, Value::Four(seconds))))
}

/// A session that hears all wills, also those of before it connects.
fn watcher() -> Connect {
    Connect::persistent(V5, "watcher")
}

fn watch(ground: &Ground) {
    let mut watcher = Wire::connect(ground.mqtt(), &watcher());
    watcher.subscribe(&[("will/#", 2)]);
    watcher.leave();
}

#[test]
fn a_delay_goes_on_over_the_crash() {
    let mut ground = Ground::new();
    watch(&ground);
    let began = Instant::now();
    Wire::connect(ground.mqtt(), &delayed("waits", 2)).vanish();
    Wire::connect(ground.mqtt(), &delayed("returns", 2)).vanish();
    Wire::connect(ground.mqtt(), &delayed("leaves", 2)).leave();
    ground.publish(&crate::common::Publish::new("will/x", "before").qos(1, 1));
    ground.crash();
    let _returned = Wire::resume(ground.mqtt(), &delayed("returns", 2));
    let mut watcher = Wire::connect(ground.mqtt(), &watcher());
    watcher.expect_message("before");
    watcher.expect_message("waits");
    assert!(began.elapsed() >= Duration::from_secs(2), "before its time");
    watcher.expect_alive();
    ground.commit();
    ground.crash();
    // It has been published: not again. Who was connected is not any more.
    let mut watcher = Wire::connect(ground.mqtt(), &self::watcher());
    watcher.expect_message("returns");
    watcher.expect_alive();
}

#[test]
fn a_will_that_fell_due_while_no_broker_ran_is_published_at_the_start() {
    let mut ground = Ground::new();
    watch(&ground);
    Wire::connect(ground.mqtt(), &delayed("due", 1)).vanish();
    ground.publish(&crate::common::Publish::new("will/x", "before").qos(1, 1));
    ground.crash_and(|| std::thread::sleep(Duration::from_millis(1100)));
    let mut watcher = Wire::connect(ground.mqtt(), &watcher());
    watcher.expect_message("before");
    watcher.expect_message("due");
}

#[test]
fn who_was_connected_when_the_broker_was_killed_has_lost_its_connection() {
    let mut ground = Ground::new();
    watch(&ground);
    let _connected = Wire::connect(ground.mqtt(), &delayed("fell", 0));
    ground.crash();
    let mut watcher = Wire::connect(ground.mqtt(), &watcher());
    assert_eq!(watcher.expect_message("fell").qos, 1);
}

#[test]
fn the_will_of_a_take_over_outlives_the_one_that_it_set_off() {
    let mut ground = Ground::new();
    watch(&ground);
    let with_will = |text: &str| delayed("moves", 0).change_will(|will| will.payload = text.into());
    let _before = Wire::connect(ground.mqtt(), &with_will("first"));
    let (_after, present) = Wire::resume(ground.mqtt(), &with_will("second"));
    assert!(present);
    let mut watcher = Wire::connect(ground.mqtt(), &watcher());
    let message = watcher.expect_message("first");
    watcher.complete(&message);
    watcher.leave();
    ground.commit();
    ground.crash();
    let mut watcher = Wire::connect(ground.mqtt(), &self::watcher());
    watcher.expect_message("second");
}
