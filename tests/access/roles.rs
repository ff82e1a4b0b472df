//! One line a role: docks, backends, observers.

use super::common::packet::RETAIN_AS_PUBLISHED;
use super::common::property::{REASON, TOPIC_ALIAS, find};
use super::common::{Answer, Connect, Puback, Publish, V5, V311, VERSIONS, Value, Wait, Wire, metric};
use super::{AIRCRAFT, DOCK, Files, OTHER, client, connect, password, thing};
use std::time::Duration;

#[test]
fn a_dock_publishes_as_itself_and_as_nobody_else() {
    let (_files, broker) = Files::fleet();
    let mut backend = client(&broker, V311, "backend");
    backend.subscribe(&[("thing/#", 1), ("sys/#", 1)]);
    for version in VERSIONS {
        let mut dock = client(&broker, version, DOCK);
        for own in ["osd", "state", "events", "services_reply", "requests", "property/set_reply", "drc/up"] {
            assert_eq!(dock.publish(&Publish::new(&thing(DOCK, own), own).qos(1, 1)), 0, "{own}");
            backend.expect_message(own);
        }
        let topology = format!("sys/product/{DOCK}/status");
        assert_eq!(dock.publish(&Publish::new(&topology, "{}").qos(1, 1)), 0);
        backend.expect_message("{}");
        let denied = if version == V5 { 0x87 } else { 0 };
        let not_own = [
            thing(OTHER, "osd"),
            thing(OTHER, "services"),
            thing(DOCK, "services"),
            thing(DOCK, "events_reply"),
            thing(AIRCRAFT, "osd"),
            format!("sys/product/{OTHER}/status"),
            "elsewhere".to_owned(),
            "$SYS/broker/uptime".to_owned(),
        ];
        for topic in &not_own {
            for qos in [1, 2] {
                assert_eq!(dock.publish(&Publish::new(topic, "x").qos(qos, 9)), denied, "{topic} {version:?}");
            }
            dock.push(&Publish::new(topic, "x"));
        }
        dock.expect_alive();
        dock.leave();
    }
    backend.expect_alive();
    assert_eq!(metric(broker.http, "dockgate_auth_failures_total", "publish"), 3.0 * 8.0 * 3.0);
    assert!(broker.log().contains("publish denied"), "{}", broker.log());
}

#[test]
fn a_dock_subscribes_to_what_is_sent_to_it_and_to_nothing_else() {
    let (_files, broker) = Files::fleet();
    for version in VERSIONS {
        let mut dock = client(&broker, version, DOCK);
        let own: Vec<_> = ["services", "events_reply", "requests_reply", "property/set", "drc/down"]
            .iter()
            .map(|rest| thing(DOCK, rest))
            .chain([format!("sys/product/{DOCK}/status_reply")])
            .collect();
        let own: Vec<_> = own.iter().map(|filter| (&filter[..], 1)).collect();
        dock.subscribe(&own);
        let others = [thing(OTHER, "services"), thing(OTHER, "#"), "elsewhere/#".to_owned()];
        let others: Vec<_> = others.iter().map(|filter| (&filter[..], 1)).collect();
        let denied = if version == V5 { 0x87 } else { 0x80 };
        let granted = dock.try_subscribe(&[], &others);
        assert_eq!(granted, [denied; 3], "{version:?}");
        dock.leave();
    }
}

#[test]
fn everything_shows_a_dock_nothing_of_anothers() {
    let (_files, broker) = Files::fleet();
    let mut backend = client(&broker, V5, "backend");
    for sn in [DOCK, OTHER] {
        backend.publish(&Publish::new(&thing(sn, "property/set"), "retained").qos(1, 1).retain());
    }
    let mut dock = client(&broker, V5, DOCK);
    dock.subscribe(&[("#", 1), ("thing/product/+/services", 1), ("$share/g/thing/#", 1)]);
    assert_eq!(dock.expect_message("retained").topic, thing(DOCK, "property/set"));
    let mut other = client(&broker, V5, OTHER);
    other.publish(&Publish::new(&thing(OTHER, "osd"), "not yours").qos(1, 1));
    for sn in [OTHER, DOCK] {
        backend.publish(&Publish::new(&thing(sn, "events_reply"), sn).qos(1, 2));
    }
    // Once for `#`, once for the shared group.
    assert_eq!(dock.expect_message(DOCK).topic, thing(DOCK, "events_reply"));
    assert_eq!(dock.expect_message(DOCK).topic, thing(DOCK, "events_reply"));
    assert!(matches!(dock.wait(Duration::from_millis(200)), Wait::Nothing));
}

