//! Which figures are drawn, and how.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::figures::Point;
use crate::plot::{self, Axis, Curves};
use crate::table::median;

/// One chart: a figure over what grows.
#[derive(Debug)]
struct Chart {
    file: &'static str,
    curve: &'static str,
    figure: &'static str,
    title: &'static str,
    x: &'static str,
    y: &'static str,
    log: bool,
}

const DOCKS: &str = "docks with six subscriptions each";

const CHARTS: [Chart; 9] = [
    Chart {
        file: "fleet-memory.svg",
        curve: "fleet",
        figure: "resident MiB",
        title: "Memory of a fleet that is silent",
        x: DOCKS,
        y: "resident memory, MiB",
        log: true,
    },
    Chart {
        file: "fleet-back.svg",
        curve: "fleet",
        figure: "all back s",
        title: "All connections break: time until all docks are back",
        x: DOCKS,
        y: "seconds",
        log: true,
    },
    Chart {
        file: "fleet-latency.svg",
        curve: "fleet",
        figure: "p99 ms",
        title: "Traffic of a fleet, a tenth in flight: latency, 99th percentile of the slowest kind",
        x: DOCKS,
        y: "ms from when a message was due",
        log: true,
    },
    Chart {
        file: "fleet-cpu.svg",
        curve: "fleet",
        figure: "CPU %",
        title: "Traffic of a fleet, a tenth in flight: CPU of the broker",
        x: DOCKS,
        y: "% of one core",
        log: true,
    },
    Chart {
        file: "topics-rate.svg",
        curve: "topics",
        figure: "messages/s",
        title: "Messages over many topics to one wildcard subscriber",
        x: "distinct topics",
        y: "messages a second",
        log: false,
    },
    Chart {
        file: "topics-memory.svg",
        curve: "topics",
        figure: "resident MiB",
        title: "Memory after messages over many topics",
        x: "distinct topics",
        y: "resident memory, MiB",
        log: false,
    },
    Chart {
        file: "filters-rate.svg",
        curve: "filters",
        figure: "messages/s",
        title: "Messages that each match one of many wildcard filters",
        x: "wildcard filters",
        y: "messages a second",
        log: false,
    },
    Chart {
        file: "filters-cpu.svg",
        curve: "filters",
        figure: "CPU µs/message",
        title: "CPU time of a message that matches one of many wildcard filters",
        x: "wildcard filters",
        y: "µs a message",
        log: true,
    },
    Chart {
        file: "restart.svg",
        curve: "restart",
        figure: "all back s",
        title: "From the start of a broker until all docks are back on their sessions",
        x: "kept sessions with six subscriptions each",
        y: "seconds",
        log: true,
    },
];

/// Draws what was measured at two sizes or more.
pub(crate) fn draw(folder: &Path, points: &[Point]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut brokers: Vec<&str> = Vec::new();
    for point in points {
        if !brokers.contains(&point.broker.as_str()) {
            brokers.push(&point.broker);
        }
    }
    for chart in &CHARTS {
        let mut sizes: Vec<usize> = points.iter().filter(|p| p.curve == chart.curve).map(|p| p.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let [least, .., most] = sizes[..] else { continue };
        let series = brokers.iter().map(|broker| {
            let value = |size: &usize| median(points, chart.curve, *size, broker, chart.figure);
            let points = sizes.iter().filter_map(|size| Some((*size as f64, value(size)?))).collect();
            plot::Curve { name: (*broker).to_owned(), points }
        });
        let curves = Curves {
            title: chart.title.to_owned(),
            x: Axis { title: chart.x.to_owned(), log: most > 10 * least.max(1) || least == 1 },
            y: Axis { title: chart.y.to_owned(), log: chart.log },
            series: series.collect(),
        };
        plot::curves(&folder.join(chart.file), &curves)?;
    }
    Ok(())
}
