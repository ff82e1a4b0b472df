//! The plate that every chart stands on: its size, its colours, its title and what the colours mean.

use std::path::Path;

use anyhow::{Context, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Pixels. GitHub shows a README's pictures up to about 830 wide.
const SIZE: (u32, u32) = (800, 420);
const HEADER: u32 = 62;
const FONT: &str = "Helvetica, Arial, sans-serif";
const TITLE: u32 = 18;
pub(super) const LABEL: u32 = 13;
/// About how wide a character of a label is.
const CHARACTER: i32 = 7;
/// The swatch of a colour.
const SWATCH: i32 = 12;
const MARGIN: i32 = 16;

pub(super) const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
pub(super) const GRID: RGBColor = RGBColor(0xe1, 0xe4, 0xe8);
/// Okabe and Ito's colours, which people who see few colours tell apart, too.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x7f, 0x7f, 0x7f),
];

/// Something to draw on.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The colour of a series, by its place.
pub(super) fn colour(series: usize) -> RGBColor {
    COLOURS[series % COLOURS.len()]
}

/// Text of this size.
pub(super) fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// Text that is drawn around its middle, above a point.
pub(super) fn text_above(size: u32) -> TextStyle<'static> {
    text(size).pos(Pos::new(HPos::Center, VPos::Bottom))
}

/// Draws a chart into a file: the plate, its title and the names of its series, and `body` below them.
pub(super) fn draw<'a>(
    path: &'a Path,
    title: &str,
    series: impl Iterator<Item = &'a str>,
    body: impl FnOnce(&Area<'a>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let paint = || {
        let plate = SVGBackend::new(path, SIZE).into_drawing_area();
        plate.fill(&WHITE).map_err(failed)?;
        let (header, rest) = plate.split_vertically(HEADER);
        header.draw(&Text::new(title.to_owned(), (MARGIN, 12), text(TITLE))).map_err(failed)?;
        let mut x = MARGIN;
        for (index, name) in series.enumerate() {
            let swatch = [(x, 41), (x + SWATCH, 41 + SWATCH)];
            header.draw(&Rectangle::new(swatch, colour(index).filled())).map_err(failed)?;
            header.draw(&Text::new(name.to_owned(), (x + SWATCH + 6, 41), text(LABEL))).map_err(failed)?;
            x += SWATCH + 6 + CHARACTER * i32::try_from(name.chars().count())? + MARGIN;
        }
        body(&rest)?;
        plate.present().map_err(failed)
    };
    paint().with_context(|| format!("cannot draw {}", path.display()))
}

/// An error of the drawing library, which is not the same type for each canvas.
pub(super) fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}
