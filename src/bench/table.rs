//! From runs to tables: medians and ranges over the rounds, a table for each kind of load, and what should not have been.

use std::fmt::{self, Write as _};

use super::report::{Report, Run};
use super::spread::{Spread, median, range};
use super::{Case, Quantiles};

/// The runs of one case with one target.
struct Group<'a> {
    case: &'a Case,
    target: &'a str,
    runs: Vec<&'a Run>,
}

impl Group<'_> {
    fn spread(&self, pick: impl Fn(&Run) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(|run| pick(run)))
    }

    fn sum(&self, pick: impl Fn(&Run) -> u64) -> String {
        self.runs.iter().map(|run| pick(run)).sum::<u64>().to_string()
    }

    fn median(&self, digits: usize, pick: impl Fn(&Run) -> Option<f64>) -> String {
        median(self.spread(pick), digits)
    }

    /// Median and range.
    fn both(&self, digits: usize, pick: impl Fn(&Run) -> Option<f64>) -> [String; 2] {
        let spread = self.spread(pick);
        [median(spread, digits), if self.runs.len() > 1 { range(spread, digits) } else { String::new() }]
    }

    fn latencies(&self) -> [String; 6] {
        let latency = |pick: fn(Quantiles) -> f64| move |run: &Run| run.figures.latency_ms.map(pick);
        let [p99, range] = self.both(2, latency(|q| q.p99));
        [
            self.median(2, latency(|q| q.p50)),
            self.median(2, latency(|q| q.p90)),
            p99,
            range,
            self.median(2, latency(|q| q.p999)),
            self.median(2, latency(|q| q.max)),
        ]
    }

    /// Memory before, at its peak and after.
    fn memory(&self) -> String {
        let mib: [fn(&Run) -> Option<f64>; 3] =
            [|run| run.broker.before_mib, |run| run.broker.peak_mib, |run| run.broker.after_mib];
        let [before, peak, after] = mib.map(|pick| self.median(0, pick));
        if peak == "-" { "unknown".to_owned() } else { format!("{before} {peak} {after}") }
    }

    fn generator(&self) -> String {
        let load = self.median(0, |run| Some(run.generator.busiest_thread * 100.0));
        let is_behind = self.runs.iter().any(|run| run.generator.is_behind);
        format!("{load} %{}", if is_behind { " !" } else { "" })
    }
}

const LATENCIES: [&str; 6] = ["p50 ms", "p90", "p99", "(min-max)", "p99.9", "max"];

