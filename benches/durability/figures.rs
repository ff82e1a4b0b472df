//! What one run measured.

use serde::Serialize;

use crate::arrivals::Arrivals;

/// One figure of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// With its unit.
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// Decimals in the table.
    #[serde(skip)]
    pub(crate) digits: usize,
    /// Whether the table shows how it spreads.
    #[serde(skip)]
    pub(crate) spread: bool,
}

impl Figure {
    /// One that the scenario is about.
    pub(crate) fn main(name: &'static str, value: f64, digits: usize) -> Self {
        Self { name, value, digits, spread: true }
    }

    /// One that explains the others.
    pub(crate) fn side(name: &'static str, value: f64, digits: usize) -> Self {
        Self { name, value, digits, spread: false }
    }
}

/// The figures of a run, and what went wrong in it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    pub(crate) figures: Vec<Figure>,
    pub(crate) faults: Vec<String>,
}

impl Measured {
    pub(crate) fn new(figures: Vec<Figure>) -> Self {
        Self { figures, faults: Vec::new() }
    }

    /// Sessions that were to be there and were not.
    pub(crate) fn sessions_gone(&mut self, gone: usize) {
        if gone > 0 {
            self.faults.push(format!("{gone} sessions were gone"));
        }
    }

    /// Compares what was acknowledged with what has arrived. So many may be lost, by the broker's own word.
    pub(crate) fn arrived(&mut self, acknowledged: u64, arrivals: &Arrivals, excused: u64) {
        let lost = acknowledged.saturating_sub(arrivals.distinct());
        self.figures.push(Figure::side("repeated", arrivals.repeated() as f64, 0));
        self.figures.push(Figure::side("lost", lost as f64, 0));
        if lost > excused {
            self.faults.push(format!("{lost} of {acknowledged} acknowledged messages were lost"));
        }
        if arrivals.distinct() > acknowledged {
            let more = arrivals.distinct() - acknowledged;
            self.faults.push(format!("{more} messages arrived that nobody sent"));
        }
    }
}
