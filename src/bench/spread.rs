//! A figure over some rounds: its median and how far it spreads.

/// Median and extremes of some rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle, or half-way between the two that are.
    pub median: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// None of nothing.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
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
#[must_use]
pub fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { f64::NAN }
}

/// The median as text.
#[must_use]
pub fn median(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or("-".to_owned(), |s| format!("{:.digits$}", s.median))
}

/// The extremes as text.
#[must_use]
pub fn range(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or("-".to_owned(), |s| format!("({:.digits$}-{:.digits$})", s.min, s.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_what_is_no_number_does_not_count() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, f64::NAN, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(of(&[4.0, 1.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(of(&[f64::INFINITY]), None);
        assert_eq!(ratio(1.0, 0.0).to_string(), "NaN");
    }
}
