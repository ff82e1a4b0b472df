//! What is measured: figures of brokers at the points of curves.

use serde::Serialize;

/// One broker at one size, in one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Point {
    /// Which curve's.
    pub(crate) curve: &'static str,
    pub(crate) broker: String,
    pub(crate) round: u16,
    /// What grows.
    pub(crate) size: usize,
    pub(crate) figures: Vec<Figure>,
}

/// One thing that was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// With its unit.
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

impl Figure {
    pub(crate) fn new(name: &'static str, value: f64) -> Self {
        Self { name, value }
    }
}

/// The figures of a point as they come, and what there is to say of those that are missing.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) figures: Vec<Figure>,
    pub(crate) notes: Vec<String>,
}

impl Measured {
    pub(crate) fn add(&mut self, name: &'static str, value: f64) {
        self.figures.push(Figure::new(name, value));
    }

    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}
