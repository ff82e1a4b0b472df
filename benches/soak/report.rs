//! What the samples say.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::churn::{Done, Pace};
use crate::plot::{self, Axis, Curve, Curves};
use crate::slope::slope;
use crate::subject::{Live, Memory};

/// One look at the broker.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// After the start.
    pub(crate) seconds: f64,
    pub(crate) memory: Memory,
    /// CPU time of the broker so far.
    pub(crate) cpu_seconds: f64,
    pub(crate) live: Option<Live>,
    pub(crate) done: Done,
}

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    settings: String,
    pub(crate) samples: Vec<Sample>,
    pub(crate) done: Done,
    /// What was left when all had gone.
    pub(crate) left: Option<Live>,
    pub(crate) at_end: Option<Memory>,
    /// The first lives that ended otherwise than they should, in words.
    pub(crate) faults: Vec<String>,
}

impl Report {
    pub(crate) fn new(pace: Pace, every: Duration) -> Self {
        let Pace { clients, rate, life, .. } = pace;
        Self {
            settings: format!("{clients} clients, {rate} publishes/s, {life:?} a life, a sample every {every:?}"),
            samples: Vec::new(),
            done: Done::default(),
            left: None,
            at_end: None,
            faults: Vec::new(),
        }
    }

    /// The verdict, with what it rests on.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("\n{}\n", self.settings);
        let Done { connects, published, acknowledged, received, faults } = self.done;
        let _ = writeln!(
            text,
            "{connects} connections, {published} publishes, {acknowledged} acknowledged, {received} received, {faults} faults"
        );
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return text;
        };
        let seconds = last.seconds - first.seconds;
        let share = 100.0 * (last.cpu_seconds - first.cpu_seconds) / seconds.max(0.001);
        let peak = self.samples.iter().map(|sample| sample.memory.resident).max().unwrap_or(0);
        let mib = |kib: u64| kib as f64 / 1024.0;
        let _ = writeln!(
            text,
            "{:.1} min, broker {share:.1} % of a core; resident MiB: {:.1} first, {:.1} last, {:.1} at most",
            seconds / 60.0,
            mib(first.memory.resident),
            mib(last.memory.resident),
            mib(peak),
        );
        if let Some(live) = last.live {
            let _ = writeln!(text, "last sample: {live:?}");
        }
        if let (Some(left), Some(memory)) = (self.left, self.at_end) {
            let _ = writeln!(text, "when all had gone: {left:?}, {:.1} MiB resident", mib(memory.resident));
        }
        for fault in &self.faults {
            let _ = writeln!(text, "fault: {fault}");
        }
        let third = &self.samples[self.samples.len() * 2 / 3..];
        let over = |of: fn(&Memory) -> u64| {
            let points: Vec<(f64, f64)> =
                third.iter().map(|sample| (sample.seconds / 3600.0, of(&sample.memory) as f64)).collect();
            slope(&points).map_or("no".to_owned(), |slope| format!("{slope:+.0}"))
        };
        let _ = write!(
            text,
            "slope over the last third, {} samples (Theil-Sen): {} KiB/h resident, {} KiB/h of it anonymous",
            third.len(),
            over(|memory| memory.resident),
            over(|memory| memory.anonymous),
        );
        text
    }

    /// Draws memory over time.
    pub(crate) fn draw(&self, path: &Path) -> anyhow::Result<()> {
        let curve = |name: &str, of: fn(&Memory) -> u64| {
            // A picture has no room for more points than that.
            let step = self.samples.len().div_ceil(400).max(1);
            let samples = self.samples.iter().step_by(step);
            let points = samples.map(|sample| (sample.seconds / 60.0, of(&sample.memory) as f64 / 1024.0)).collect();
            Curve { name: name.to_owned(), points }
        };
        let connects = self.done.connects;
        let chart = Curves {
            title: format!("Memory under churn: {connects} connections, topics and filters that never repeat"),
            x: Axis { title: "minutes".to_owned(), log: false },
            y: Axis { title: "MiB".to_owned(), log: false },
            series: vec![
                curve("resident memory", |memory| memory.resident),
                curve("of it heap and stacks", |memory| memory.anonymous),
            ],
        };
        plot::curves(path, &chart)
    }
}
