use std::collections::BTreeSet;

use prometheus::proto::MetricType;

use super::*;

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.text().unwrap()).unwrap()
}

#[test]
fn every_family_has_the_prefix_a_help_text_and_the_suffix_of_its_type() {
    for family in Metrics::new().registry.gather() {
        let name = family.name();
        if name.starts_with("process_") {
            continue;
        }
        assert!(name.starts_with(PREFIX), "{name}: prefix");
        assert!(
            family.help().ends_with('.') && family.help().len() > 10,
            "{name}: help {:?}",
            family.help()
        );
        let counter = family.get_field_type() == MetricType::COUNTER;
        assert_eq!(
            counter,
            name.ends_with("_total"),
            "{name}: counters and nothing else end in _total"
        );
        if family.get_field_type() == MetricType::HISTOGRAM {
            assert!(
                name.ends_with("_seconds") || name.ends_with("_bytes"),
                "{name}: base unit"
            );
        }
    }
}

#[test]
fn every_series_of_a_label_is_there_at_zero_from_the_start() {
    let text = text(&Metrics::new());
    for reason in Drop::ALL {
        let series = format!(
            "dockgate_dropped_total{{reason=\"{}\"}} 0\n",
            reason.as_str()
        );
        assert!(text.contains(&series), "{series}");
    }
    for version in ["3.1", "3.1.1", "5"] {
        assert!(
            text.contains(&format!(
                "dockgate_connections{{protocol=\"{version}\"}} 0\n"
            )),
            "{version}"
        );
    }
    assert!(text.contains(concat!(
        "dockgate_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1\n"
    )));
}

#[test]
fn counts_arrive_at_the_series_of_their_label() {
    let metrics = Metrics::new();
    metrics.connected(Version::V5);
    metrics.connected(Version::V5);
    metrics.disconnected(Version::V5, Disconnect::KeepAlive);
    metrics.received(Qos::from_wire(1), 3, 500);
    metrics.dropped(Drop::QueueFullQos0, 7);
    metrics.session(None, Some(SessionState::Online));
    metrics.session(Some(SessionState::Online), Some(SessionState::Offline));
    metrics.queued(5, 100);
    metrics.queued(-2, -40);
    let text = text(&metrics);
    for line in [
        "dockgate_connections{protocol=\"5\"} 1",
        "dockgate_connections_total{protocol=\"5\"} 2",
        "dockgate_disconnects_total{reason=\"keep_alive\"} 1",
        "dockgate_messages_received_total{qos=\"1\"} 3",
        "dockgate_message_bytes_received_total{qos=\"1\"} 500",
        "dockgate_messages_received_total{qos=\"0\"} 0",
        "dockgate_dropped_total{reason=\"queue_full_qos0\"} 7",
        "dockgate_sessions{state=\"online\"} 0",
        "dockgate_sessions{state=\"offline\"} 1",
        "dockgate_queued_messages 3",
        "dockgate_queued_bytes 60",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
}

/// The README's table lists the metrics by hand-pasted output of this test: run it, and paste what it prints.
#[test]
fn the_readme_lists_exactly_these_metrics() {
    let families = Metrics::new().registry.gather();
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for family in families.iter().filter(|f| f.name().starts_with(PREFIX)) {
        let mut labels = Vec::<(String, BTreeSet<String>)>::new();
        for pair in family.get_metric().iter().flat_map(|m| m.get_label()) {
            match labels.iter_mut().find(|(name, _)| name == pair.name()) {
                Some((_, values)) => drop(values.insert(pair.value().to_owned())),
                None => labels.push((
                    pair.name().to_owned(),
                    BTreeSet::from([pair.value().to_owned()]),
                )),
            }
        }
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, values)| match values.len() {
                1 => format!("`{name}`"),
                2..=12 => format!(
                    "`{name}`: {}",
                    values.iter().cloned().collect::<Vec<_>>().join(", ")
                ),
                n => format!("`{name}` ({n} values)"),
            })
            .collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        table += &format!(
            "| `{}` | {kind} | {} | {} |\n",
            family.name(),
            labels.join("; "),
            family.help()
        );
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))
        .unwrap_or_default();
    let Some(section) = readme.split("\n## Metrics").nth(1) else {
        return;
    };
    let section = section.split("\n## ").next().unwrap_or_default();
    let listed: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    let defined: BTreeSet<&str> = families
        .iter()
        .map(|f| f.name())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    assert_eq!(
        listed, defined,
        "the README's section Metrics must hold this table:\n\n{table}"
    );
}
