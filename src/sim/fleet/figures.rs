//! Figures as the reports have them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

use super::Fleet;
use super::stream::Stream;
use super::track::{Ears, histogram};

/// How long something took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// That which one in a thousand is above.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Quantiles {
    /// None of nothing.
    pub(super) fn of(micros: &Histogram<u64>) -> Option<Self> {
        if micros.is_empty() {
            return None;
        }
        let at = |quantile| milliseconds(micros.value_at_quantile(quantile));
        Some(Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: milliseconds(micros.max()) })
    }
}

/// To the hundredth of a millisecond.
pub(super) fn milliseconds(micros: u64) -> f64 {
    (micros as f64 / 10.0).round() / 100.0
}

/// All ears' latencies of a data stream.
pub(super) fn latency(audience: &[Arc<Mutex<Ears>>], stream: Stream) -> Histogram<u64> {
    let mut all = histogram();
    for ears in audience {
        // All have the same bounds, so that there is nothing that does not fit.
        let _ = all.add(ears.lock().latency(stream));
    }
    all
}

/// All ears' latencies of all data streams.
pub(super) fn all_latencies(audience: &[Arc<Mutex<Ears>>]) -> Histogram<u64> {
    let mut all = histogram();
    for stream in Stream::ALL.into_iter().take(Stream::DATA) {
        // As above.
        let _ = all.add(latency(audience, stream));
    }
    all
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How it goes at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glance {
    at: Duration,
    docks: u32,
    online: u64,
    published: u64,
    heard: u64,
    /// Data that somebody has not heard yet.
    missing: u64,
    running: u64,
    refused: u64,
    /// The 99th percentile of all data so far, in microseconds.
    p99: u64,
}

impl Glance {
    pub(super) fn of(fleet: &Fleet, audience: &[Arc<Mutex<Ears>>]) -> Self {
        let sent = fleet.book.data_sent();
        let missing = audience.iter().map(|ears| sent.saturating_sub(ears.lock().received)).sum();
        let desk = fleet.desk.lock();
        Self {
            at: fleet.now(),
            docks: fleet.settings.docks,
            online: fleet
                .book
                .connections
                .online
                .load(Ordering::Relaxed)
                .saturating_sub(fleet.settings.backends.into()),
            published: Stream::ALL.into_iter().map(|stream| fleet.book.sent(stream).get().0).sum(),
            heard: fleet.book.heard.get().0,
            missing,
            running: desk.running(),
            refused: desk.outcome.refused,
            p99: all_latencies(audience).value_at_quantile(0.99),
        }
    }

    /// What is new since the last one.
    pub(super) fn line(&self, before: &Self) -> String {
        let seconds = (self.at - before.at).as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| grouped(((now - before) as f64 / seconds).round() as u64);
        let mut line = format!("{:>5.0} s  docks {}/{}", self.at.as_secs_f64(), self.online, self.docks);
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            "  published {}/s  heard {}/s  missing {}  p99 {} ms  uploads {} running, {} refused",
            rate(self.published, before.published),
            rate(self.heard, before.heard),
            grouped(self.missing),
            milliseconds(self.p99),
            self.running,
            self.refused,
        );
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn quantiles_of_nothing_are_none() {
        let mut micros = histogram();
        assert_eq!(Quantiles::of(&micros), None);
        (1..=1000).for_each(|ms| micros.saturating_record(ms * 1000));
        let quantiles = Quantiles::of(&micros).unwrap();
        assert!((499.0..502.0).contains(&quantiles.p50) && (990.0..993.0).contains(&quantiles.p99), "{quantiles:?}");
    }
}
