//! Curves: a figure over something that grows, or over time, one line for each series.

use std::path::Path;

use plotters::prelude::*;

use super::canvas::{self, GRID, INK, LABEL, failed};
use super::ruler::{Ruler, short};

/// A line of more points than that shows no marks at them.
const MARKED: usize = 24;

/// A chart of curves.
#[derive(Debug, Clone)]
pub(crate) struct Curves {
    /// The line above it.
    pub(crate) title: String,
    /// What grows, or the time.
    pub(crate) x: Axis,
    /// What is told of it.
    pub(crate) y: Axis,
    /// The lines.
    pub(crate) series: Vec<Curve>,
}

/// An axis of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// What it measures, with its unit.
    pub(crate) title: String,
    /// Whether it is logarithmic; otherwise it begins at zero.
    pub(crate) log: bool,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    /// Whose it is.
    pub(crate) name: String,
    /// From left to right; those that are no numbers are left out.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws curves into a file.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn curves(path: &Path, chart: &Curves) -> anyhow::Result<()> {
    let points = || chart.series.iter().flat_map(|curve| &curve.points);
    let across = Ruler::of(points().map(|(x, _)| *x), chart.x.log);
    let up = Ruler::of(points().map(|(_, y)| *y), chart.y.log);
    canvas::draw(path, &chart.title, chart.series.iter().map(|curve| curve.name.as_str()), |area| {
        let mut context = ChartBuilder::on(area)
            .margin(12)
            .margin_right(28)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(across, up)
            .map_err(failed)?;
        let mut mesh = context.configure_mesh();
        mesh.light_line_style(TRANSPARENT).bold_line_style(GRID).axis_style(INK).label_style(canvas::text(LABEL));
        mesh.x_desc(&chart.x.title).x_label_formatter(&|x| short(*x));
        mesh.y_desc(&chart.y.title).y_label_formatter(&|y| short(*y));
        mesh.draw().map_err(failed)?;
        for (index, curve) in chart.series.iter().enumerate() {
            let colour = canvas::colour(index);
            let points = curve.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite());
            let points: Vec<(f64, f64)> = points.collect();
            if points.len() <= MARKED {
                let marks = points.iter().map(|point| Circle::new(*point, 3.5, colour.filled()));
                context.draw_series(marks).map_err(failed)?;
            }
            if !points.is_empty() {
                context.draw_series([PathElement::new(points, colour.stroke_width(2))]).map_err(failed)?;
            }
        }
        Ok(())
    })
}
