//! From runs to tables in Markdown: the median of each figure over the rounds, and its extremes where they matter.

use std::fmt::Write as _;

use serde::Serialize;

use crate::figures::{Figure, Measured};
use crate::spread::{Spread, median, range};

/// One run.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    pub(crate) broker: &'static str,
    pub(crate) loss_window: &'static str,
    pub(crate) round: u16,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// Everything that was measured, and with which options.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) settings: String,
    /// Milliseconds of an append of 4 KiB with its fdatasync, each round's median.
    pub(crate) device_ms: Vec<f64>,
    pub(crate) runs: Vec<Run>,
    /// Runs of dockgate that gave no figures, and why.
    pub(crate) failures: Vec<String>,
    /// The same of others.
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("\n{}\n", self.settings);
        let device = Spread::of(self.device_ms.iter().copied());
        let _ = writeln!(
            text,
            "The device itself: {} ms {} for an append of 4 KiB with its fdatasync (median).",
            median(device, 2),
            range(device, 2)
        );
        let mut scenarios: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !scenarios.contains(&run.scenario.as_str()) {
                scenarios.push(&run.scenario);
            }
        }
        for scenario in scenarios {
            text.push('\n');
            text.push_str(&markdown(&self.rows(scenario)));
        }
        if self.runs.iter().any(|run| run.broker == "mosquitto") {
            text.push_str(
                "\nMosquitto writes once in 1800 s (autosave_interval) and when it is stopped; that is in no figure.\n",
            );
        }
        for note in &self.notes {
            let _ = write!(text, "\nnote: {note}");
        }
        for fault in self.faults() {
            let _ = write!(text, "\nfault: {fault}");
        }
        text
    }

    /// What no run should show.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        let in_runs = self.runs.iter().flat_map(|run| {
            let (scenario, broker, round) = (&run.scenario, run.broker, run.round);
            run.measured.faults.iter().map(move |fault| format!("{scenario}, {broker}, round {round}: {fault}"))
        });
        self.failures.iter().cloned().chain(in_runs)
    }

    /// A table of one scenario: a column for each figure that any of its runs has, a row for each broker.
    fn rows(&self, scenario: &str) -> Vec<Vec<String>> {
        let runs: Vec<&Run> = self.runs.iter().filter(|run| run.scenario == scenario).collect();
        let mut columns: Vec<&Figure> = Vec::new();
        let mut brokers: Vec<&Run> = Vec::new();
        for run in &runs {
            let mut at = 0; // a figure that others do not have keeps its place among its own
            for figure in &run.measured.figures {
                match columns.iter().position(|column| column.name == figure.name) {
                    Some(place) => at = place + 1,
                    None => {
                        columns.insert(at, figure);
                        at += 1;
                    }
                }
            }
            if !brokers.iter().any(|broker| broker.broker == run.broker) {
                brokers.push(run);
            }
        }
        let names = columns.iter().map(|column| column.name.to_owned());
        let mut rows = vec![[scenario.to_owned(), "a crash takes".to_owned()].into_iter().chain(names).collect()];
        for broker in brokers {
            let mine = || runs.iter().filter(|run| run.broker == broker.broker);
            let cell = |column: &&Figure| {
                let figures = mine().flat_map(|run| &run.measured.figures);
                let spread = Spread::of(figures.filter(|figure| figure.name == column.name).map(|figure| figure.value));
                match column.spread && spread.is_some() && mine().count() > 1 {
                    true => format!("{} {}", median(spread, column.digits), range(spread, column.digits)),
                    false => median(spread, column.digits),
                }
            };
            let cells = columns.iter().map(cell);
            rows.push([broker.broker, broker.loss_window].map(str::to_owned).into_iter().chain(cells).collect());
        }
        rows
    }
}

/// A table whose source can be read, too: columns of equal width, the first two to the left, numbers to the right.
fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (r, row) in rows.iter().enumerate() {
        for (c, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match c {
                0 | 1 => write!(text, "| {cell:<width$} "),
                _ => write!(text, "| {cell:>width$} "),
            };
        }
        text.push_str("|\n");
        if r == 0 {
            for (c, width) in widths.iter().enumerate() {
                let _ = match c {
                    0 | 1 => write!(text, "|{}", "-".repeat(width + 2)),
                    _ => write!(text, "|{}:", "-".repeat(width + 1)),
                };
            }
            text.push_str("|\n");
        }
    }
    text
}
