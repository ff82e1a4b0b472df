//! Who publishes what to whom.

use std::fmt;

/// One shape of traffic at one QoS.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// One publisher each. All topics have one length, so that every PUBLISH has one size.
    pub(crate) topics: Vec<String>,
    /// One subscriber each.
    pub(crate) filters: Vec<String>,
    /// How many subscribers each message reaches.
    pub(crate) copies: u64,
    pub(crate) qos: u8,
}

/// The shapes by name; a digit for the QoS follows in a scenario's name.
pub(crate) const SHAPES: [&str; 4] = ["fanin", "fanout", "fanoutw", "pairs"];

impl Scenario {
    /// The scenario of that name, such as `fanin0`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (shape, qos) = match name.strip_suffix('0') {
            Some(shape) => (shape, 0),
            None => (name.strip_suffix('1')?, 1),
        };
        let (topics, filters, copies) = match shape {
            "fanin" => (numbered(100), vec!["bench/#".to_owned()], 1),
            "fanout" => (numbered(1), vec!["bench/000".to_owned(); 100], 100),
            "fanoutw" => (numbered(1), vec!["bench/#".to_owned(); 100], 100),
            "pairs" => (numbered(50), numbered(50), 1),
            _ => return None,
        };
        Some(Self { name: name.to_owned(), topics, filters, copies, qos })
    }

    /// Every shape at QoS 0 and 1.
    pub(crate) fn all() -> Vec<Self> {
        let names = SHAPES.iter().flat_map(|shape| [format!("{shape}0"), format!("{shape}1")]);
        names.filter_map(|name| Self::named(&name)).collect()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("bench/{i:03}")).collect()
}
