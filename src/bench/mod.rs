//! A load generator for MQTT brokers, what `dockgate bench` runs: it measures any broker by its address, alone or several in
//! turn.
//!
//! Two kinds of load, and they must not be mixed up. *By the clock* (`open`): messages are due at a rate, whatever the
//! broker does, and a latency counts from when its message was due, so that a broker that stands still is charged for all
//! that was due meanwhile. *Full speed* (`closed`): publishers write as fast as the broker takes it, which tells how much it
//! can carry and what a message costs it, and nothing about latencies. A third kind is about connections alone
//! (`connections`), and `docks` puts the fleet of [`sim::fleet`](crate::sim::fleet) into the same report.
//!
//! What is to be done: [`Scenario`] by name; `shape`: who publishes what to whom; `payload`, `upload`: what messages carry.
//! Who takes part: [`Target`], the broker; `pipe`, `wire`, `reader`, `client`: a connection, raw packets that go and that come
//! over it, and a handshake; `crowd`: all of them. What they do: `schedule`, `batch`, `acknowledge`, `receive`. What is
//! counted: `tally`, `meter` with [`process`], and from that [`Run`] and [`Report`], in a `table`.
//!
//! The generator shares the machine with what it measures. It writes and reads raw packets, allocates nothing for a message,
//! and says when it was itself what was slow ([`Generator::is_behind`]).
//!
//! ```no_run
//! use dockgate::bench::{Matrix, Plan, Report, Target, alternate};
//!
//! let target = Target::plain("dockgate", "127.0.0.1:1883".parse()?, None);
//! let scenarios = ["p2p-100-100-100-1K".parse()?, "fanin".parse()?];
//! let matrix = Matrix { qos: vec![0, 1], ..Matrix::default() };
//! let report: Report = alternate(&[target], &matrix.cases(&scenarios), &Plan::default(), 3, |_| {});
//! println!("{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acknowledge;
mod batch;
mod client;
mod closed;
mod connections;
mod crowd;
mod docks;
mod error;
mod meter;
mod open;
mod payload;
mod pipe;
pub mod process;
mod reader;
mod receive;
mod report;
mod run;
mod scenario;
mod schedule;
mod seen;
mod shape;
pub mod spread;
mod table;
mod tally;
mod target;
mod upload;
mod wire;

pub use crate::sim::fleet::{Quantiles, Version};
pub use error::BenchError;
pub use meter::{Generator, Usage};
pub use payload::SMALLEST as SMALLEST_PAYLOAD;
pub use reader::{Packet, PacketReader};
pub use report::{Failure, Figures, Report, Run};
pub use run::{Step, alternate, measure};
pub use scenario::{EXAMPLES, Flood, Hook, Scenario, Sizes, UnknownScenario};
pub use table::align;
pub use target::{Address, Login, Target, trusting, trusting_anyone};

use std::time::Duration;

use serde::Serialize;

/// How hard and how long to press: the same for all cases of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// How long a run publishes, or how much.
    pub amount: Amount,
    /// By the clock: how long messages are sent before their latencies count.
    #[serde(with = "humantime_serde")]
    pub warm_up: Duration,
    /// Messages that a publisher may have unacknowledged at QoS 1 and 2; less if the broker's receive maximum is less.
    pub window: usize,
    /// By the clock: deliveries a second instead of the number in the scenario's name.
    pub rate: Option<u32>,
    /// Connects a second where the scenario's name does not say it.
    pub connect_rate: u32,
    /// Threads that serve the connections; the clock has one of its own.
    pub threads: usize,
    /// What topics begin with.
    pub prefix: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            amount: Amount::Time(Duration::from_secs(10)),
            warm_up: Duration::from_secs(1),
            window: 100,
            rate: None,
            connect_rate: 1000,
            threads: 1,
            prefix: "bench".to_owned(),
        }
    }
}

/// When a publisher has published enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// After so long; brokers of very different speed then run equally long.
    Time(#[serde(with = "humantime_serde")] Duration),
    /// After that many messages of each publisher, rounded up to a whole batch. At full speed only: what goes by the
    /// clock then takes ten seconds.
    Messages(u64),
}

/// The values that cases are made of, each with each; an empty list is the usual one alone.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    /// Usually 1; docks have theirs.
    pub qos: Vec<u8>,
    /// Bytes, usually 256.
    pub payload: Vec<usize>,
    /// Messages a write, usually 1. At full speed only.
    pub batch: Vec<usize>,
    /// Usually MQTT 5; docks have 5 and backends 3.1.1.
    pub protocol: Vec<Version>,
}

