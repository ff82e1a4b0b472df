//! What was measured, in the units of the tables.

use std::fmt;

use serde::Serialize;

use super::meter::{Generator, Usage};
use super::run::Step;
use super::spread::ratio;
use super::target::Target;
use super::{Amount, BenchError, Case, Plan, Version};
use crate::sim::fleet::Quantiles;

/// One run of one case with one target.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// The target's name.
    pub target: String,
    /// From 1.
    pub round: usize,
    /// What came of it.
    #[serde(flatten)]
    pub figures: Figures,
    /// What the broker has used.
    pub broker: Usage,
    /// Broker CPU time a delivered message, or a connection, in microseconds.
    pub cpu_micros: Option<f64>,
    /// How the generator did.
    pub generator: Generator,
    /// Connections that broke, messages that were refused, a broker that died.
    pub faults: Vec<String>,
}

/// What one run counted.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Figures {
    /// Messages that were published.
    pub sent: u64,
    /// Messages that the broker acknowledged, at QoS 1 and 2.
    pub acknowledged: u64,
    /// Deliveries that there should have been, each subscriber's copy counted; connections where those are measured.
    pub expected: u64,
    /// Different ones that there were.
    pub received: u64,
    /// Deliveries of acknowledged messages that are missing.
    pub lost_acknowledged: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// From the first message that was due to the last arrival.
    pub seconds: f64,
    /// Deliveries, or connections, a second.
    pub rate: f64,
    /// From when a message was due to its arrival; from when a connection was due to its CONNACK. By the clock only.
    pub latency_ms: Option<Quantiles>,
    /// Growth of the broker's resident memory a connection.
    pub kib_per_connection: Option<f64>,
}

impl Figures {
    pub(super) fn with_rate(self) -> Self {
        let rate = ratio(self.received as f64, self.seconds);
        Self { rate: if rate.is_finite() { rate } else { 0.0 }, ..self }
    }
}

/// A run that did not come about.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// The target's name.
    pub target: String,
    /// From 1.
    pub round: usize,
    /// Why.
    pub error: String,
}

impl Run {
    pub(super) fn new(
        target: &Target,
        case: &Case,
        figures: Figures,
        broker: Usage,
        generator: Generator,
        faults: Vec<String>,
    ) -> Self {
        let cpu_micros = broker.cpu_seconds.filter(|_| figures.received > 0);
        let cpu_micros = cpu_micros.map(|seconds| seconds * 1e6 / figures.received as f64);
        Self { case: *case, target: target.name.clone(), round: 1, figures, broker, cpu_micros, generator, faults }
    }

    /// Deliveries that are missing, whether or not the message was acknowledged.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.figures.expected.saturating_sub(self.figures.received)
    }

    /// Whether nothing that was acknowledged is missing, and no connection broke.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.faults.is_empty() && self.figures.lost_acknowledged == 0
    }
}

/// Everything that was measured, and how. Its text is a table of medians and ranges over the rounds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// How hard and how long.
    pub settings: Plan,
    /// Times that every target ran every case.
    pub rounds: usize,
    /// In the order in which they ran.
    pub runs: Vec<Run>,
    /// Runs that did not come about.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Takes in what came of a run.
    pub fn take(
        &mut self,
        case: &Case,
        target: &str,
        round: usize,
        measured: Result<Run, BenchError>,
        mut tell: impl FnMut(Step<'_>),
    ) {
        match measured {
            Ok(run) => {
                let run = Run { round, ..run };
                tell(Step::Done(&run));
                self.runs.push(run);
            }
            Err(error) => {
                let failure = Failure { case: *case, target: target.to_owned(), round, error: error.to_string() };
                tell(Step::Failed(&failure));
                self.failures.push(failure);
            }
        }
    }

    /// Whether every target answered, no acknowledged message was lost and no connection broke.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.failures.is_empty() && self.runs.iter().all(Run::is_well)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scenario)?;
        if let Some(qos) = self.qos {
            write!(f, " QoS {qos}")?;
        }
        if let Some(payload) = self.payload {
            write!(f, " {payload} B")?;
        }
        if let Some(batch) = self.batch {
            write!(f, " by {batch}")?;
        }
        match self.protocol {
            Some(version) => write!(f, " MQTT {}", name(version)),
            None => Ok(()),
        }
    }
}

/// A version of the protocol as people write it.
pub(super) fn name(version: Version) -> &'static str {
    match version {
        Version::V311 => "3.1.1",
        Version::V5 => "5",
    }
}

impl Serialize for Case {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("Case", 5)?;
        fields.serialize_field("scenario", &self.scenario)?;
        fields.serialize_field("qos", &self.qos)?;
        fields.serialize_field("payload", &self.payload)?;
        fields.serialize_field("batch", &self.batch)?;
        fields.serialize_field("protocol", &self.protocol.map(name))?;
        fields.end()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.amount {
            Amount::Time(time) => write!(f, "{}", humantime::format_duration(time))?,
            Amount::Messages(messages) => write!(f, "{messages} messages a publisher")?,
        }
        let warm_up = humantime::format_duration(self.warm_up);
        write!(f, " a run (and {warm_up} of warm-up by the clock), window {}", self.window)?;
        if let Some(rate) = self.rate {
            write!(f, ", {rate} deliveries a second")?;
        }
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        write!(f, ", generator with {} thread(s) on {cores} cores", self.threads)
    }
}
