//! From runs to tables: medians and ranges over the rounds, and how the first broker compares with the others.

use std::fmt::Write as _;

use serde::Serialize;

use crate::idle::Idle;
use crate::load::Outcome;
use crate::spread::{Spread, median, range, ratio};

/// One run, in the units of the tables.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    pub(crate) broker: String,
    pub(crate) round: usize,
    pub(crate) sent: u64,
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) duplicates: u64,
    pub(crate) seconds: f64,
    /// Delivered messages a second.
    pub(crate) rate: f64,
    pub(crate) broker_cpu_seconds: Option<f64>,
    /// Broker CPU time a delivered message.
    pub(crate) cpu_micros: Option<f64>,
    pub(crate) peak_mib: Option<f64>,
    /// CPU seconds a second that the generator took; near its number of threads, it was the bottleneck.
    pub(crate) generator_load: f64,
    pub(crate) faults: Vec<String>,
}

impl Run {
    pub(crate) fn new(scenario: &str, broker: &str, round: usize, outcome: Outcome) -> Self {
        let seconds = outcome.elapsed.as_secs_f64();
        let received = outcome.received as f64;
        let cpu = outcome.broker_cpu.map(|cpu| cpu.as_secs_f64());
        Self {
            scenario: scenario.to_owned(),
            broker: broker.to_owned(),
            round,
            sent: outcome.sent,
            expected: outcome.expected,
            received: outcome.received,
            duplicates: outcome.duplicates,
            seconds,
            rate: ratio(received, seconds),
            broker_cpu_seconds: cpu,
            cpu_micros: cpu.filter(|_| outcome.received > 0).map(|cpu| cpu * 1e6 / received),
            peak_mib: outcome.peak_kib.map(|kib| kib as f64 / 1024.0),
            generator_load: ratio(outcome.generator_cpu.as_secs_f64(), seconds),
            faults: outcome.faults,
        }
    }

    /// Copies that did not arrive; below zero, some arrived twice.
    fn lost(&self) -> i128 {
        i128::from(self.expected) - i128::from(self.received)
    }
}

/// An idle measurement of one broker in one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct IdleRun {
    pub(crate) broker: String,
    pub(crate) round: usize,
    #[serde(flatten)]
    pub(crate) idle: Idle,
}

