//! As much of PromQL as it takes to find which metrics and labels an expression names.

use std::collections::BTreeSet;

/// `name{label="value", …}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) name: String,
    pub(crate) matchers: Vec<Matcher>,
}

/// `label="value"`, or with another operator.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    pub(crate) operator: String,
    pub(crate) value: String,
}

impl Matcher {
    /// The values that it names.
    pub(crate) fn values(&self) -> Vec<&str> {
        if self.operator.ends_with('~') { self.value.split('|').collect() } else { vec![&self.value] }
    }
}

/// Whether a name is a metric's, and not a function's or a label's.
pub(crate) fn is_metric(name: &str) -> bool {
    name.starts_with("dockgate_") || name.starts_with("process_") || name == "up"
}

/// Everything that an expression selects.
pub(crate) fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(|first: char| is_word(first) || first == '"') {
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted.split_once('"').expect("a text ends").1;
            continue;
        }
        let name;
        (name, rest) = word(rest);
        if is_metric(name) {
            let matchers;
            (matchers, rest) = braces(rest);
            found.push(Selector { name: name.to_owned(), matchers });
        }
    }
    found
}

/// The matchers that follow a name, if any do.
fn braces(text: &str) -> (Vec<Matcher>, &str) {
    let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let mut matchers = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return (matchers, after);
        }
        let (label, after) = word(rest);
        let (operator, after) = after.split_once('"').expect("a matcher has a value");
        let (value, after) = after.split_once('"').expect("a value ends");
        assert!(["=", "!=", "=~", "!~"].contains(&operator) && !label.is_empty(), "{text}");
        matchers.push(Matcher { label: label.to_owned(), operator: operator.to_owned(), value: value.to_owned() });
        rest = after;
    }
}

/// The labels in `by (…)`, `without (…)`, `on (…)` and `ignoring (…)`.
pub(crate) fn grouping_labels(expression: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for keyword in ["by", "without", "on", "ignoring"] {
        for list in expression.split(&format!("{keyword} (")).skip(1) {
            let (list, _) = list.split_once(')').expect("a list ends");
            labels.extend(list.split(',').map(|label| label.trim().to_owned()));
        }
    }
    labels
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == ':'
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character| !is_word(character)).unwrap_or(text.len()))
}

#[test]
fn selectors_are_found_wherever_they_stand() {
    let found = selectors(
        r#"sum by (le) (rate(dockgate_a_bucket{instance=~"$instance",x!="up"}[5m])) / dockgate_b > 0.5 and up == 0 or "dockgate_c""#,
    );
    let names: Vec<_> = found.iter().map(|selector| selector.name.as_str()).collect();
    assert_eq!(names, ["dockgate_a_bucket", "dockgate_b", "up"]);
    let matcher = &found[0].matchers[1];
    assert_eq!((matcher.label.as_str(), matcher.operator.as_str(), matcher.values()), ("x", "!=", vec!["up"]));
    let matcher = Matcher { label: String::new(), operator: "!~".to_owned(), value: "a|b".to_owned() };
    assert_eq!(matcher.values(), ["a", "b"]);
    assert_eq!(
        grouping_labels("sum by (a, b) (x) / ignoring (c) group_left y"),
        ["a", "b", "c"].map(str::to_owned).into_iter().collect()
    );
}
