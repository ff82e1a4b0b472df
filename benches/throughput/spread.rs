//! A figure over some rounds: its median and how far it spreads.

/// Median and extremes of some rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => (sorted.get(middle)? + sorted.get(middle.checked_sub(1)?)?) / 2.0,
        };
        Some(Self { min: *sorted.first()?, median, max: *sorted.last()? })
    }
}

/// `a / b`, which is no figure if `b` is nothing.
pub(crate) fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { f64::NAN }
}

/// The median as text.
pub(crate) fn median(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or("-".to_owned(), |s| format!("{:.digits$}", s.median))
}

/// The extremes as text.
pub(crate) fn range(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or("-".to_owned(), |s| format!("({:.digits$}-{:.digits$})", s.min, s.max))
}
