//! Sessions, their subscriptions and what waits for them.

use std::time::Duration;

use crate::common::property::{SUBSCRIPTION_ID, find, session_expiry};
use crate::common::{Connect, Publish, V5, V311, Value, Wire, disconnect};
use crate::ground::Ground;

#[test]
fn what_waits_for_an_offline_session_comes_in_its_order() {
    let mut ground = Ground::new();
    for version in [V311, V5] {
        let connect = Connect::persistent(version, &format!("off-{version:?}"));
        let mut subscriber = Wire::connect(ground.mqtt(), &connect);
        let live = format!("live/{version:?}");
        subscriber.subscribe(&[("off/exact", 2), ("off/+/x", 2), ("low", 1), (&live, 1)]);
        subscriber.leave();
    }
    for (n, topic) in ["off/exact", "off/wild/x", "off/exact", "low", "off/other/x"].into_iter().enumerate() {
        ground.publish(&Publish::new(topic, n.to_string()).qos(1 + u8::try_from(n % 2).unwrap(), 1));
    }
    ground.crash();
    ground.publish(&Publish::new("off/exact", "5").qos(1, 1));
    ground.crash();
    for version in [V311, V5] {
        let connect = Connect::persistent(version, &format!("off-{version:?}"));
        let (mut subscriber, present) = Wire::resume(ground.mqtt(), &connect);
        assert!(present, "{version:?}");
        for (n, qos) in [(0, 1), (1, 2), (2, 1), (3, 1), (4, 1), (5, 1)] {
            let message = subscriber.expect_message(&n.to_string());
            assert_eq!((message.qos, message.dup), (qos, false), "{version:?}, {n}");
        }
        // Nothing comes twice, and the subscriptions are live.
        subscriber.leave();
        let (mut subscriber, _) = Wire::resume(ground.mqtt(), &connect);
        ground.publish(&Publish::new(&format!("live/{version:?}"), "live").qos(1, 1));
        subscriber.expect_message("live");
    }
}

#[test]
fn subscriptions_keep_their_options() {
    let mut ground = Ground::new();
    let connect = Connect::persistent(V5, "options");
    let mut subscriber = Wire::connect(ground.mqtt(), &connect);
    let (no_local, as_published) = (0b100, 0b1000);
    subscriber.try_subscribe(&[(SUBSCRIPTION_ID, Value::Variable(77))], &[("o/id", 1), ("o/as", 1 | as_published)]);
    subscriber.try_subscribe(&[], &[("o/own", 1 | no_local), ("o/gone", 1), ("o/changed", 2)]);
    subscriber.subscribe(&[("o/changed", 0)]);
    subscriber.unsubscribe(&["o/gone"]);
    ground.crash();
    let (mut subscriber, present) = Wire::resume(ground.mqtt(), &connect);
    assert!(present);
    subscriber.publish(&Publish::new("o/own", "own").qos(1, 1));
    ground.publish(&Publish::new("o/gone", "gone").qos(1, 1));
    ground.publish(&Publish::new("o/id", "1").qos(1, 1).retain());
    let message = subscriber.expect_message("1");
    assert_eq!(find(&message.properties, SUBSCRIPTION_ID), Some(&Value::Variable(77)));
    assert!(!message.retain);
    ground.publish(&Publish::new("o/as", "2").qos(1, 1).retain());
    assert!(subscriber.expect_message("2").retain);
    ground.publish(&Publish::new("o/changed", "3").qos(2, 1));
    assert_eq!(subscriber.expect_message("3").qos, 0);
    subscriber.expect_alive();
}

#[test]
fn a_session_that_began_anew_does_not_come_back() {
    let mut ground = Ground::new();
    let connect = Connect::persistent(V311, "anew");
    let mut subscriber = Wire::connect(ground.mqtt(), &connect);
    subscriber.subscribe(&[("anew", 1)]);
    subscriber.leave();
    ground.publish(&Publish::new("anew", "old").qos(1, 1));
    let _clean = Wire::clean(ground.mqtt(), V311, "anew");
    ground.crash();
    let (mut subscriber, present) = Wire::resume(ground.mqtt(), &connect);
    assert!(!present);
    ground.publish(&Publish::new("anew", "new").qos(1, 1));
    subscriber.expect_alive();
}