/// Everything that was measured, and with which options.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) settings: String,
    pub(crate) runs: Vec<Run>,
    pub(crate) idle: Vec<IdleRun>,
    /// Brokers and runs that gave no figures, and why.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// The tables as text.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("\n{}\n", self.settings);
        if !self.runs.is_empty() {
            text.push('\n');
            text.push_str(&align(&self.load_rows()));
            let ratios = self.ratio_rows();
            if ratios.len() > 1 {
                text.push('\n');
                text.push_str(&align(&ratios));
            }
        }
        if !self.idle.is_empty() {
            text.push('\n');
            text.push_str(&align(&self.idle_rows()));
        }
        for note in &self.notes {
            let _ = write!(text, "\nnote: {note}");
        }
        for run in &self.runs {
            for fault in &run.faults {
                let (scenario, broker, round) = (&run.scenario, &run.broker, run.round);
                let _ = write!(text, "\nfault: {scenario}, {broker}, round {round}: {fault}");
            }
            if run.duplicates > 0 {
                let (scenario, broker, count) = (&run.scenario, &run.broker, run.duplicates);
                let _ = write!(text, "\nfault: {scenario}, {broker}: {count} duplicates");
            }
        }
        text
    }

    /// Scenarios in the order in which they ran, each with its brokers.
    fn groups(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for run in &self.runs {
            let at = match groups.iter().position(|(name, _)| *name == run.scenario) {
                Some(at) => at,
                None => {
                    groups.push((&run.scenario, Vec::new()));
                    groups.len() - 1
                }
            };
            if !groups[at].1.contains(&run.broker.as_str()) {
                groups[at].1.push(&run.broker);
            }
        }
        groups
    }

    fn of<'a>(&'a self, scenario: &'a str, broker: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.scenario == scenario && run.broker == broker)
    }

    fn load_rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![strings([
            "scenario",
            "broker",
            "sent",
            "received",
            "lost",
            "seconds",
            "delivered/s",
            "(min-max)",
            "broker CPU s",
            "us/msg",
            "(min-max)",
            "peak MiB",
            "generator CPU",
        ])];
        for (scenario, brokers) in self.groups() {
            for broker in brokers {
                let runs = || self.of(scenario, broker);
                let rates = Spread::of(runs().map(|run| run.rate));
                let micros = Spread::of(runs().filter_map(|run| run.cpu_micros));
                let cpu = Spread::of(runs().filter_map(|run| run.broker_cpu_seconds));
                let peak = Spread::of(runs().filter_map(|run| run.peak_mib));
                let load = Spread::of(runs().map(|run| run.generator_load * 100.0));
                let seconds = Spread::of(runs().map(|run| run.seconds));
                rows.push(vec![
                    scenario.to_owned(),
                    broker.to_owned(),
                    runs().map(|run| run.sent).sum::<u64>().to_string(),
                    runs().map(|run| run.received).sum::<u64>().to_string(),
                    runs().map(Run::lost).sum::<i128>().to_string(),
                    median(seconds, 2),
                    median(rates, 0),
                    range(rates, 0),
                    median(cpu, 2),
                    median(micros, 2),
                    range(micros, 2),
                    median(peak, 0),
                    median(load, 0) + " %",
                ]);
            }
        }
        rows
    }

    /// The first broker beside each other one, round by round: what disturbs the machine for longer than a round
    /// disturbs both.
    fn ratio_rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![strings(["ratio", "", "delivered/s", "(min-max)", "CPU/msg", "(min-max)", "peak memory"])];
        for (scenario, brokers) in self.groups() {
            let Some((ours, others)) = brokers.split_first() else {
                continue;
            };
            for other in others {
                let pairs: Vec<(&Run, &Run)> = self
                    .of(scenario, ours)
                    .filter_map(|run| {
                        let same = self.of(scenario, other).find(|o| o.round == run.round)?;
                        Some((run, same))
                    })
                    .collect();
                let rate = Spread::of(pairs.iter().map(|(a, b)| ratio(a.rate, b.rate)));
                let of = |pick: fn(&Run) -> Option<f64>| {
                    Spread::of(pairs.iter().filter_map(|(a, b)| Some(ratio(pick(a)?, pick(b)?))))
                };
                let micros = of(|run| run.cpu_micros);
                let peak = of(|run| run.peak_mib);
                rows.push(vec![
                    scenario.to_owned(),
                    format!("{ours} : {other}"),
                    median(rate, 2),
                    range(rate, 2),
                    median(micros, 3),
                    range(micros, 3),
                    median(peak, 2),
                ]);
            }
        }
        rows
    }

    fn idle_rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![strings([
            "idle docks",
            "broker",
            "connect+subscribe s",
            "KiB/connection",
            "(min-max)",
            "resident MiB",
            "broker CPU s",
        ])];
        let mut brokers: Vec<&str> = Vec::new();
        for run in &self.idle {
            if !brokers.contains(&run.broker.as_str()) {
                brokers.push(&run.broker);
            }
        }
        for broker in brokers {
            let runs = || self.idle.iter().filter(move |run| run.broker == broker);
            let each = Spread::of(runs().filter_map(|run| run.idle.kib_per_client));
            rows.push(vec![
                runs().map(|run| run.idle.clients).max().unwrap_or(0).to_string(),
                broker.to_owned(),
                median(Spread::of(runs().map(|run| run.idle.seconds)), 2),
                median(each, 1),
                range(each, 1),
                median(Spread::of(runs().filter_map(|run| run.idle.resident_mib)), 0),
                median(Spread::of(runs().filter_map(|run| run.idle.broker_cpu_seconds)), 2),
            ]);
        }
        rows
    }
}

fn strings<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

/// Columns of equal width, the first two to the left, numbers to the right.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().filter_map(|row| row.get(c)).map(String::len).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match c {
                0 | 1 => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
