//! Figures as tables on a terminal: one a curve, sizes and brokers below each other, medians over the rounds.

use std::fmt::Write as _;

use crate::Report;
use crate::figures::Point;

/// The whole report as text.
pub(crate) fn text(report: &Report) -> String {
    let mut text = format!("\n{}\n", report.settings);
    let mut curves: Vec<&str> = Vec::new();
    for point in &report.points {
        if !curves.contains(&point.curve) {
            curves.push(point.curve);
        }
    }
    for curve in curves {
        text.push('\n');
        text.push_str(&align(&rows(curve, &report.points)));
    }
    for note in &report.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    text
}

fn rows(curve: &str, points: &[Point]) -> Vec<Vec<String>> {
    let of_curve = || points.iter().filter(|point| point.curve == curve);
    let mut columns: Vec<&str> = Vec::new();
    let mut keys: Vec<(usize, &str)> = Vec::new();
    for point in of_curve() {
        for figure in &point.figures {
            if !columns.contains(&figure.name) {
                columns.push(figure.name);
            }
        }
        if !keys.contains(&(point.size, &point.broker)) {
            keys.push((point.size, &point.broker));
        }
    }
    let head = [curve, "broker"].into_iter().chain(columns.iter().copied()).map(str::to_owned).collect();
    let body = keys.into_iter().map(|(size, broker)| {
        let figure = |column: &&str| match median(points, curve, size, broker, column) {
            Some(value) if value >= 100.0 => format!("{value:.0}"),
            Some(value) if value >= 10.0 => format!("{value:.1}"),
            Some(value) => format!("{value:.3}"),
            None => "-".to_owned(),
        };
        [size.to_string(), broker.to_owned()].into_iter().chain(columns.iter().map(figure)).collect()
    });
    [head].into_iter().chain(body).collect()
}

/// A figure of one broker at one size: the median over the rounds.
pub(crate) fn median(points: &[Point], curve: &str, size: usize, broker: &str, figure: &str) -> Option<f64> {
    let mut values: Vec<f64> = points
        .iter()
        .filter(|point| point.curve == curve && point.size == size && point.broker == broker)
        .flat_map(|point| &point.figures)
        .filter(|candidate| candidate.name == figure)
        .map(|figure| figure.value)
        .collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values.get(middle).copied(),
        _ => Some((values.get(middle)? + values.get(middle.checked_sub(1)?)?) / 2.0),
    }
}

/// Columns of equal width, the names of brokers to the left, numbers to the right.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
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
