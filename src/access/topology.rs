//! Which aircraft each gateway has announced.
//!
//! A dock says with `update_topo` on its status topic which aircraft it has. They stay announced when the list becomes empty (the
//! aircraft is off, and its last messages are still to come), when the dock reconnects and when the rules are read again. What
//! is known to be a gateway is nobody's aircraft, whoever announces it: so no dock can speak for another. Two docks may
//! announce the same aircraft, since one may start from the first and land at the second.

use super::dock;
use ahash::{AHashMap, AHashSet};
use parking_lot::RwLock;
use serde_json::Value;
use std::sync::Arc;

/// Most aircraft that are remembered of a gateway; the one announced longest ago goes.
const AIRCRAFT_A_GATEWAY: usize = 8;
/// Most gateways that are remembered.
const GATEWAYS: usize = 10_000;
/// Longest `update_topo` that is read. A dock's with one aircraft and its payloads has about 1 KB.
const LONGEST_MESSAGE: usize = 64 << 10;

/// The gateways that have been seen or are expected, and their aircraft.
#[derive(Debug, Default)]
pub struct Topology {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    seen: AHashMap<Box<str>, Seen>,
    /// Gateways by the password file.
    expected: AHashSet<Box<str>>,
    /// Counts the times that a gateway came.
    clock: u64,
}

#[derive(Debug)]
struct Seen {
    announced: Arc<Announced>,
    /// When it came last.
    last: u64,
}

/// The aircraft of one gateway, the one announced last at the end.
#[derive(Debug, Default)]
pub(super) struct Announced(RwLock<Vec<Box<str>>>);

impl Topology {
    /// Says which gateways there are, seen or not: those that the password file names.
    pub fn expect(&self, gateways: impl IntoIterator<Item = impl Into<Box<str>>>) {
        let expected = gateways.into_iter().map(Into::into).collect();
        self.table.write().expected = expected;
    }

    /// A gateway comes: its aircraft, which may be announced while the answer lives.
    pub(super) fn join(&self, gateway: &str) -> Arc<Announced> {
        let mut table = self.table.write();
        table.clock += 1;
        let now = table.clock;
        if let Some(seen) = table.seen.get_mut(gateway) {
            seen.last = now;
            return Arc::clone(&seen.announced);
        }
        if table.seen.len() >= GATEWAYS {
            // A tenth at once, so that a flood of new gateways does not sort the table for each.
            let mut times: Vec<u64> = table.seen.values().map(|seen| seen.last).collect();
            let (_, newest_to_go, _) = times.select_nth_unstable(GATEWAYS / 10);
            let newest_to_go = *newest_to_go;
            table.seen.retain(|_, seen| seen.last > newest_to_go);
        }
        let announced = Arc::default();
        table.seen.insert(gateway.into(), Seen { announced: Arc::clone(&announced), last: now });
        announced
    }

    /// Whether this is known to be the serial number of a gateway.
    fn has_gateway(&self, serial_number: &str) -> bool {
        let table = self.table.read();
        table.seen.contains_key(serial_number) || table.expected.contains(serial_number)
    }
}

impl Announced {
    /// Whether this is the serial number of an aircraft of the gateway.
    pub(super) fn has(&self, serial_number: &str, topology: &Topology) -> bool {
        let announced = self.0.read().iter().any(|aircraft| **aircraft == *serial_number);
        announced && !topology.has_gateway(serial_number)
    }

