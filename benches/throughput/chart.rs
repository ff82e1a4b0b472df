//! The table as a chart: what a message cost each broker.

use std::fs;
use std::path::Path;

use anyhow::Context;
use dockgate::bench::spread::Spread;
use dockgate::bench::{Case, Report, Run};

use crate::plot::{Bar, Bars, Group, bars};

/// Draws `cpu.svg` into a folder.
///
/// # Errors
/// A folder that cannot be made, or a file that cannot be written.
pub(crate) fn draw(report: &Report, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    bars(&folder.join("cpu.svg"), &of(report, "CPU time of a delivered message", "µs", |run| run.cpu_micros))
}

fn of(report: &Report, title: &str, unit: &str, pick: fn(&Run) -> Option<f64>) -> Bars {
    let (mut cases, mut series): (Vec<Case>, Vec<String>) = (Vec::new(), Vec::new());
    for run in &report.runs {
        if !cases.contains(&run.case) {
            cases.push(run.case);
        }
        if !series.contains(&run.target) {
            series.push(run.target.clone());
        }
    }
    let bar = |case: &Case, broker: &String| {
        let runs = report.runs.iter().filter(|run| run.case == *case && run.target == *broker);
        Spread::of(runs.filter_map(pick)).map(|spread| Bar { min: spread.min, median: spread.median, max: spread.max })
    };
    let same = |of: fn(&Case) -> Option<usize>| cases.iter().all(|case| of(case) == of(&cases[0]));
    let (one_payload, one_batch) = (same(|case| case.payload), same(|case| case.batch));
    let name = |case: &Case| {
        let mut name = case.scenario.to_string();
        let parts = [
            case.qos.map(|qos| format!(" QoS {qos}")),
            case.payload.filter(|_| !one_payload).map(|bytes| format!(" {bytes} B")),
            case.batch.filter(|_| !one_batch).map(|batch| format!(" by {batch}")),
        ];
        name.extend(parts.into_iter().flatten());
        name
    };
    let group = |case: &Case| Group { name: name(case), bars: series.iter().map(|broker| bar(case, broker)).collect() };
    Bars {
        title: title.to_owned(),
        unit: unit.to_owned(),
        log: true,
        groups: cases.iter().map(group).collect(),
        series: series.clone(),
    }
}
