//! A session belongs to the user who began it.

use super::common::property::session_expiry;
use super::common::{Connect, Publish, V5, V311, Wait, Wire, metric};
use super::{DOCK, Files, OTHER, client, password, thing};
use std::time::Duration;

#[test]
fn nobody_gets_anothers_messages_by_its_client_identifier() {
    let files = Files::with_users(&["alice", "mallory"]);
    let broker = files.start(&[]);
    let as_user = |version, user: &str| Connect::persistent(version, "desk").login(user, &password(user));
    let mut desk = Wire::connect(broker.mqtt, &as_user(V311, "alice"));
    desk.subscribe(&[("letters", 1)]);
    desk.leave();
    client(&broker, V311, "alice").publish(&Publish::new("letters", "private").qos(1, 1));
    for version in [V311, V5] {
        let (_, connack) = Wire::try_connect(broker.mqtt, &as_user(version, "mallory"));
        assert_eq!(connack.code, if version == V5 { 0x85 } else { 2 });
    }
    let (mut desk, present) = Wire::resume(broker.mqtt, &as_user(V311, "alice"));
    assert!(present);
    desk.expect_message("private");
    // While it is connected, too.
    assert_eq!(Wire::try_connect(broker.mqtt, &as_user(V5, "mallory")).1.code, 0x85);
    desk.expect_alive();
}

#[test]
fn a_session_without_a_user_may_become_a_users() {
    let files = Files::with_users(&["alice"]);
    let broker = files.start(&[("DOCKGATE_ACCESS__ALLOW_ANONYMOUS", "true")]);
    let mut desk = Wire::connect(broker.mqtt, &Connect::persistent(V311, "desk"));
    desk.subscribe(&[("letters", 1)]);
    desk.leave();
    let named = Connect::persistent(V311, "desk").login("alice", &password("alice"));
    assert!(Wire::resume(broker.mqtt, &named).1);
    assert_eq!(Wire::try_connect(broker.mqtt, &Connect::persistent(V311, "desk")).1.code, 2);
}

#[test]
fn a_session_shows_who_resumes_it_only_what_that_one_may_read() {
    let files = Files::with_users(&[DOCK, OTHER]);
    let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listeners = format!(
        r#"[{{protocol="mqtt",bind="127.0.0.1:0"}},{{protocol="mqtt",bind="{inside}",role="backend",allow_anonymous=true}}]"#
    );
    let broker = files.start(&[("DOCKGATE_LISTENERS", &listeners), ("DOCKGATE_ACCESS__ROLES__DOCK", r#"["7*"]"#)]);
    let mut other = client(&broker, V5, OTHER);
    let mut desk = Wire::connect(inside, &Connect::persistent(V5, "desk"));
    let secret = thing(OTHER, "osd");
    desk.subscribe(&[("thing/#", 1), (&secret, 1), ("$share/g/thing/#", 1)]);
    desk.leave();
    other.publish(&Publish::new(&secret, "waiting").qos(1, 1));
    let thief = Connect::persistent(V5, "desk").login(DOCK, &password(DOCK));
    let (mut thief, _) = Wire::resume(broker.mqtt, &thief.resuming());
    other.publish(&Publish::new(&secret, "live").qos(1, 2));
    assert!(matches!(thief.wait(Duration::from_millis(300)), Wait::Nothing));
    thief.expect_alive();
}

#[test]
fn one_users_sessions_never_push_out_anothers() {
    let files = Files::with_users(&[DOCK, OTHER, "backend", "late"]);
    let mut settings = super::FLEET.to_vec();
    settings.push(("DOCKGATE_LIMITS__SESSIONS", "12"));
    let broker = files.start(&settings);
    let lasting = |id: &str, user: &str| Connect::persistent(V5, id).login(user, &password(user));
    // It would end before all others.
    let short = |connect: Connect| connect.property(session_expiry(600));
    let mut dock = Wire::connect(broker.mqtt, &short(Connect::new(V5, DOCK).login(DOCK, &password(DOCK))));
    dock.subscribe(&[(&thing(DOCK, "services"), 1)]);
    dock.leave();
    client(&broker, V5, "backend").publish(&Publish::new(&thing(DOCK, "services"), "waiting").qos(1, 1));
    for n in 0..40 {
        Wire::connect(broker.mqtt, &lasting(&format!("many-{n}"), OTHER)).leave();
    }
    // Newcomers come in at the cost of who has the most.
    let mut newcomers: Vec<_> =
        (0..3).map(|n| Wire::connect(broker.mqtt, &lasting(&format!("late-{n}"), "late"))).collect();
    let (mut dock, present) = Wire::resume(broker.mqtt, &lasting(DOCK, DOCK).resuming());
    assert!(present);
    dock.expect_message("waiting");
    newcomers.iter_mut().for_each(Wire::expect_alive);
    // Its last session is still there, its first ones have made room.
    assert!(Wire::resume(broker.mqtt, &lasting("many-39", OTHER).resuming()).1);
    assert_eq!(metric(broker.http, "dockgate_limit_hits_total", "sessions"), 0.0);
}
