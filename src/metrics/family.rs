//! Families of series: a metric with its labels drawn from closed sets.
//!
//! A family creates all its children when it is registered. So every series is there from the first scrape, at
//! zero (an alert on `increase()` needs the zero), and counting indexes an array instead of hashing label values.

use std::marker::PhantomData;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::label::Label;
use super::striped::{HotCounter, HotCounterVec};

/// What every metric's name starts with.
pub const PREFIX: &str = "dockgate_";

/// A child for each value of `L`.
pub(super) struct By<L, C> {
    children: Box<[C]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, C> By<L, C> {
    fn new(child: impl Fn(&str) -> C) -> Self {
        Self { children: L::ALL.iter().map(|value| child(value.as_str())).collect(), label: PhantomData }
    }

    /// The child of one label value.
    pub(super) fn of(&self, value: L) -> &C {
        &self.children[value.index()]
    }
}

/// A child for each pair of `A` and `B`.
pub(super) struct ByPair<A, B, C> {
    children: Box<[C]>,
    labels: PhantomData<fn(A, B)>,
}

impl<A: Label, B: Label, C> ByPair<A, B, C> {
    fn new(child: impl Fn(&str, &str) -> C) -> Self {
        let pairs = A::ALL.iter().flat_map(|a| B::ALL.iter().map(move |b| (a, b)));
        Self { children: pairs.map(|(a, b)| child(a.as_str(), b.as_str())).collect(), labels: PhantomData }
    }

    /// The child of one pair of label values.
    pub(super) fn of(&self, a: A, b: B) -> &C {
        &self.children[a.index() * B::ALL.len() + b.index()]
    }
}

/// Counters by one label.
pub(super) type Counters<L> = By<L, IntCounter>;
/// Counters by one label that each message adds to.
pub(super) type HotCounters<L> = By<L, HotCounter>;
/// Gauges by one label.
pub(super) type Gauges<L> = By<L, IntGauge>;
/// Counters by two labels.
pub(super) type CounterPairs<A, B> = ByPair<A, B, IntCounter>;

/// Creates metrics in a registry.
///
/// Names, help texts, label names and buckets are constants of this crate, and the registry is new: an error here is a
/// mistake in this folder that the first test would meet, hence `expect`.
pub(super) struct Definer<'a>(pub(super) &'a Registry);

const SOUND: &str = "the metric's name, labels and buckets are constants, valid and used once";

impl Definer<'_> {
    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        self.0.register(Box::new(collector.clone())).expect(SOUND);
        collector
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::with_opts(opts(name, help)).expect(SOUND))
    }

    pub(super) fn hot_counter(&self, name: &str, help: &str) -> HotCounter {
        self.register(HotCounter::with_opts(opts(name, help)).expect(SOUND))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::with_opts(opts(name, help)).expect(SOUND))
    }

    pub(super) fn constant(&self, name: &str, help: &str, label: &str, value: &str) -> IntGauge {
        self.register(IntGauge::with_opts(opts(name, help).const_label(label, value)).expect(SOUND))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(opts).expect(SOUND))
    }

    pub(super) fn counters<L: Label>(&self, name: &str, help: &str, label: &str) -> Counters<L> {
        let family = self.register(IntCounterVec::new(opts(name, help), &[label]).expect(SOUND));
        By::new(|value| family.with_label_values(&[value]))
    }

    pub(super) fn hot_counters<L: Label>(&self, name: &str, help: &str, label: &str) -> HotCounters<L> {
        let family = self.register(HotCounterVec::new(opts(name, help), &[label]).expect(SOUND));
        By::new(|value| family.with_label_values(&[value]))
    }

    /// Counters by a label whose values are a table elsewhere, in its order.
    pub(super) fn counters_for(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = String>,
    ) -> Box<[IntCounter]> {
        let family = self.register(IntCounterVec::new(opts(name, help), &[label]).expect(SOUND));
        values.map(|value| family.with_label_values(&[value])).collect()
    }

    pub(super) fn gauges<L: Label>(&self, name: &str, help: &str, label: &str) -> Gauges<L> {
        let family = self.register(IntGaugeVec::new(opts(name, help), &[label]).expect(SOUND));
        By::new(|value| family.with_label_values(&[value]))
    }

    pub(super) fn counter_pairs<A: Label, B: Label>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; 2],
    ) -> CounterPairs<A, B> {
        let family = self.register(IntCounterVec::new(opts(name, help), &labels).expect(SOUND));
        ByPair::new(|a, b| family.with_label_values(&[a, b]))
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("{PREFIX}{name}"), help)
}
