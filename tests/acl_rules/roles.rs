//! What docks, backends and observers may do.

use super::{access, acl, by_file, client, through};
use dockgate::access::{Access, GatewayRights, Reading, Rights, Role, Roles, SerialNumber, Sources};
use std::fs;
use std::sync::Arc;

const DOCK: &str = "7CTDM1";
const AIRCRAFT: &str = "1581F1";

fn open() -> Access {
    let roles = Roles { dock: vec!["7CTDM*".into()], backend: vec!["server".into()], observer: vec!["grafana".into()] };
    access(None, roles, SerialNumber::Username)
}

fn user(access: &Access, name: &str) -> Arc<Rights> {
    access.rights(&client("any", Some(name)))
}

fn announce(rights: &Rights, gateway: &str, aircraft: &str) {
    let payload = format!(r#"{{"method":"update_topo","data":{{"sub_devices":[{{"sn":"{aircraft}"}}]}}}}"#);
    rights.notice(&format!("sys/product/{gateway}/status"), payload.as_bytes());
}

#[test]
fn a_dock_may_do_what_the_cloud_api_gives_to_its_gateway_and_nothing_else() {
    let dock = user(&open(), DOCK);
    let up = ["osd", "state", "services_reply", "events", "requests", "property/set_reply", "drc/up"];
    let down = ["services", "events_reply", "requests_reply", "property/set", "drc/down", "state_reply"];
    for (own, topic) in [(true, DOCK), (false, "7CTDM2"), (false, ""), (false, "7CTDM1/x"), (false, AIRCRAFT)] {
        for level in up {
            let topic = format!("thing/product/{topic}/{level}");
            assert_eq!((dock.may_publish(&topic), dock.may_read(&topic)), (own, false), "{topic}");
        }
        for level in down {
            let topic = format!("thing/product/{topic}/{level}");
            assert_eq!((dock.may_publish(&topic), dock.may_read(&topic)), (false, own), "{topic}");
        }
        assert_eq!(dock.may_publish(&format!("sys/product/{topic}/status")), own, "{topic}");
        assert_eq!(dock.may_read(&format!("sys/product/{topic}/status_reply")), own, "{topic}");
    }
    for topic in
        ["thing/product/7CTDM1", "thing/product/7CTDM1/osd/x", "thing/product/7CTDM1/services/", "$SYS/x", "x", "/"]
    {
        assert!(!dock.may_publish(topic) && !dock.may_read(topic), "{topic}");
    }
}

#[test]
fn a_dock_reads_through_wildcards_what_is_its_own() {
    let dock = user(&open(), DOCK);
    for (filter, expected) in [
        ("thing/product/7CTDM1/services", Reading::All),
        ("thing/product/7CTDM1/+", Reading::Some),
        ("thing/product/+/services", Reading::Some),
        ("#", Reading::Some),
        ("sys/#", Reading::Some),
        ("thing/product/7CTDM2/services", Reading::Nothing),
        ("thing/product/7CTDM2/#", Reading::Nothing),
        ("thing/product/+/osd", Reading::Nothing),
        ("thing/product/7CTDM1/osd", Reading::Nothing),
        ("$SYS/#", Reading::Nothing),
        ("other/#", Reading::Nothing),
    ] {
        assert_eq!(dock.reading(filter), expected, "{filter}");
    }
}

#[test]
fn an_announced_aircraft_belongs_to_its_dock_at_once_and_for_good() {
    let access = open();
    let (dock, other) = (user(&access, DOCK), user(&access, "7CTDM2"));
    let osd = format!("thing/product/{AIRCRAFT}/osd");
    let reply = format!("thing/product/{AIRCRAFT}/state_reply");
    assert!(!dock.may_publish(&osd) && dock.reading(&reply) == Reading::Nothing);
    announce(&dock, DOCK, AIRCRAFT);
    assert!(dock.may_publish(&osd) && dock.may_read(&reply));
    assert_eq!(dock.reading(&reply), Reading::Some);
    assert_eq!(dock.reading(&format!("thing/product/{AIRCRAFT}/#")), Reading::Some);
    assert!(!dock.may_publish(&format!("thing/product/{AIRCRAFT}/services")));
    assert!(!dock.may_publish(&format!("thing/product/{AIRCRAFT}/services_reply")));
    assert!(!other.may_publish(&osd));
    access.reload().expect("nothing has changed");
    assert!(user(&access, DOCK).may_publish(&osd), "it need not be announced again");
}

#[test]
fn a_dock_announces_on_its_own_topic_only_and_no_other_dock() {
    let access = open();
    let (dock, other) = (user(&access, DOCK), user(&access, "7CTDM2"));
    announce(&dock, "7CTDM2", AIRCRAFT);
    announce(&dock, DOCK, "7CTDM2");
    for topic in ["thing/product/1581F1/osd", "thing/product/7CTDM2/osd", "thing/product/7CTDM2/events"] {
        assert!(!dock.may_publish(topic), "{topic}");
    }
    assert!(!other.may_publish("thing/product/1581F1/osd"));
}

#[test]
fn an_aircraft_that_turns_out_to_be_a_gateway_is_lost_to_who_announced_it() {
    let access = open();
    let dock = user(&access, DOCK);
    announce(&dock, DOCK, "7CTDM9");
    assert!(dock.may_publish("thing/product/7CTDM9/events"));
    let _late = user(&access, "7CTDM9");
    assert!(!dock.may_publish("thing/product/7CTDM9/events"));
}

#[test]
fn only_a_dock_speaks_as_its_gateway_and_only_a_backend_commands_it() {
    let access = open();
    let (none, all) = (GatewayRights { speak: false, command: false }, GatewayRights { speak: true, command: true });
    let dock = user(&access, DOCK);
    announce(&dock, DOCK, AIRCRAFT);
    assert_eq!(dock.gateway(DOCK), GatewayRights { speak: true, command: false });
    assert_eq!(dock.gateway(AIRCRAFT), none, "an aircraft is no gateway");
    assert_eq!(dock.gateway("7CTDM2"), none);
    assert_eq!(user(&access, "server").gateway(DOCK), all);
    assert_eq!(user(&access, "grafana").gateway(DOCK), none);
    assert_eq!(user(&access, "stranger").gateway(DOCK), none);
    let by_rule = by_file("topic write thing/product/+/services\nuser x\ntopic write thing/product/a/events\n");
    assert_eq!(by_rule.rights(&client("c", None)).gateway("a"), GatewayRights { speak: false, command: true });
    assert_eq!(by_rule.rights(&client("c", Some("x"))).gateway("a"), GatewayRights { speak: true, command: false });
    let free = access_without_rules();
    assert_eq!(free.rights(&client("c", None)).gateway("a"), all);
}

fn access_without_rules() -> Access {
    access(None, Roles::default(), SerialNumber::default())
}

#[test]
fn a_backend_has_thing_and_sys_and_an_observer_reads_everything() {
    let access = open();
    let (backend, observer) = (user(&access, "server"), user(&access, "grafana"));
    for (topic, its) in [
        ("thing/product/x/osd", true),
        ("sys/product/x/status", true),
        ("thing", true),
        ("things/x", false),
        ("$SYS/broker/uptime", false),
        ("other", false),
    ] {
        assert_eq!((backend.may_publish(topic), backend.may_read(topic)), (its, its), "{topic}");
        assert_eq!((observer.may_publish(topic), observer.may_read(topic)), (false, true), "{topic}");
    }
    assert_eq!(backend.reading("thing/product/+/osd"), Reading::All);
    assert_eq!(backend.reading("+/product/#"), Reading::Some);
    assert_eq!(backend.reading("$SYS/#"), Reading::Nothing);
    assert_eq!(observer.reading("#"), Reading::All);
    assert_eq!(observer.reading("$SYS/#"), Reading::All);
}

#[test]
fn a_client_without_a_name_has_its_listeners_role_and_no_rules_mean_no_bounds() {
    let access = access_without_rules();
    assert!(access.rights(&client("c", None)).may_publish("anything"));
    assert_eq!(access.rights(&client("c", None)).reading("#"), Reading::All);
    let dock = through(&access, Role::Dock, "8UUXN1");
    assert!(dock.may_publish("thing/product/8UUXN1/osd") && !dock.may_publish("anything"));
    assert!(through(&open(), Role::Observer, "c").may_read("anything"));
    assert!(
        !open().rights(&client("c", None)).may_read("anything"),
        "where there are roles, who has none may do nothing"
    );
}

#[test]
fn a_serial_number_that_could_mean_more_gives_no_rights() {
    let access = access(None, Roles::default(), SerialNumber::ClientId);
    for id in ["", "+", "#", "a/b", "$x", "a b", "a\u{1}", "é", &"A".repeat(65)] {
        let dock = through(&access, Role::Dock, id);
        for topic in [format!("thing/product/{id}/osd"), "thing/product/a/osd".into(), "thing/product//osd".into()] {
            assert!(!dock.may_publish(&topic), "{topic} by {id:?}");
        }
        assert_eq!(dock.reading("#"), Reading::Nothing, "{id:?}");
    }
}

#[test]
fn a_reload_swaps_good_rules_and_leaves_bad_ones() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let acl_file = acl(directory.path(), "topic a\n");
    let access = Access::open(Sources { acl_file, ..Sources::default() }).expect("the rules are good");
    let may = |topic| access.rights(&client("c", None)).may_publish(topic);
    assert!(may("a") && !may("b"));
    acl(directory.path(), "topic b\ntopc c\n");
    let flaws = access.reload().expect_err("a keyword is wrong");
    assert!(flaws[0].to_string().contains("acl:2: \"topc\" is not a keyword"), "{}", flaws[0]);
    assert!(may("a") && !may("b"), "nothing has changed");
    acl(directory.path(), "topic b\n");
    access.reload().expect("the rules are good");
    assert!(!may("a") && may("b"));
    fs::remove_file(directory.path().join("acl")).expect("it is there");
    assert!(access.reload().expect_err("it is gone")[0].fault.starts_with("cannot read the ACL file"));
}
