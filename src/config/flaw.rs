//! A setting that can be read but makes no sense, or is unwise.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::explain::shorten;
use super::problem::{Place, Problem};
use super::size;

/// A setting that makes no sense, or is unwise; where it was given is not known here.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) key: String,
    given: Option<String>,
    fault: String,
    remedy: String,
}

impl Flaw {
    pub(super) fn at(self, place: Place) -> Problem {
        Problem { place, key: self.key, given: self.given, fault: self.fault, remedy: self.remedy }
    }
}

/// What has been found so far; one flaw a setting, so that what is out of range is not also compared with others.
#[derive(Debug, Default)]
pub(super) struct Flaws(Vec<Flaw>);

impl Flaws {
    pub(super) fn into_vec(self) -> Vec<Flaw> {
        self.0
    }

    pub(super) fn push(&mut self, key: &str, given: impl Display, fault: impl Into<String>, remedy: impl Into<String>) {
        self.add(key, Some(shorten(given.to_string())), fault.into(), remedy.into());
    }

    /// A flaw of a setting that was not given, but should be.
    pub(super) fn missing(&mut self, key: &str, fault: impl Into<String>, remedy: impl Into<String>) {
        self.add(key, None, fault.into(), remedy.into());
    }

    fn add(&mut self, key: &str, given: Option<String>, fault: String, remedy: String) {
        if !self.0.iter().any(|flaw| flaw.key == key) {
            self.0.push(Flaw { key: key.to_owned(), given, fault, remedy });
        }
    }

    fn range<T: PartialOrd>(&mut self, key: &str, given: T, range: RangeInclusive<T>, show: impl Fn(&T) -> String) {
        if !range.contains(&given) {
            let (least, most) = (show(range.start()), show(range.end()));
            let (fault, remedy) = if given < *range.start() {
                (format!("the least that makes sense is {least}"), "give more")
            } else {
                (format!("the most that makes sense is {most}"), "give less")
            };
            self.push(key, show(&given), fault, remedy);
        }
    }

    pub(super) fn count(&mut self, key: &str, given: usize, range: RangeInclusive<usize>) {
        self.range(key, given, range, usize::to_string);
    }

    pub(super) fn bytes(&mut self, key: &str, given: u64, range: RangeInclusive<u64>) {
        self.range(key, given, range, |bytes| size::display(*bytes));
    }

    pub(super) fn duration(&mut self, key: &str, given: Duration, range: RangeInclusive<Duration>) {
        self.range(key, given, range, |duration| humantime::format_duration(*duration).to_string());
    }
}