#[test]
fn a_session_ends_when_its_time_is_over_also_while_no_broker_runs() {
    let mut ground = Ground::new();
    let connect = |id: &str, seconds| Connect::new(V5, id).resuming().property(session_expiry(seconds));
    for (id, seconds) in [("short", 1), ("long", 600)] {
        let mut subscriber = Wire::connect(ground.mqtt(), &connect(id, seconds));
        subscriber.subscribe(&[("time", 1)]);
        subscriber.vanish();
    }
    // A DISCONNECT that changes it counts, too.
    let mut changed = Wire::connect(ground.mqtt(), &connect("changed", 600));
    changed.subscribe(&[("time", 1)]);
    changed.send(&disconnect(0, &[session_expiry(1)]));
    changed.expect_closed();
    let mut ended = Wire::connect(ground.mqtt(), &connect("ended", 600));
    ended.subscribe(&[("time", 1)]);
    ended.send(&disconnect(0, &[session_expiry(0)]));
    ended.expect_closed();
    ground.publish(&Publish::new("time", "x").qos(1, 1));
    ground.crash_and(|| std::thread::sleep(Duration::from_millis(1200)));
    for (id, is_there) in [("short", false), ("long", true), ("changed", false), ("ended", false)] {
        let (_, present) = Wire::resume(ground.mqtt(), &connect(id, 600));
        assert_eq!(present, is_there, "{id}");
    }
}

#[test]
fn a_session_belongs_to_its_user_and_ends_with_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let passwords = folder.path().join("passwd");
    // mosquitto_passwd's format; both passwords are "secret".
    let set = |users: &[&str]| {
        std::fs::write(&passwords, "").unwrap();
        for user in users {
            use std::io::Write;
            let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_dockgate"))
                .args(["passwd", passwords.to_str().unwrap(), user])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
            assert!(child.wait().unwrap().success());
        }
    };
    set(&["anna", "bert"]);
    let mut ground = Ground::with(&[("DOCKGATE_ACCESS__PASSWORD_FILE", passwords.to_str().unwrap())]);
    let connect = |id: &str, user: &str| Connect::persistent(V5, id).login(user, "secret");
    for (id, user) in [("a", "anna"), ("b", "bert")] {
        let mut subscriber = Wire::connect(ground.mqtt(), &connect(id, user));
        subscriber.subscribe(&[("users", 1)]);
        subscriber.leave();
    }
    ground.crash();
    let (_, refused) = Wire::try_connect(ground.mqtt(), &connect("a", "bert"));
    assert_eq!(refused.code, 0x85, "Client Identifier not valid");
    assert!(Wire::resume(ground.mqtt(), &connect("a", "anna")).1);
    ground.crash_and(|| set(&["anna"]));
    assert!(Wire::resume(ground.mqtt(), &connect("a", "anna")).1);
    // Whose it was is gone, and so is the session: its identifier is free.
    assert!(!Wire::resume(ground.mqtt(), &connect("b", "anna")).1);
}

#[test]
fn a_shared_subscription_shares_on() {
    let mut ground = Ground::new();
    let connect = |n| Connect::persistent(V5, &format!("member-{n}"));
    for n in 0..2 {
        let mut member = Wire::connect(ground.mqtt(), &connect(n));
        member.subscribe(&[("$share/g/s/+", 1)]);
        member.leave();
    }
    let messages = 10;
    for n in 0..messages {
        ground.publish(&Publish::new("s/x", n.to_string()).qos(1, 1));
    }
    ground.crash();
    let mut got = Vec::new();
    // The second ends with what it had: that goes to the first.
    let (mut first, _) = Wire::resume(ground.mqtt(), &connect(0));
    let mut second = Wire::connect(ground.mqtt(), &Connect::new(V5, "member-1"));
    second.expect_alive();
    for _ in 0..messages {
        let message = first.expect_publish();
        first.complete(&message);
        got.push(message.text().parse::<i32>().unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (0..messages).collect::<Vec<_>>());
}

#[test]
fn with_persistence_disabled_nothing_comes_back_and_nothing_is_written() {
    let mut ground = Ground::with(&[("DOCKGATE_PERSISTENCE__ENABLED", "false")]);
    let connect = Connect::persistent(V5, "memory");
    let mut subscriber = Wire::connect(ground.mqtt(), &connect);
    subscriber.subscribe(&[("memory", 1)]);
    subscriber.leave();
    ground.publish(&Publish::new("memory", "x").qos(1, 1).retain());
    assert!(Wire::resume(ground.mqtt(), &connect).1);
    ground.crash();
    assert!(!Wire::resume(ground.mqtt(), &connect).1);
    assert!(!ground.data().exists());
}

#[test]
fn in_the_mode_interval_a_stop_still_keeps_everything() {
    let mut ground = Ground::with(&[("DOCKGATE_PERSISTENCE__SYNC", "interval")]);
    let connect = Connect::persistent(V5, "interval");
    let mut subscriber = Wire::connect(ground.mqtt(), &connect);
    subscriber.subscribe(&[("interval", 2)]);
    subscriber.leave();
    ground.publish(&Publish::new("interval", "x").qos(2, 1));
    ground.restart();
    let (mut subscriber, present) = Wire::resume(ground.mqtt(), &connect);
    assert!(present);
    subscriber.expect_message("x");
}