impl Report {
    /// Cases in the order in which they ran, each with its targets.
    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for run in &self.runs {
            match groups.iter_mut().find(|group| *group.case == run.case && group.target == run.target) {
                Some(group) => group.runs.push(run),
                None => groups.push(Group { case: &run.case, target: &run.target, runs: vec![run] }),
            }
        }
        // Targets of a case stand together, in whichever round each came about first.
        let order: Vec<Case> = groups.iter().map(|group| *group.case).collect();
        groups.sort_by_key(|group| order.iter().position(|case| case == group.case));
        groups
    }

    fn full_speed(groups: &[&Group<'_>]) -> Vec<Vec<String>> {
        let head = [
            "at full speed",
            "target",
            "sent",
            "received",
            "lost",
            "twice",
            "delivered/s",
            "(min-max)",
            "CPU s",
            "us/msg",
            "(min-max)",
            "MiB before peak after",
            "generator",
        ];
        let row = |group: &&Group<'_>| {
            let mut row = vec![group.case.to_string(), group.target.to_owned()];
            row.push(group.sum(|run| run.figures.sent));
            row.push(group.sum(|run| run.figures.received));
            row.push(group.sum(Run::lost));
            row.push(group.sum(|run| run.figures.duplicates));
            row.extend(group.both(0, |run| Some(run.figures.rate)));
            row.push(group.median(2, |run| run.broker.cpu_seconds));
            row.extend(group.both(2, |run| run.cpu_micros));
            row.extend([group.memory(), group.generator()]);
            row
        };
        rows(&head, groups, row)
    }

    fn by_the_clock(groups: &[&Group<'_>]) -> Vec<Vec<String>> {
        let mut head = vec!["by the clock", "target", "sent", "received", "lost", "twice", "delivered/s"];
        head.extend(LATENCIES);
        head.extend(["CPU s", "us/msg", "MiB before peak after", "late p99 ms", "generator"]);
        let row = |group: &&Group<'_>| {
            let mut row = vec![group.case.to_string(), group.target.to_owned()];
            row.push(group.sum(|run| run.figures.sent));
            row.push(group.sum(|run| run.figures.received));
            row.push(group.sum(Run::lost));
            row.push(group.sum(|run| run.figures.duplicates));
            row.push(group.median(0, |run| Some(run.figures.rate)));
            row.extend(group.latencies());
            row.push(group.median(2, |run| run.broker.cpu_seconds));
            row.push(group.median(1, |run| run.cpu_micros));
            row.push(group.memory());
            row.push(group.median(2, |run| Some(run.generator.lateness_ms?.p99)));
            row.push(group.generator());
            row
        };
        rows(&head, groups, row)
    }

    fn connections(groups: &[&Group<'_>]) -> Vec<Vec<String>> {
        let mut head = vec!["connections", "target", "accepted", "failed", "seconds", "accepted/s"];
        head.extend(LATENCIES);
        head.extend(["CPU s", "us each", "KiB each", "(min-max)", "MiB before peak after", "generator"]);
        let row = |group: &&Group<'_>| {
            let mut row = vec![group.case.to_string(), group.target.to_owned()];
            row.push(group.sum(|run| run.figures.received));
            row.push(group.sum(Run::lost));
            row.push(group.median(2, |run| Some(run.figures.seconds)));
            row.push(group.median(0, |run| Some(run.figures.rate)));
            row.extend(group.latencies());
            row.push(group.median(2, |run| run.broker.cpu_seconds));
            row.push(group.median(0, |run| run.cpu_micros));
            row.extend(group.both(1, |run| run.figures.kib_per_connection));
            row.extend([group.memory(), group.generator()]);
            row
        };
        rows(&head, groups, row)
    }

    fn remarks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.runs.iter().any(|run| run.generator.is_behind) {
            writeln!(
                f,
                "\n! the generator was saturated, or late by more than a millisecond: the broker may be better than this. \
                 See that nothing else runs, or give it --threads."
            )?;
        }
        if self.runs.iter().any(|run| run.broker.cpu_seconds.is_none()) {
            writeln!(f, "\nCPU and memory are unknown where the broker's process is: name it with #PID.")?;
        }
        for run in &self.runs {
            let (case, target, round) = (&run.case, &run.target, run.round);
            let lost = run.figures.lost_acknowledged;
            let lost = (lost > 0).then(|| format!("{lost} deliveries of acknowledged messages were lost"));
            for fault in run.faults.iter().chain(&lost) {
                writeln!(f, "fault: {case}, {target}, round {round}: {fault}")?;
            }
        }
        for failure in &self.failures {
            let (case, target, round, error) = (&failure.case, &failure.target, failure.round, &failure.error);
            writeln!(f, "failed: {case}, {target}, round {round}: {error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} round(s) of {}", self.rounds, self.settings)?;
        let groups = self.groups();
        let (connections, loads): (Vec<_>, Vec<_>) =
            groups.iter().partition(|group| group.case.scenario.is_about_connections());
        let (open, closed): (Vec<_>, Vec<_>) = loads.iter().partition(|group| group.case.scenario.is_open_loop());
        for rows in [Self::full_speed(&closed), Self::by_the_clock(&open), Self::connections(&connections)] {
            if rows.len() > 1 {
                write!(f, "\n{}", align(&rows))?;
            }
        }
        self.remarks(f)
    }
}

fn rows<'a>(head: &[&str], groups: &[&'a Group<'a>], row: impl Fn(&&'a Group<'a>) -> Vec<String>) -> Vec<Vec<String>> {
    let body: Vec<Vec<String>> = groups.iter().map(row).collect();
    // Of one round there are no ranges.
    let is_empty = |column: usize| body.iter().all(|row| row[column].is_empty());
    let name = |(column, name): (usize, &&str)| if is_empty(column) { String::new() } else { (*name).to_owned() };
    let head = head.iter().enumerate().map(name).collect();
    std::iter::once(head).chain(body).collect()
}

/// Rows as text with columns of equal width, the first two to the left, the others to the right.
#[must_use]
pub fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a String cannot fail; a column that is empty throughout is left out.
            let _ = match (column, width) {
                (_, 0) => Ok(()),
                (0 | 1, _) => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["a", "b", "c"], ["long", "", "100"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(align(&rows), "a     b    c\nlong     100\n");
    }
}