#[test]
fn a_dock_speaks_for_the_aircraft_that_it_has_announced() {
    let (_files, broker) = Files::fleet();
    let mut dock = client(&broker, V5, DOCK);
    let osd = Publish::new(&thing(AIRCRAFT, "osd"), "{}").qos(1, 1);
    assert_eq!(dock.publish(&osd), 0x87);
    let announce = |children: &str| {
        let text = format!(
            r#"{{"tid":"1","bid":"1","timestamp":1,"method":"update_topo","data":{{"sub_devices":[{children}]}}}}"#
        );
        Publish::new(&format!("sys/product/{DOCK}/status"), text).qos(1, 2)
    };
    // Another dock is no aircraft.
    dock.publish(&announce(&format!(r#"{{"sn":"{AIRCRAFT}"}},{{"sn":"{OTHER}"}}"#)));
    assert_eq!(dock.publish(&osd), 0x10);
    assert_eq!(dock.publish(&Publish::new(&thing(AIRCRAFT, "services"), "{}").qos(1, 1)), 0x87);
    assert_eq!(dock.publish(&Publish::new(&thing(OTHER, "osd"), "{}").qos(1, 1)), 0x87);
    // Its last messages still come when it has been switched off, and after a reconnect.
    dock.publish(&announce(""));
    assert_eq!(dock.publish(&osd), 0x10);
    dock.leave();
    assert_eq!(client(&broker, V5, DOCK).publish(&osd), 0x10);
    assert_eq!(client(&broker, V5, OTHER).publish(&osd), 0x87);
}

#[test]
fn an_aircrafts_messages_are_delivered_but_not_retained() {
    let (_files, broker) = Files::fleet();
    let mut backend = client(&broker, V5, "backend");
    backend.subscribe(&[("thing/#", RETAIN_AS_PUBLISHED)]);
    let topology = format!(r#"{{"method":"update_topo","data":{{"sub_devices":[{{"sn":"{AIRCRAFT}"}}]}}}}"#);
    let topology = Publish::new(&format!("sys/product/{DOCK}/status"), topology).qos(1, 1);
    for (version, refused) in [(V5, 0x97), (V311, 0)] {
        let mut dock = client(&broker, version, DOCK);
        dock.publish(&topology);
        for (topic, text, code) in [(thing(AIRCRAFT, "osd"), "aircraft", refused), (thing(DOCK, "osd"), "dock", 0)] {
            assert_eq!(dock.publish(&Publish::new(&topic, text).qos(1, 2).retain()), code, "{topic} {version:?}");
            assert!(backend.expect_message(text).retain, "{topic} {version:?}");
        }
        // What is not to be retained is as welcome as ever.
        assert_eq!(dock.publish(&Publish::new(&thing(AIRCRAFT, "osd"), "live").qos(1, 3)), 0);
        backend.expect_message("live");
    }
    assert_eq!(metric(broker.http, "dockgate_dropped_total", "no_storage"), 2.0);
    let mut late = client(&broker, V5, "grafana");
    late.subscribe(&[("#", 0)]);
    assert_eq!(late.expect_message("dock").topic, thing(DOCK, "osd"));
    assert!(matches!(late.wait(Duration::from_millis(200)), Wait::Nothing));
    let mut dock = client(&broker, V5, DOCK);
    dock.push(&Publish::new(&thing(AIRCRAFT, "osd"), "why").qos(1, 5).retain());
    let Answer::Ack(Puback, 5, 0x97, properties) = dock.next() else { panic!("PUBACK expected") };
    assert!(matches!(find(&properties, REASON), Some(Value::Text(why)) if why.contains("aircraft")));
    // Everybody else's are retained there.
    assert_eq!(backend.publish(&Publish::new(&thing(AIRCRAFT, "osd"), "backend's").qos(1, 4).retain()), 0);
}

#[test]
fn the_acl_may_let_a_dock_retain_for_its_aircraft() {
    let files = Files::with_users(&[DOCK, "grafana"]);
    files.write_acl(&format!("pattern write thing/product/{AIRCRAFT}/osd\n"));
    let broker = files.start(&super::FLEET);
    let mut dock = client(&broker, V5, DOCK);
    assert_eq!(dock.publish(&Publish::new(&thing(AIRCRAFT, "osd"), "x").qos(1, 1).retain()), 0x10);
    let mut late = client(&broker, V5, "grafana");
    late.subscribe(&[("#", 0)]);
    late.expect_message("x");
}

#[test]
fn a_docks_wildcards_leave_room_for_others() {
    let files = Files::with_users(&[DOCK, "backend"]);
    let mut settings = super::FLEET.to_vec();
    settings.push(("DOCKGATE_LIMITS__WILDCARD_FILTERS", "40"));
    let broker = files.start(&settings);
    let mut partial = Vec::new();
    for last in ["services", "events_reply", "requests_reply", "state_reply"] {
        for (first, second) in [("+", "product"), ("thing", "+"), ("+", "+")] {
            partial.extend([DOCK, "+"].map(|third| format!("{first}/{second}/{third}/{last}")));
        }
    }
    let partial: Vec<_> = partial.iter().map(|filter| (&filter[..], 0)).collect();
    let session = |id: &str| Wire::connect(broker.mqtt, &Connect::new(V5, id).login(DOCK, &password(DOCK)));
    let (mut first, mut second) = (session("first"), session("second"));
    assert_eq!(first.try_subscribe(&[], &partial[..18]), [[0; 16].as_slice(), &[0x97; 2]].concat());
    // What it has it may ask for again, and once one is gone it may have another.
    assert_eq!(first.try_subscribe(&[], &partial[15..17]), [0, 0x97]);
    first.unsubscribe(&[partial[0].0]);
    assert_eq!(first.try_subscribe(&[], &partial[16..18]), [0, 0x97]);
    // Its topics by their names are not meant.
    first.subscribe(&[(&thing(DOCK, "services"), 0)]);
    assert_eq!(metric(broker.http, "dockgate_limit_hits_total", "subscriptions_per_session"), 4.0);
    // With other sessions it gets half of all places, and the backend has the others.
    assert_eq!(second.try_subscribe(&[], &partial[17..24]), [0, 0, 0, 0, 0x97, 0x97, 0x97]);
    let whole: Vec<_> = (0..21).map(|n| format!("thing/{n}/#")).collect();
    let whole: Vec<_> = whole.iter().map(|filter| (&filter[..], 0)).collect();
    let granted = client(&broker, V5, "backend").try_subscribe(&[], &whole);
    assert_eq!(granted, [[0; 20].as_slice(), &[0x97]].concat());
}

#[test]
fn an_observer_reads_everything_and_publishes_nothing() {
    let (_files, broker) = Files::fleet();
    let mut observer = client(&broker, V5, "grafana");
    observer.subscribe(&[("#", 0)]);
    assert_eq!(observer.publish(&Publish::new(&thing(DOCK, "services"), "x").qos(1, 1)), 0x87);
    client(&broker, V311, DOCK).publish(&Publish::new(&thing(DOCK, "osd"), "seen").qos(1, 1));
    observer.expect_message("seen");
}

#[test]
fn a_will_to_a_topic_that_is_not_the_clients_is_refused_with_connack() {
    let (_files, broker) = Files::fleet();
    for version in VERSIONS {
        let with_will = |topic: &str| connect(version, DOCK).will(topic, "gone");
        let (_, connack) = Wire::try_connect(broker.mqtt, &with_will(&thing(OTHER, "events")));
        assert_eq!(connack.code, if version == V5 { 0x87 } else { 5 }, "{version:?}");
        let (_, connack) = Wire::try_connect(broker.mqtt, &with_will(&thing(DOCK, "state")));
        assert_eq!(connack.code, 0, "{version:?}");
    }
}

#[test]
fn an_alias_leads_to_no_other_topic_than_its_own() {
    let (_files, broker) = Files::fleet();
    let mut backend = client(&broker, V311, "backend");
    backend.subscribe(&[("thing/#", 0)]);
    let mut dock = client(&broker, V5, DOCK);
    let aliased = |topic: &str, text: &str| Publish::new(topic, text).qos(1, 1).property((TOPIC_ALIAS, Value::Two(1)));
    assert_eq!(dock.publish(&aliased(&thing(OTHER, "osd"), "denied")), 0x87);
    assert_eq!(dock.publish(&aliased("", "denied too")), 0x87);
    assert_eq!(dock.publish(&aliased(&thing(DOCK, "osd"), "allowed")), 0);
    backend.expect_message("allowed");
}

#[test]
fn docks_that_share_a_user_name_can_be_told_apart_by_client_identifier() {
    let files = Files::with_users(&["docks"]);
    let broker = files
        .start(&[("DOCKGATE_ACCESS__ROLES__DOCK", r#"["docks"]"#), ("DOCKGATE_ACCESS__SERIAL_NUMBER", "client_id")]);
    let shared = Connect::new(V5, DOCK).login("docks", &password("docks"));
    let mut dock = Wire::connect(broker.mqtt, &shared);
    assert_eq!(dock.publish(&Publish::new(&thing(DOCK, "osd"), "x").qos(1, 1)), 0x10);
    assert_eq!(dock.publish(&Publish::new(&thing(OTHER, "osd"), "x").qos(1, 1)), 0x87);
}

#[test]
fn the_role_of_a_listener_is_that_of_whoever_has_no_other() {
    let files = Files::with_users(&["backend"]);
    let listeners = r#"[{protocol="mqtt",bind="127.0.0.1:0",role="dock",allow_anonymous=true}]"#;
    let broker =
        files.start(&[("DOCKGATE_LISTENERS", listeners), ("DOCKGATE_ACCESS__ROLES__BACKEND", r#"["backend"]"#)]);
    let mut dock = Wire::connect(broker.mqtt, &Connect::new(V5, DOCK));
    assert_eq!(dock.publish(&Publish::new(&thing(DOCK, "osd"), "x").qos(1, 1)), 0x10);
    assert_eq!(dock.publish(&Publish::new(&thing(DOCK, "services"), "x").qos(1, 1)), 0x87);
    let mut backend = client(&broker, V5, "backend");
    assert_eq!(backend.publish(&Publish::new(&thing(DOCK, "services"), "x").qos(1, 1)), 0x10);
    // A denied QoS 2 publish has ended with its PUBREC: the identifier is free at once.
    assert_eq!(backend.publish(&Publish::new("elsewhere", "x").qos(2, 5)), 0x87);
    backend.push(&Publish::new(&thing(DOCK, "services"), "x").qos(2, 5));
    assert_eq!(backend.next(), Answer::Ack(super::common::Pubrec, 5, 0x10, Vec::new()));
    dock.push(&Publish::new("elsewhere", "x").qos(1, 3));
    assert_eq!(dock.expect_ack(Puback, 3), 0x87);
}

#[test]
fn a_dock_by_its_listener_is_nobodys_aircraft_before_it_has_ever_come() {
    let files = Files::with_users(&[DOCK, OTHER]);
    let broker = files.start(&[("DOCKGATE_LISTENERS", r#"[{protocol="mqtt",bind="127.0.0.1:0",role="dock"}]"#)]);
    let mut dock = client(&broker, V5, DOCK);
    let text =
        format!(r#"{{"method":"update_topo","data":{{"sub_devices":[{{"sn":"{AIRCRAFT}"}},{{"sn":"{OTHER}"}}]}}}}"#);
    dock.publish(&Publish::new(&format!("sys/product/{DOCK}/status"), text).qos(1, 1));
    assert_eq!(dock.publish(&Publish::new(&thing(AIRCRAFT, "osd"), "{}").qos(1, 2)), 0x10);
    assert_eq!(dock.publish(&Publish::new(&thing(OTHER, "osd"), "{}").qos(1, 3)), 0x87);
}
