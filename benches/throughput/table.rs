//! The README's table: a row for each case, a column for each broker.

use std::fmt::Write as _;

use dockgate::bench::spread::{Spread, median, range};
use dockgate::bench::{Case, Report, Run};

/// What each broker delivered a second and what a message cost it (or a connection), medians with ranges, as Markdown.
pub(crate) fn of_brokers(report: &Report) -> String {
    let (mut cases, mut brokers): (Vec<Case>, Vec<&str>) = (Vec::new(), Vec::new());
    for run in &report.runs {
        if !cases.contains(&run.case) {
            cases.push(run.case);
        }
        if !brokers.contains(&run.target.as_str()) {
            brokers.push(&run.target);
        }
    }
    let mut text = format!("| | {} |\n|---|{}\n", brokers.join(" | "), "---|".repeat(brokers.len()));
    for case in cases {
        let cells = brokers.iter().map(|broker| {
            let runs = report.runs.iter().filter(|run| run.case == case && run.target == *broker);
            cell(&runs.collect::<Vec<_>>())
        });
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {case} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

fn cell(runs: &[&Run]) -> String {
    let spread = |pick: fn(&Run) -> Option<f64>| Spread::of(runs.iter().filter_map(|run| pick(run)));
    let with_range = |spread: Option<Spread>, digits, unit: &str| {
        let range = if runs.len() > 1 { format!(" {}", range(spread, digits)) } else { String::new() };
        spread.map(|_| format!("{} {unit}{range}", median(spread, digits)))
    };
    let figures = [
        with_range(spread(|run| Some(run.figures.rate / 1000.0)), 1, "k/s"),
        with_range(spread(|run| run.cpu_micros), 2, "µs"),
        with_range(spread(|run| Some(run.figures.latency_ms?.p99)), 2, "ms p99"),
        with_range(spread(|run| run.figures.kib_per_connection), 1, "KiB"),
    ];
    figures.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
