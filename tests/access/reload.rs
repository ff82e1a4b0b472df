//! SIGHUP: passwords and ACLs are read again, and those who are connected are checked again.

use super::common::{Connect, Publish, V5, V311, Wire, eventually, metric};
use super::{DOCK, FLEET, Files, OTHER, client, connect, password, thing};

#[test]
fn a_client_whose_password_has_changed_has_to_prove_itself_again() {
    let (files, broker) = Files::fleet();
    let (mut dock, mut other) = (client(&broker, V5, DOCK), client(&broker, V311, OTHER));
    files.set_password(DOCK, "new");
    broker.hang_up();
    assert_eq!(dock.expect_closed(), Some(0x87));
    other.expect_alive();
    let (_, connack) = Wire::try_connect(broker.mqtt, &connect(V5, DOCK));
    assert_eq!(connack.code, 0x86);
    Wire::connect(broker.mqtt, &Connect::new(V5, DOCK).login(DOCK, "new")).expect_alive();
    assert_eq!(metric(broker.http, "dockgate_disconnects_total", "not_authorized"), 1.0);
}

#[test]
fn the_session_of_a_deleted_user_ends() {
    let (files, broker) = Files::fleet();
    let persistent = Connect::persistent(V311, "desk").login("backend", &password("backend"));
    let mut desk = Wire::connect(broker.mqtt, &persistent);
    desk.subscribe(&[("thing/#", 1)]);
    desk.leave();
    eventually("it is kept", || metric(broker.http, "dockgate_sessions", "offline") == 1.0);
    files.delete_user("backend");
    files.set_password("backend2", &password("backend2"));
    broker.hang_up();
    // The identifier is free for another.
    let heir = Connect::persistent(V311, "desk").login("backend2", &password("backend2"));
    eventually("the session is gone", || {
        let (_, connack) = Wire::try_connect(broker.mqtt, &heir);
        connack.code == 0 && !connack.session_present
    });
}

#[test]
fn what_a_client_may_not_read_any_more_does_not_reach_it() {
    let files = Files::with_users(&["alice", "bob"]);
    files.write_acl("user alice\ntopic readwrite #\nuser bob\ntopic readwrite #\n");
    let broker = files.start(&[]);
    let (mut alice, mut bob) = (client(&broker, V5, "alice"), client(&broker, V5, "bob"));
    alice.subscribe(&[("a/#", 1), ("b", 1), ("+/shared", 1)]);
    let away = Connect::persistent(V5, "away").login("alice", &password("alice"));
    let mut offline = Wire::connect(broker.mqtt, &away);
    offline.subscribe(&[("b", 1), ("a/#", 1)]);
    offline.leave();
    bob.publish(&Publish::new("b", "queued").qos(1, 1));
    alice.expect_message("queued");

    files.write_acl("user alice\ntopic read a/#\ntopic deny a/private\nuser bob\ntopic readwrite #\n");
    broker.hang_up();
    eventually("the rules are in force", || alice.publish(&Publish::new("x", "x").qos(1, 1)) == 0x87);
    for topic in ["b", "a/private", "x/shared", "a/public"] {
        bob.publish(&Publish::new(topic, topic).qos(1, 1));
    }
    alice.expect_message("a/public");
    alice.expect_alive();
    let (mut offline, present) = Wire::resume(broker.mqtt, &away.resuming());
    assert!(present);
    offline.expect_message("a/public");
    offline.expect_alive();
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let files = Files::with_users(&["alice"]);
    files.write_acl("user alice\ntopic readwrite #\n");
    let broker = files.start(&[]);
    let mut alice = client(&broker, V5, "alice");
    files.write_acl("user alice\ntopic readwrite b/#\ntopc read a\n");
    files.set_password("alice", "changed");
    broker.hang_up();
    eventually("the mistake is logged", || broker.log().contains("acl:3"));
    assert_eq!(alice.publish(&Publish::new("a", "x").qos(1, 1)), 0x10);
    // Nothing of the new files counts, the good one neither.
    client(&broker, V5, "alice").expect_alive();
}

#[test]
fn new_rights_count_at_once() {
    let files = Files::with_users(&[DOCK]);
    files.write_acl("user nobody\ntopic read x\n");
    let broker = files.start(&FLEET);
    let mut dock = client(&broker, V5, DOCK);
    assert_eq!(dock.publish(&Publish::new("extra", "x").qos(1, 1)), 0x87);
    files.write_acl("pattern write extra\n");
    broker.hang_up();
    eventually("the rules are in force", || dock.publish(&Publish::new("extra", "x").qos(1, 1)) == 0x10);
    assert_eq!(dock.publish(&Publish::new(&thing(DOCK, "osd"), "x").qos(1, 1)), 0x10);
}

#[test]
fn what_was_on_its_way_to_a_client_does_not_come_again_when_it_may_not_read_it_any_more() {
    let files = Files::with_users(&["alice", "bob"]);
    files.write_acl("user alice\ntopic read #\nuser bob\ntopic readwrite #\n");
    let broker = files.start(&[]);
    let persistent = Connect::persistent(V5, "away").login("alice", &password("alice"));
    let mut alice = Wire::connect(broker.mqtt, &persistent);
    alice.subscribe(&[("#", 2)]);
    let mut bob = client(&broker, V5, "bob");
    for (id, topic) in [(1, "private"), (2, "public")] {
        bob.publish(&Publish::new(topic, topic).qos(1, id));
        assert_eq!(alice.expect_publish().topic, topic, "it comes, and is not acknowledged");
    }
    alice.vanish();
    files.write_acl("user alice\ntopic read public\nuser bob\ntopic readwrite #\n");
    broker.hang_up();
    eventually("the rules are in force", || broker.log().contains("every session is checked"));
    let (mut alice, present) = Wire::resume(broker.mqtt, &persistent.resuming());
    assert!(present);
    alice.expect_message("public");
    alice.expect_alive();
}

#[test]
fn who_has_to_prove_itself_again_does_not_speak_by_its_will() {
    let (files, broker) = Files::fleet();
    let mut desk = client(&broker, V5, "backend");
    desk.subscribe(&[("thing/#", 1)]);
    let will = |sn: &str| connect(V5, sn).will(&thing(sn, "state"), sn);
    let (mut changed, mut deleted) =
        (Wire::connect(broker.mqtt, &will(DOCK)), Wire::connect(broker.mqtt, &will(OTHER)));
    files.set_password(DOCK, "new");
    files.delete_user(OTHER);
    broker.hang_up();
    assert_eq!((changed.expect_closed(), deleted.expect_closed()), (Some(0x87), Some(0x87)));
    eventually("they are gone", || metric(broker.http, "dockgate_sessions", "online") == 1.0);
    desk.expect_alive();
    assert_eq!(metric(broker.http, "dockgate_wills_total", ""), 0.0);
}
