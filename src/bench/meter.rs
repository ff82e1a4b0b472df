//! What the broker and the generator have used during a run.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::process;
use crate::sim::fleet::Quantiles;

/// A thread that is busy for so much of its time has no time left.
const SATURATED: f64 = 0.9;
/// Later than this, the generator's lateness shows in the latencies of a fast broker.
const LATE_MS: f64 = 1.0;

/// What the broker's process has used; nothing where it is not known which that is.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// User and system, all threads, while the load was on.
    pub cpu_seconds: Option<f64>,
    /// Resident before the clients connected.
    pub before_mib: Option<f64>,
    /// The most that was resident while the load was on.
    pub peak_mib: Option<f64>,
    /// Resident at the end, the clients still connected.
    pub after_mib: Option<f64>,
}

/// How the generator itself did.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Generator {
    /// CPU seconds a second, all threads.
    pub load: f64,
    /// The same of the busiest thread.
    pub busiest_thread: f64,
    /// How late it sent what was due, itself and not the broker being the reason, in milliseconds.
    pub lateness_ms: Option<Quantiles>,
    /// It was saturated or late by more than a millisecond (p99): the figures are its own rather than the broker's. At
    /// full speed that says that the broker could do more.
    pub is_behind: bool,
}

/// Looks at both processes before and after.
#[derive(Debug)]
pub(super) struct Meter {
    pid: Option<u32>,
    before_kib: Option<u64>,
    broker: Option<Duration>,
    generator: Option<Duration>,
    threads: HashMap<String, Duration>,
    began: Instant,
}

impl Meter {
    /// Before the first client connects.
    pub(super) fn new(pid: Option<u32>) -> Self {
        let before_kib = pid.and_then(|pid| process::resident_kib(pid).ok());
        Self { pid, before_kib, broker: None, generator: None, threads: HashMap::new(), began: Instant::now() }
    }

    /// The load begins.
    pub(super) fn begin(&mut self) {
        self.pid.inspect(|pid| process::forget_peak(*pid));
        self.broker = self.pid.and_then(|pid| process::cpu_time(pid).ok());
        self.generator = process::cpu_time(std::process::id()).ok();
        self.threads = process::own_threads();
        self.began = Instant::now();
    }

    /// The load has ended. It was on for this time, unless nothing came of it; then waiting followed.
    pub(super) fn end(&self, elapsed: Duration, lateness: Option<&Histogram<u64>>) -> (Usage, Generator) {
        let mib = |kib: Option<u64>| kib.map(|kib| kib as f64 / 1024.0);
        let of_pid = |look: fn(u32) -> Result<u64, super::BenchError>| self.pid.and_then(|pid| look(pid).ok());
        let spent = |before: Option<Duration>, pid: Option<u32>| {
            let after = pid.and_then(|pid| process::cpu_time(pid).ok());
            before.zip(after).map(|(before, after)| after.saturating_sub(before).as_secs_f64())
        };
        let usage = Usage {
            cpu_seconds: spent(self.broker, self.pid),
            before_mib: mib(self.before_kib),
            peak_mib: mib(of_pid(process::peak_resident_kib)),
            after_mib: mib(of_pid(process::resident_kib)),
        };
        let on = if elapsed.is_zero() { self.began.elapsed() } else { elapsed };
        let seconds = on.as_secs_f64().max(0.001);
        let threads = process::own_threads().into_iter().map(|(thread, after)| {
            let before = self.threads.get(&thread).copied().unwrap_or_default();
            after.saturating_sub(before).as_secs_f64() / seconds
        });
        let busiest_thread = threads.fold(0.0, f64::max);
        let lateness_ms = lateness.and_then(quantiles);
        let is_behind = busiest_thread > SATURATED || lateness_ms.is_some_and(|late| late.p99 > LATE_MS);
        let load = spent(self.generator, Some(std::process::id())).unwrap_or(0.0) / seconds;
        (usage, Generator { load, busiest_thread, lateness_ms, is_behind })
    }
}

/// Quantiles of nanoseconds in milliseconds, to the microsecond. None of nothing.
pub(super) fn quantiles(nanos: &Histogram<u64>) -> Option<Quantiles> {
    if nanos.is_empty() {
        return None;
    }
    let ms = |nanos: u64| (nanos as f64 / 1000.0).round() / 1000.0;
    let at = |quantile| ms(nanos.value_at_quantile(quantile));
    Some(Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: ms(nanos.max()) })
}