/// One scenario with one value of each kind that matters to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// What is done.
    pub scenario: Scenario,
    /// The QoS of all messages.
    pub qos: Option<u8>,
    /// Bytes of payload.
    pub payload: Option<usize>,
    /// Messages a write.
    pub batch: Option<usize>,
    /// What the clients speak.
    pub protocol: Option<Version>,
}

/// The values of a case, with the usual ones where it has none.
#[derive(Debug, Clone, Copy)]
struct Load {
    qos: u8,
    payload: usize,
    batch: usize,
    version: Version,
}

/// The usual values.
const USUAL: Load = Load { qos: 1, payload: 256, batch: 1, version: Version::V5 };

impl Case {
    fn load(&self) -> Load {
        Load {
            qos: self.qos.unwrap_or(USUAL.qos),
            payload: self.payload.unwrap_or(USUAL.payload),
            batch: self.batch.unwrap_or(USUAL.batch).max(1),
            version: self.protocol.unwrap_or(USUAL.version),
        }
    }
}

impl Matrix {
    /// All cases of these scenarios. A scenario is not repeated for values that do not matter to it.
    #[must_use]
    pub fn cases(&self, scenarios: &[Scenario]) -> Vec<Case> {
        let mut cases = Vec::new();
        for scenario in scenarios {
            let is_load = !scenario.is_about_connections();
            let is_of_docks = matches!(scenario, Scenario::Docks(_));
            let qos = choices(&self.qos, is_load, (!is_of_docks).then_some(USUAL.qos));
            let payload = choices(&self.payload, is_load && !is_of_docks, Some(USUAL.payload));
            // Events are JSON of some length.
            let least = if matches!(scenario, Scenario::Hook(_)) { shape::shortest_event() } else { 0 };
            let payload: Vec<_> = payload.into_iter().map(|bytes| bytes.map(|bytes| bytes.max(least))).collect();
            let batch = choices(&self.batch, is_load && !scenario.is_open_loop(), Some(USUAL.batch));
            let protocol = choices(&self.protocol, true, (!is_of_docks).then_some(USUAL.version));
            for protocol in protocol {
                for &payload in &payload {
                    for &batch in &batch {
                        let case = |&qos| Case { scenario: *scenario, qos, payload, batch, protocol };
                        let new: Vec<Case> = qos.iter().map(case).filter(|case| !cases.contains(case)).collect();
                        cases.extend(new);
                    }
                }
            }
        }
        cases
    }
}

/// The values to go through: those given, or the usual one, or none where none matters.
fn choices<T: Copy>(given: &[T], matters: bool, usual: Option<T>) -> Vec<Option<T>> {
    match (matters, given) {
        (false, _) => vec![None],
        (true, []) => vec![usual],
        (true, given) => given.iter().copied().map(Some).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_has_each_value_with_each_where_it_matters() {
        let scenarios = ["fanin", "p2p-1-1-1-1", "conn-10", "dji-2"].map(|name| name.parse().unwrap());
        let matrix = Matrix { qos: vec![0, 1, 2], payload: vec![256, 4096], batch: vec![1, 10], protocol: vec![] };
        let cases = matrix.cases(&scenarios);
        let of = |scenario: &Scenario| cases.iter().filter(|case| case.scenario == *scenario).count();
        assert_eq!(scenarios.iter().map(of).collect::<Vec<_>>(), [3 * 2 * 2, 3 * 2, 1, 3]);
        let hook = matrix.cases(&[Scenario::Hook(Hook::On)]);
        let payloads: Vec<_> = hook.iter().filter_map(|case| case.payload).collect();
        assert!(payloads.iter().all(|bytes| (400..=4096).contains(bytes)), "as they are sent: {payloads:?}");
        assert_eq!(cases[0].batch, Some(1));
        assert_eq!((cases[12].batch, cases[12].protocol), (None, Some(Version::V5)));
    }

    #[test]
    fn without_values_a_scenario_has_one_case_and_docks_have_their_own() {
        let cases = Matrix::default().cases(&[Scenario::Docks(1), Scenario::Flood(Flood::Pairs)]);
        let [docks, pairs] = cases[..] else { panic!("{cases:?}") };
        assert_eq!((docks.qos, docks.payload, docks.protocol), (None, None, None));
        assert_eq!((pairs.qos, pairs.payload, pairs.batch), (Some(1), Some(256), Some(1)));
    }
}
