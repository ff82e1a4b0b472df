//! An axis: where a value lies on it, where its marks are, and how a value is written.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// One axis of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ruler {
    log: bool,
    pub(super) low: f64,
    high: f64,
    /// Values that are written beside the axis.
    marks: Vec<f64>,
}

/// What a mark may be, times a power of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
/// About so many marks are on a linear axis.
const MARKS: f64 = 5.0;

impl Ruler {
    /// An axis for these values: from zero, or over whole steps of a logarithmic scale, which shows no zero.
    pub(super) fn of(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let values = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(least, most), v| (least.min(v), most.max(v)));
        match log {
            true if most > 0.0 => Self::logarithmic(least, most),
            true => Self::logarithmic(1.0, 10.0),
            false => Self::linear(most),
        }
    }

    fn linear(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = steps_from(most / MARKS / 10.0).find(|step| most / step <= MARKS).unwrap_or(most);
        let high = (most / step).ceil() * step;
        let marks = (0..=(high / step).round() as u32).map(|i| f64::from(i) * step).collect();
        Self { log: false, low: 0.0, high, marks }
    }

    fn logarithmic(least: f64, most: f64) -> Self {
        let low = steps_from(least / 100.0).take_while(|step| *step <= least).last().unwrap_or(least);
        let high = steps_from(low).find(|step| *step >= most && *step > low).unwrap_or(most);
        let marks: Vec<f64> = steps_from(low).take_while(|step| *step <= high * 1.001).collect();
        let powers = marks.iter().copied().filter(|mark| is_power(*mark)).collect();
        // Beyond two powers of ten, there is no room for what is between them.
        Self { log: true, low, high, marks: if high / low > 101.0 { powers } else { marks } }
    }

    /// Makes room below the least value, where a bar begins.
    pub(super) fn with_floor(self) -> Self {
        match self.log {
            true => Self::logarithmic(self.low * 0.6, self.high),
            false => self,
        }
    }

    /// An axis of so many equal places, each with a mark in its middle.
    pub(super) fn of_places(places: usize) -> Self {
        Self { log: false, low: 0.0, high: places as f64, marks: (0..places).map(|place| place as f64 + 0.5).collect() }
    }

    /// How far along the axis a value lies, from 0 to 1. What a logarithmic scale cannot show lies at its beginning.
    fn share(&self, value: f64) -> f64 {
        match self.log {
            true => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        }
    }
}

impl Ranged for Ruler {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * self.share(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // There are no lines between the marks.
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

/// 1, 2 and 5 times the powers of ten, from the last of them that is not above a value.
fn steps_from(value: f64) -> impl Iterator<Item = f64> {
    let exponent = value.log10().floor() as i32;
    let steps = (exponent..exponent + 40).flat_map(|exponent| STEPS.map(|step| step * 10_f64.powi(exponent)));
    let first = STEPS.iter().filter(|step| **step * 10_f64.powi(exponent) <= value * 1.001).count().max(1) - 1;
    steps.skip(first)
}

fn is_power(mark: f64) -> bool {
    (mark.log10() - mark.log10().round()).abs() < 1e-6
}

/// A value in as few characters as tell it: `1.25M`, `340k`, `17`, `0.34`.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    let (scaled, suffix) = match size {
        _ if size >= 999_500_000.0 => (value / 1e9, "G"),
        _ if size >= 999_500.0 => (value / 1e6, "M"),
        _ if size >= 9_999.5 || (size >= 1000.0 && value % 100.0 == 0.0) => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        scaled if scaled >= 99.95 || scaled == 0.0 => 0,
        scaled if scaled >= 9.995 => 1,
        scaled if scaled >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_the_values_lie_between_the_ends() {
        for (values, log, marks) in [
            (&[3.0, 48.0][..], false, &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0][..]),
            (&[0.0], false, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (&[1.0, 100_000.0], true, &[1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0]),
            (&[3.0, 40.0], true, &[2.0, 5.0, 10.0, 20.0, 50.0]),
            (&[0.0, f64::NAN, 7.0], true, &[5.0, 10.0]),
        ] {
            let ruler = Ruler::of(values.iter().copied(), log);
            let same = ruler.marks.len() == marks.len()
                && ruler.marks.iter().zip(marks).all(|(mark, expected)| (mark - expected).abs() < 1e-9);
            assert!(same, "{values:?}: {ruler:?}");
            for value in values.iter().filter(|value| value.is_finite()) {
                assert!((0.0..=1.0).contains(&ruler.share(*value)), "{value} on {ruler:?}");
            }
        }
    }

    #[test]
    fn a_logarithmic_axis_gives_each_power_the_same_room() {
        let ruler = Ruler::of([1.0, 10_000.0].into_iter(), true);
        assert_eq!([1.0, 10.0, 100.0, 10_000.0].map(|value| ruler.map(&value, (0, 400))), [0, 100, 200, 400]);
        assert_eq!(ruler.map(&0.0, (0, 400)), 0);
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.05, "0.05"),
            (0.345, "0.34"),
            (7.0, "7"),
            (43.26, "43.3"),
            (999.0, "999"),
            (2000.0, "2k"),
            (2345.0, "2345"),
            (340_000.0, "340k"),
            (999_999.0, "1M"),
            (1_254_000.0, "1.25M"),
            (2e9, "2G"),
        ] {
            assert_eq!(short(value), text, "{value}");
        }
    }
}
