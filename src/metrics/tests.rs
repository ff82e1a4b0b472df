use std::collections::BTreeSet;

use prometheus::proto::MetricType;

use super::*;
use crate::ledger::{Direction, Method, Modules, Observation, Observer, Outcome, ParseFailure, State};

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
        assert!(family.help().ends_with('.') && family.help().len() > 10, "{name}: help {:?}", family.help());
        let counter = family.get_field_type() == MetricType::COUNTER;
        assert_eq!(counter, name.ends_with("_total"), "{name}: counters and nothing else end in _total");
        if family.get_field_type() == MetricType::HISTOGRAM {
            assert!(name.ends_with("_seconds") || name.ends_with("_bytes"), "{name}: base unit");
        }
    }
}

#[test]
fn every_series_of_a_label_is_there_at_zero_from_the_start() {
    let text = text(&Metrics::new());
    for reason in Drop::ALL {
        let series = format!("dockgate_dropped_total{{reason=\"{}\"}} 0\n", reason.as_str());
        assert!(text.contains(&series), "{series}");
    }
    for version in ["3.1", "3.1.1", "5"] {
        assert!(text.contains(&format!("dockgate_connections{{protocol=\"{version}\"}} 0\n")), "{version}");
    }
    assert!(text.contains(concat!("dockgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n")));
}

#[test]
fn counts_arrive_at_the_series_of_their_label() {
    let metrics = Metrics::new();
    metrics.connected(Version::V5);
    metrics.connected(Version::V5);
    metrics.disconnected(Version::V5, Disconnect::KeepAlive);
    metrics.received(Qos::from_wire(1), 3, 500);
    metrics.dropped(Drop::QueueFullQos0, 7);
    metrics.set_sessions(SessionState::Offline, 1);
    metrics.set_queued(3, 60);
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

#[test]
fn every_observation_counts_at_the_series_of_its_labels_and_nowhere_else() {
    let mode = State::Active;
    let direction = Direction::Up;
    let cases: &[(Observation, &str)] = &[
        (
            Observation::Message { method: Method::Progress, direction },
            "hook_messages_total{direction=\"up\",method=\"fileupload_progress\"}",
        ),
        (
            Observation::Message { method: Method::Start, direction: Direction::Down },
            "hook_messages_total{direction=\"down\",method=\"fileupload_start\"}",
        ),
        (Observation::ParseFailure { kind: ParseFailure::Syntax }, "hook_parse_failures_total{kind=\"syntax\"}"),
        (Observation::UnknownMethod, "hook_unknown_methods_total"),
        (Observation::NotAllowed { direction }, "hook_not_allowed_total{direction=\"up\"}"),
        (Observation::Started, "uploads_started_total"),
        (Observation::Refused { reason: mode }, "uploads_refused_total{reason=\"active\"}"),
        (Observation::WouldRefuse { reason: mode }, "uploads_would_refuse_total{reason=\"active\"}"),
        (Observation::Retry, "upload_retries_total"),
        (Observation::Duplicate, "upload_duplicates_total"),
        (Observation::Adopted, "uploads_adopted_total"),
        (Observation::Late, "upload_late_events_total"),
        (Observation::Unmatched, "upload_unmatched_total"),
        (
            Observation::Ended { outcome: Outcome::Stalled, modules: Modules::Both },
            "uploads_ended_total{module=\"both\",outcome=\"stalled\"}",
        ),
        (Observation::ResultCode(0), "upload_result_codes_total{code=\"0\"}"),
        (Observation::ResultCode(325_009), "upload_result_codes_total{code=\"325009\"}"),
        (Observation::ResultCode(325_012), "upload_result_codes_total{code=\"325012\"}"),
        (Observation::ResultCode(325_013), "upload_result_codes_total{code=\"other\"}"),
        (Observation::ResultCode(i64::MIN), "upload_result_codes_total{code=\"other\"}"),
        (Observation::UploadDuration(90_000), "upload_duration_seconds_count"),
        (Observation::FileSize(1 << 40), "upload_file_size_bytes_count"),
        (Observation::GatewayMismatch, "gateway_mismatches_total"),
        (Observation::UnknownStatusWord, "upload_unknown_status_total"),
        (Observation::BadGateway, "bad_gateways_total"),
        (Observation::GatewaysEvicted, "gateways_evicted_total"),
        (Observation::GatewaysFull, "gateways_full_total"),
    ];
    for (observation, series) in cases {
        let metrics = Metrics::new();
        metrics.observe(observation);
        let text = text(&metrics);
        let counted: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(PREFIX)?.strip_suffix(" 1"))
            .filter(|series| !series.starts_with("build_info") && !series.contains("_bucket{"))
            .collect();
        assert_eq!(counted, [*series], "{observation:?}");
    }
}

#[test]
fn every_label_value_stands_at_its_own_place() {
    fn check<L: Label>() {
        let values: BTreeSet<&str> = L::ALL.iter().map(|value| value.as_str()).collect();
        assert_eq!(values.len(), L::ALL.len(), "{values:?}");
        assert!(L::ALL.iter().enumerate().all(|(place, value)| value.index() == place), "{values:?}");
    }
    check::<Version>();
    check::<Drop>();
    check::<Disconnect>();
    check::<ConnectRefusal>();
    check::<ProtocolFault>();
    check::<AuthFailure>();
    check::<Method>();
    check::<Direction>();
    check::<ParseFailure>();
    check::<State>();
    check::<Outcome>();
    check::<Modules>();
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
                None => labels.push((pair.name().to_owned(), BTreeSet::from([pair.value().to_owned()]))),
            }
        }
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, values)| match values.len() {
                1 => format!("`{name}`"),
                2..=14 => format!("`{name}`: {}", values.iter().cloned().collect::<Vec<_>>().join(", ")),
                n => format!("`{name}` ({n} values)"),
            })
            .collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        table += &format!("| `{}` | {kind} | {} | {} |\n", family.name(), labels.join("; "), family.help());
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap_or_default();
    let section = readme.split("\n## Metrics").nth(1).expect("README.md has a section Metrics");
    let section = section.split("\n## ").next().unwrap_or_default();
    let listed: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    let defined: BTreeSet<&str> = families.iter().map(|f| f.name()).filter(|name| name.starts_with(PREFIX)).collect();
    assert_eq!(listed, defined, "the README's section Metrics must hold this table:\n\n{table}");
}
