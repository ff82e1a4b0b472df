//! What the Cloud API gives to a gateway, and to the aircraft that it has announced.

use super::acl::tree::{Modes, Placeholder, RuleTree};
use super::identity::{Identity, SerialNumber};
use std::sync::LazyLock;

const UP: Modes = Modes::WRITE;
const DOWN: Modes = Modes::READ;

/// Topics of a gateway, seen from it. Where no other source is named: DJI Cloud API, "Topic Definition"
/// (dji-sdk/Cloud-API-Doc, docs/en/60.api-reference/20.dock-to-cloud/00.mqtt/00.topic-definition.md).
const GATEWAY: [(&str, Modes); 16] = [
    ("thing/product/{gateway_sn}/osd", UP),
    ("thing/product/{gateway_sn}/state", UP),
    ("thing/product/{gateway_sn}/services", DOWN),
    ("thing/product/{gateway_sn}/services_reply", UP),
    ("thing/product/{gateway_sn}/events", UP),
    ("thing/product/{gateway_sn}/events_reply", DOWN),
    ("thing/product/{gateway_sn}/requests", UP),
    ("thing/product/{gateway_sn}/requests_reply", DOWN),
    ("thing/product/{gateway_sn}/property/set", DOWN),
    ("thing/product/{gateway_sn}/property/set_reply", UP),
    ("thing/product/{gateway_sn}/drc/up", UP),
    ("thing/product/{gateway_sn}/drc/down", DOWN),
    ("sys/product/{gateway_sn}/status", UP),
    ("sys/product/{gateway_sn}/status_reply", DOWN),
    // Not in that page. The answer to `state`, as for an aircraft below.
    ("thing/product/{gateway_sn}/state_reply", DOWN),
    // Not in that page. A backend with a broker of its own (arkaitzs/dji_cloud) says that Pilot 2 wants it.
    ("sys/product/{gateway_sn}/network/probe", UP),
];

/// Topics of an aircraft, seen from its gateway.
const AIRCRAFT: [(&str, Modes); 5] = [
    // `{device_sn}` in "Topic Definition" is the gateway's or the aircraft's.
    ("thing/product/{aircraft_sn}/osd", UP),
    ("thing/product/{aircraft_sn}/state", UP),
    // Not in that page, but in a recording of a Dock 3 with an M4TD (SMengqi/sim_dji_cloud). What it has on `state_reply` are
    // results for the tid of a `state`, as a backend would send them, yet it calls them "up": so both ways.
    ("thing/product/{aircraft_sn}/events", UP),
    ("thing/product/{aircraft_sn}/state_reply", Modes::READ_WRITE),
    // Not in that page. The answer to such an event, by the rule that a reply's topic is the event's with `_reply`.
    ("thing/product/{aircraft_sn}/events_reply", DOWN),
];

/// What a dock may do as a gateway.
pub(super) static AS_GATEWAY: LazyLock<RuleTree> = LazyLock::new(|| tree(&GATEWAY));
/// What a dock may do for its aircraft.
pub(super) static FOR_AIRCRAFT: LazyLock<RuleTree> = LazyLock::new(|| tree(&AIRCRAFT));

fn tree(rules: &[(&str, Modes)]) -> RuleTree {
    let mut tree = RuleTree::default();
    for (filter, modes) in rules {
        tree.insert(filter, *modes, |level| match level {
            "{gateway_sn}" => Some(Placeholder::Gateway),
            "{aircraft_sn}" => Some(Placeholder::Aircraft),
            _ => None,
        });
    }
    tree
}

/// The gateway that announces its aircraft on this topic, if it is for that.
pub(super) fn status_of(topic: &str) -> Option<&str> {
    topic.strip_prefix("sys/product/")?.strip_suffix("/status")
}

/// The serial number of a client that is a gateway, if it has a proper one.
pub(super) fn serial_number(who: &Identity, source: SerialNumber) -> Option<&str> {
    let name = match source {
        SerialNumber::Username => who.username.as_ref().unwrap_or(&who.client_id),
        SerialNumber::ClientId => &who.client_id,
    };
    is_serial_number(name).then_some(name)
}

/// Longest serial number. DJI's have 14 to 20 characters.
const LONGEST: usize = 64;

/// Whether this may be a serial number: 1 to 64 of `A-Z a-z 0-9 _ -`. DJI's demo backend accepts only letters and digits
/// (`TopicConst`); simulated docks have the other two as well.
pub(super) fn is_serial_number(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Proof;

    fn identity(client_id: &str, username: Option<&str>) -> Identity {
        let proof = username.map_or(Proof::Anonymous, |_| Proof::Password(0));
        Identity { client_id: client_id.into(), username: username.map(Into::into), listener_role: None, proof }
    }

    #[test]
    fn the_serial_number_is_the_proved_name_or_else_the_client_identifier() {
        for (client, username, source, expected) in [
            ("c", Some("u"), SerialNumber::Username, Some("u")),
            ("c", None, SerialNumber::Username, Some("c")),
            ("c", Some("u"), SerialNumber::ClientId, Some("c")),
            ("c", Some("u/x"), SerialNumber::Username, None),
        ] {
            assert_eq!(
                serial_number(&identity(client, username), source),
                expected,
                "{client} {username:?} {source:?}"
            );
        }
    }

    #[test]
    fn what_could_mean_something_else_in_a_topic_is_no_serial_number() {
        for bad in ["", "a/b", "+", "#", "$SYS", "a b", "a\0", "a\n", "机场", &"A".repeat(65)] {
            assert!(!is_serial_number(bad), "{bad:?}");
        }
        for good in ["7CTDM3D00BVY4Z", "sim_dock-1", &"A".repeat(64)] {
            assert!(is_serial_number(good), "{good}");
        }
    }
}
