//! The dashboard for Grafana: that it is one, and that each of its queries names what a broker exports.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::exposition::Exposition;
use crate::text;

/// The schema of Grafana 10.0; later ones read it.
const GRAFANA_10: u64 = 38;
const ROWS: [&str; 5] = ["Uploads", "Messages", "Connections", "Store and router", "Process"];
const WIDTH: u64 = 24;

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana/dashboard.json")).expect("the dashboard is JSON")
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().expect("panels")
}

/// All queries as they stand, with the panel that has them.
pub(crate) fn queries() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let mut queries = Vec::new();
    for panel in panels(&dashboard).iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().expect("a panel has queries") {
            queries.push((title.to_owned(), target["expr"].as_str().expect("an expression").to_owned()));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        if let Some(expression) = annotation["expr"].as_str() {
            queries.push((annotation["name"].to_string(), expression.to_owned()));
        }
    }
    queries
}

/// The query with Grafana's variables as it fills them in.
pub(crate) fn filled_in(query: &str) -> String {
    let filled = query.replace("$instance", ".*").replace("$__rate_interval", "1m");
    assert!(!filled.contains('$'), "an unknown variable in {query}");
    filled
}

#[test]
fn the_dashboard_has_its_rows_and_every_panel_its_place() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= GRAFANA_10));
    let rows = panels(&dashboard).iter().filter(|panel| panel["type"] == "row");
    assert_eq!(rows.map(|row| row["title"].as_str().unwrap()).collect::<Vec<_>>(), ROWS);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        assert!(ids.insert(panel["id"].as_u64()), "an id is there twice: {}", panel["title"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a place"));
        assert!(w > 0 && h > 0 && x + w <= WIDTH, "{}: {}", panel["title"], panel["gridPos"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} lies on another panel", panel["title"]);
        }
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{}", panel["title"]);
            assert_eq!(panel["datasource"]["uid"], "${DS_PROMETHEUS}", "{}", panel["title"]);
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"]["uid"], "${DS_PROMETHEUS}", "{}", panel["title"]);
            }
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    assert_eq!(variables.map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), ["DS_PROMETHEUS", "instance"]);
}

#[test]
fn every_query_names_what_a_broker_exports() {
    let exported = Exposition::of_a_new_broker();
    for (_, query) in queries() {
        exported.expect_all_of(&query);
    }
    let dashboard = dashboard();
    for target in panels(&dashboard).iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
        let legend = target["legendFormat"].as_str().expect("a legend");
        for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
            assert!(exported.has_label(label), "no metric has the label {label}: {legend}");
            let expression = target["expr"].as_str().unwrap();
            let is_kept = label == "instance"
                || expression.contains(&format!("{label})"))
                || expression.contains(&format!("{label},"));
            assert!(is_kept, "{label} is summed away: {expression}");
        }
    }
}

#[test]
fn everything_that_a_broker_exports_is_shown() {
    let exported = Exposition::of_a_new_broker();
    let shown = text("grafana/dashboard.json");
    for name in exported.names().filter(|name| name.starts_with("dockgate_")) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(shown.contains(family), "{family} is on no panel");
    }
}
