//! What a running broker exports: names, labels and their values.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{BrokerProcess, get};
use crate::expression::{grouping_labels, selectors};

/// Labels that Prometheus adds, and `le`, which histograms have and nobody selects.
const FOREIGN: [&str; 3] = ["instance", "job", "le"];

/// Each sample's name with its labels and their values.
#[derive(Debug)]
pub(crate) struct Exposition(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Exposition {
    /// Of a broker that has just started: every series is there from the first moment.
    pub(crate) fn of_a_new_broker() -> Self {
        let broker = BrokerProcess::start(&[]);
        let text = get(broker.http, "/metrics");
        let mut names: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').expect("a sample has a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let values = names.entry(name.to_owned()).or_default();
            for pair in labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()) {
                let (label, value) = pair.split_once('=').expect("a label has a value");
                values.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
            }
        }
        Self(names)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether any metric has this label, or Prometheus adds it.
    pub(crate) fn has_label(&self, label: &str) -> bool {
        FOREIGN.contains(&label) || self.0.values().any(|labels| labels.contains_key(label))
    }

    /// Fails unless everything that the expression names is there: metrics, labels and values.
    #[track_caller]
    pub(crate) fn expect_all_of(&self, expression: &str) {
        let selectors = selectors(expression);
        assert!(!selectors.is_empty(), "no metric in {expression}");
        for selector in selectors.iter().filter(|selector| selector.name != "up") {
            let labels = self.0.get(&selector.name);
            let labels = labels.unwrap_or_else(|| panic!("{} is not exported: {expression}", selector.name));
            for matcher in selector.matchers.iter().filter(|matcher| !FOREIGN.contains(&matcher.label.as_str())) {
                let label = &matcher.label;
                let known = labels.get(label);
                let known = known.unwrap_or_else(|| panic!("{} has no label {label}: {expression}", selector.name));
                for value in matcher.values() {
                    assert!(
                        known.contains(value),
                        "{label} of {} is never {value:?}, but one of {known:?}",
                        selector.name
                    );
                }
            }
        }
        for label in grouping_labels(expression) {
            assert!(self.has_label(&label), "no metric has the label {label}: {expression}");
        }
    }
}
