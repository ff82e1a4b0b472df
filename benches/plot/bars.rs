//! Bars in groups: a group for each scenario, a bar in it for each broker.

use std::path::Path;

use anyhow::ensure;
use plotters::prelude::*;

use super::canvas::{self, GRID, INK, LABEL, failed};
use super::ruler::{Ruler, short};

/// What part of a group's place its bars take.
const FILLED: f64 = 0.84;
/// A bar narrower than that has no figure above it, as figures would lie over each other.
const WIDTH_FOR_FIGURE: f64 = 16.0;
const FIGURE: u32 = 10;

/// A chart of bars.
#[derive(Debug, Clone)]
pub(crate) struct Bars {
    /// The line above it.
    pub(crate) title: String,
    /// What the bars tell, with its unit.
    pub(crate) unit: String,
    /// Whether the scale is logarithmic, for ratios beyond ten.
    pub(crate) log: bool,
    /// Who has a bar in each group.
    pub(crate) series: Vec<String>,
    /// The groups from left to right.
    pub(crate) groups: Vec<Group>,
}

/// Bars that stand together.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// What stands below them.
    pub(crate) name: String,
    /// One for each series, none where there is no figure.
    pub(crate) bars: Vec<Option<Bar>>,
}

/// A figure over some rounds: the bar's height, and the ends of the line over it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bar {
    /// The lowest figure.
    pub(crate) min: f64,
    /// The one in the middle.
    pub(crate) median: f64,
    /// The highest figure.
    pub(crate) max: f64,
}

/// Draws bars into a file.
///
/// # Errors
/// A group that has not as many bars as there are series, or a file that cannot be written.
pub(crate) fn bars(path: &Path, chart: &Bars) -> anyhow::Result<()> {
    let series = chart.series.len();
    for group in &chart.groups {
        ensure!(group.bars.len() == series, "{} bars for {series} series in {:?}", group.bars.len(), group.name);
    }
    let all = || chart.groups.iter().flat_map(|group| group.bars.iter().flatten());
    let ruler = Ruler::of(all().flat_map(|bar| [bar.min, bar.median, bar.max]), chart.log).with_floor();
    canvas::draw(path, &chart.title, chart.series.iter().map(String::as_str), |area| {
        let floor = ruler.low;
        let mut context = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(34)
            .y_label_area_size(64)
            .build_cartesian_2d(Ruler::of_places(chart.groups.len()), ruler)
            .map_err(failed)?;
        let names = |x: &f64| chart.groups.get(*x as usize).map(|group| group.name.clone()).unwrap_or_default();
        let mut mesh = context.configure_mesh();
        mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(GRID).axis_style(INK);
        mesh.label_style(canvas::text(LABEL)).y_desc(&chart.unit).x_label_formatter(&names);
        mesh.y_label_formatter(&|y| short(*y)).draw().map_err(failed)?;

        let width = FILLED / series as f64;
        let pixels = f64::from(area.dim_in_pixel().0) / chart.groups.len() as f64 * width;
        for (group, at) in chart.groups.iter().zip(0_u32..) {
            for (index, bar) in group.bars.iter().enumerate() {
                let Some(bar) = bar else { continue };
                let left = f64::from(at) + (1.0 - FILLED) / 2.0 + width * index as f64;
                let (right, middle) = (left + width * 0.92, left + width * 0.46);
                let (low, high) = (bar.min, bar.max);
                let block = [(left, floor), (right, bar.median)];
                context.draw_series([Rectangle::new(block, canvas::colour(index).filled())]).map_err(failed)?;
                if bar.max > bar.min {
                    let cap = width * 0.15;
                    let line = vec![
                        (middle - cap, low),
                        (middle + cap, low),
                        (middle, low),
                        (middle, high),
                        (middle - cap, high),
                        (middle + cap, high),
                    ];
                    context.draw_series([PathElement::new(line, INK)]).map_err(failed)?;
                }
                if pixels >= WIDTH_FOR_FIGURE {
                    let figure = EmptyElement::at((middle, high))
                        + Text::new(short(bar.median), (0, -3), canvas::text_above(FIGURE));
                    context.draw_series([figure]).map_err(failed)?;
                }
            }
        }
        Ok(())
    })
}