    /// Whether it has any.
    pub(super) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// Reads what the gateway has published on its status topic.
    pub(super) fn read(&self, payload: &[u8], topology: &Topology) {
        if payload.len() > LONGEST_MESSAGE {
            return;
        }
        let Ok(message) = serde_json::from_slice::<Value>(payload) else { return };
        if message.get("method").is_some_and(|method| method != "update_topo") {
            return;
        }
        let Some(devices) = message.pointer("/data/sub_devices").and_then(Value::as_array) else { return };
        let serial_numbers = devices.iter().filter_map(|device| device.get("sn")?.as_str());
        let acceptable = |sn: &&str| dock::is_serial_number(sn) && !topology.has_gateway(sn);
        let mut aircraft = self.0.write();
        for serial_number in serial_numbers.filter(acceptable).take(AIRCRAFT_A_GATEWAY) {
            match aircraft.iter().position(|known| **known == *serial_number) {
                Some(at) => aircraft[at..].rotate_left(1),
                None => aircraft.push(serial_number.into()),
            }
        }
        let surplus = aircraft.len().saturating_sub(AIRCRAFT_A_GATEWAY);
        aircraft.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(serial_numbers: &[&str]) -> Vec<u8> {
        let devices: Vec<_> = serial_numbers.iter().map(|sn| serde_json::json!({ "sn": sn, "index": "A" })).collect();
        serde_json::json!({ "method": "update_topo", "data": { "sub_devices": devices } }).to_string().into_bytes()
    }

    fn known(announced: &Announced) -> Vec<String> {
        announced.0.read().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_aircraft_stays_announced_over_an_empty_list_and_a_reconnect() {
        let topology = Topology::default();
        let dock = topology.join("D1");
        dock.read(&update(&["A1"]), &topology);
        dock.read(&update(&[]), &topology);
        assert!(topology.join("D1").has("A1", &topology));
        assert!(!topology.join("D2").has("A1", &topology));
    }

    #[test]
    fn a_gateway_is_nobodys_aircraft() {
        let topology = Topology::default();
        topology.expect(["D2"]);
        topology.join("D3");
        let dock = topology.join("D1");
        dock.read(&update(&["D1", "D2", "D3", "D4"]), &topology);
        assert_eq!(known(&dock), ["D4"]);
        assert!(dock.has("D4", &topology));
        topology.join("D4");
        assert!(!dock.has("D4", &topology), "it turned out to be a gateway");
    }

    #[test]
    fn at_most_eight_aircraft_are_remembered_and_the_oldest_goes() {
        let topology = Topology::default();
        let dock = topology.join("D1");
        dock.read(&update(&["A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9"]), &topology);
        assert_eq!(known(&dock).len(), AIRCRAFT_A_GATEWAY);
        dock.read(&update(&["A1", "B1"]), &topology);
        assert_eq!(known(&dock), ["A3", "A4", "A5", "A6", "A7", "A8", "A1", "B1"]);
    }

    #[test]
    fn what_is_no_update_announces_nothing() {
        let topology = Topology::default();
        let dock = topology.join("D1");
        let deep = format!(r#"{{"data":{}"#, "[".repeat(30_000));
        let long = format!(r#"{{"data":{{"sub_devices":[{{"sn":"A1"}}]}},"x":"{}"}}"#, "x".repeat(LONGEST_MESSAGE));
        for payload in [
            "",
            "null",
            "[]",
            r#"{"data":[]}"#,
            r#"{"data":{"sub_devices":{}}}"#,
            r#"{"data":{"sub_devices":[1,null,{},{"sn":7},{"sn":""},{"sn":"a/b"},{"sn":"+"},{"sn":"a b"}]}}"#,
            r#"{"method":"other","data":{"sub_devices":[{"sn":"A1"}]}}"#,
            r#"{"data":{"sub_devices":[{"sn":"A1"}]}"#,
            &deep,
            &long,
        ] {
            dock.read(payload.as_bytes(), &topology);
            assert_eq!(known(&dock), Vec::<String>::new(), "{payload:.80}");
        }
        dock.read(br#"{"data":{"sub_devices":[{},{"sn":"A1"}],"domain":"3"}}"#, &topology);
        assert_eq!(known(&dock), ["A1"]);
    }

    #[test]
    fn the_gateways_that_came_longest_ago_are_forgotten() {
        let topology = Topology::default();
        let first = topology.join("first");
        first.read(&update(&["A1"]), &topology);
        topology.join("second");
        for number in 0..GATEWAYS - 2 {
            topology.join(&number.to_string());
        }
        topology.join("first");
        topology.join("one more");
        let table = topology.table.read();
        assert!(table.seen.len() < GATEWAYS && table.seen.len() > GATEWAYS / 2);
        assert!(table.seen.contains_key("first") && table.seen.contains_key("one more"));
        assert!(!table.seen.contains_key("second"));
    }
}
