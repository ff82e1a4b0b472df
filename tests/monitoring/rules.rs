//! The alert rules, read and tried with promtool, and held against what a broker exports.

use std::collections::BTreeMap;
use std::path::Path;

use crate::exposition::Exposition;
use crate::prometheus::promtool;
use crate::{path, text};

/// The rules by name, each with its lines. The file is written with one way of indenting, which is read here.
pub(crate) fn rules() -> BTreeMap<String, String> {
    let text = text("prometheus/alerts.yml");
    let mut rules = BTreeMap::new();
    for rule in text.split("\n      - alert: ").skip(1) {
        let (name, lines) = rule.split_once('\n').expect("a rule has lines");
        let of_rule = lines.lines().take_while(|line| line.is_empty() || line.starts_with("        "));
        let lines: Vec<_> = of_rule.map(str::trim_end).collect();
        assert!(rules.insert(name.to_owned(), lines.join("\n")).is_none(), "{name} is there twice");
    }
    assert_eq!(rules.len(), text.matches("- alert:").count());
    rules
}

/// A field of a rule: the rest of its line, or the lines that follow `>-`.
pub(crate) fn field(rule: &str, name: &str) -> Option<String> {
    let mut lines = rule.lines().skip_while(|line| !line.trim_start().starts_with(&format!("{name}: ")));
    let first = lines.next()?;
    let indent = first.len() - first.trim_start().len();
    let value = first.trim_start().strip_prefix(&format!("{name}: "))?;
    if value != ">-" {
        return Some(value.trim_matches('"').to_owned());
    }
    let folded = lines.take_while(|line| line.len() - line.trim_start().len() > indent);
    Some(folded.map(str::trim).collect::<Vec<_>>().join(" "))
}

#[test]
fn promtool_finds_the_configuration_and_the_rules_right() {
    promtool(&["check", "config"], &path("prometheus/prometheus.yml"));
    promtool(&["check", "rules"], &path("prometheus/alerts.yml"));
}

#[test]
fn every_alert_fires_when_it_should_and_not_when_it_should_not() {
    promtool(&["test", "rules"], &path("prometheus/alerts_test.yml"));
    let tests = text("prometheus/alerts_test.yml");
    for name in rules().keys() {
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "no test in alerts_test.yml has {name} fire");
    }
}

#[test]
fn the_comments_of_the_configuration_can_be_made_settings() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("dockgate.token");
    std::fs::write(&token, "secret").unwrap();
    let uncommented: Vec<_> = text("prometheus/prometheus.yml")
        .lines()
        // An explanation has a space after the #; what is commented out has none, but for its indentation.
        .map(|line| match line.trim_start().strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') || rest.starts_with("  ") => line.replacen('#', "", 1),
            _ => line.to_owned(),
        })
        .filter(|line| !line.starts_with("   promtool"))
        .collect();
    let text = uncommented.join("\n").replace("/etc/prometheus/dockgate.token", &token.to_string_lossy());
    for setting in ["\nalerting:", "\n    authorization:", "\n      credentials_file:", "\n    scheme: https"] {
        assert!(text.contains(setting), "{setting} in\n{text}");
    }
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, text).unwrap();
    std::fs::copy(path("prometheus/alerts.yml"), folder.path().join("alerts.yml")).unwrap();
    promtool(&["check", "config"], &file);
}

#[test]
fn every_alert_names_what_a_broker_exports_and_says_what_to_do() {
    let exported = Exposition::of_a_new_broker();
    for (name, rule) in rules() {
        exported.expect_all_of(&field(&rule, "expr").unwrap_or_else(|| panic!("{name} has an expression")));
        let severity = field(&rule, "severity");
        assert!(matches!(severity.as_deref(), Some("critical" | "warning")), "{name}: severity {severity:?}");
        for (part, least) in [("summary", 20), ("description", 100)] {
            assert!(field(&rule, part).is_some_and(|text| text.len() >= least), "{name}: {part}");
        }
    }
    // In descriptions and comments too.
    for file in ["prometheus/alerts.yml", "prometheus/alerts_test.yml"] {
        for word in text(file).split(|character: char| !character.is_ascii_alphanumeric() && character != '_') {
            let is_metric = word.starts_with("dockgate_") || word.starts_with("process_");
            assert!(!is_metric || exported.has(word), "{file} names {word}, which is not exported");
        }
    }
}

#[test]
fn every_setting_and_path_that_an_alert_names_exists() {
    let (alerts, settings) = (text("prometheus/alerts.yml"), text("dockgate.toml"));
    for section in ["uploads", "limits", "persistence", "http", "access"] {
        for (at, _) in alerts.match_indices(&format!("{section}.")) {
            let name: String = alerts[at + section.len() + 1..]
                .chars()
                .take_while(|character| character.is_ascii_lowercase() || *character == '_')
                .collect();
            let is_there = name.is_empty()
                || settings.lines().any(|line| {
                    let line = line.trim_start_matches('#');
                    line.starts_with(&format!("{name} = ")) || line == format!("[{section}.{name}]")
                });
            assert!(is_there, "{section}.{name} is no setting");
        }
    }
    let api = crate::common::BrokerProcess::start(&[]);
    let paths = alerts.split_whitespace().map(|word| word.trim_matches(['(', ')', ',', '.', ';']));
    for path in paths.filter(|word| word.starts_with("/api/") || word.starts_with("/readyz")) {
        assert_eq!(crate::common::status(api.http, path), 200, "{path}");
    }
    assert!(Path::new(&path("systemd/dockgate.service")).exists(), "the unit that `systemctl status dockgate` shows");
}

#[test]
fn the_readme_lists_exactly_these_alerts() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let listed: std::collections::BTreeSet<_> = readme
        .lines()
        .filter(|line| line.starts_with("| `Dockgate"))
        .flat_map(|line| {
            line.split('|').nth(1).unwrap().split(',').map(|name| name.trim_matches([' ', '`']).to_owned())
        })
        .collect();
    assert_eq!(listed, rules().into_keys().collect());
}
