//! The settings as a user gives them: the file, the environment, and what is said when they are wrong.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

mod access;
mod documents;
mod listeners;
mod object_store;
mod warnings;

use std::path::Path;
use std::time::Duration;

use dockgate::config::{Loaded, LogFormat, Place, Policy, Problem, Scope, SerialNumber, Settings, SettingsError};

fn from_environment(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    load(None, variables)
}

fn load(file: Option<&Path>, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    load_all(file, variables).map(|loaded| loaded.settings)
}

fn load_all(file: Option<&Path>, variables: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
    Settings::load_from(file, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// Loads this text as the file `dockgate.toml` of a directory of its own.
fn from_file(text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dockgate.toml");
    std::fs::write(&file, text).unwrap();
    load(Some(&file), variables)
}

/// The problems of this text, without the directory that the file was in.
fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let error = from_file(text, variables).unwrap_err();
    error
        .to_string()
        .lines()
        .map(|line| match line.find("dockgate.toml") {
            Some(start) if line.starts_with('/') => line[start..].to_owned(),
            _ => line.to_owned(),
        })
        .collect()
}

#[track_caller]
fn assert_only_problem(text: &str, variables: &[(&str, &str)], parts: &[&str]) {
    let problems = problems(text, variables);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    for part in parts {
        assert!(problems[0].contains(part), "{part:?} in {problems:#?}");
    }
}

#[test]
fn without_file_and_environment_the_defaults_apply() {
    assert_eq!(from_environment(&[]).unwrap(), Settings::default());
    assert_eq!(Settings::default().validate(), Ok(()));
    assert_eq!(load_all(None, &[]).unwrap().warnings, Vec::<Problem>::new());
}

#[test]
fn the_file_wins_over_the_defaults_and_the_environment_over_the_file() {
    let text = "[limits]\nqueue_messages = 7\ninflight = 8\n[http]\nbind = \"127.0.0.1:1\"\n";
    let settings = from_file(text, &[("DOCKGATE_LIMITS__QUEUE_MESSAGES", "5")]).unwrap();
    assert_eq!(settings.limits.queue_messages, 5);
    assert_eq!(settings.limits.inflight, 8);
    assert_eq!(settings.http.bind.port(), 1);
    assert_eq!(settings.limits.sessions, Settings::default().limits.sessions);
}

#[test]
fn every_kind_of_setting_can_come_from_the_environment() {
    let settings = from_environment(&[
        ("DOCKGATE_HTTP__BIND", "[::1]:0"),
        ("DOCKGATE_ACCESS__ALLOW_ANONYMOUS", "true"),
        ("DOCKGATE_ACCESS__PASSWORD_FILE", "secrets/passwd"),
        ("DOCKGATE_ACCESS__SERIAL_NUMBER", "client_id"),
        ("DOCKGATE_ACCESS__ROLES__DOCK", r#"["dock-*", "1ZNBJ7R0010078"]"#),
        ("DOCKGATE_UPLOADS__POLICY", "observe"),
        ("DOCKGATE_UPLOADS__SCOPE", "module"),
        ("DOCKGATE_UPLOADS__REPLY_TIMEOUT", "1m 30s"),
        ("DOCKGATE_LIMITS__MAX_PACKET_SIZE", "1 MiB"),
        ("DOCKGATE_LIMITS__QUEUE_BYTES", "2097152"),
        ("DOCKGATE_LOG__LEVEL", "info,dockgate::mqtt=debug"),
        ("DOCKGATE_LOG__FORMAT", "json"),
        ("DOCKGATE_LISTENERS", r#"[{protocol="mqtt",bind="127.0.0.1:0"}, {bind="[::]:1884"}]"#),
    ])
    .unwrap();
    assert_eq!(settings.http.bind.to_string(), "[::1]:0");
    assert!(settings.access.allow_anonymous);
    assert_eq!(settings.access.password_file.as_deref(), Some(Path::new("secrets/passwd")));
    assert_eq!(settings.access.serial_number, SerialNumber::ClientId);
    assert_eq!(settings.access.roles.dock, ["dock-*", "1ZNBJ7R0010078"]);
    assert_eq!(settings.uploads.policy, Policy::Observe);
    assert_eq!(settings.uploads.scope, Scope::Module);
    assert_eq!(settings.uploads.reply_timeout, Duration::from_secs(90));
    assert_eq!(settings.limits.max_packet_size, 1 << 20);
    assert_eq!(settings.limits.queue_bytes, 2 << 20);
    assert_eq!(settings.log.level, "info,dockgate::mqtt=debug");
    assert_eq!(settings.log.format, LogFormat::Json);
    let addresses: Vec<_> = settings.listeners.iter().map(|listener| listener.bind.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:0", "[::]:1884"]);
}

#[test]
fn a_problem_shows_only_the_beginning_of_what_was_given() {
    let long = "x".repeat(10_000);
    for text in [
        format!("log.level = \"{long}\"\n"),
        format!("uploads.policy = \"{long}\"\n"),
        format!("access.roles = {{ dock = [\"{long}\"], observer = [\"{long}\"] }}\n"),
        format!("listeners = [{{ bind = \"127.0.0.1:1\", origins = [\"https://{long}\"] }}]\n"),
        format!("listeners = [{{ bind = \"127.0.0.1:1\", protocol = \"ws\", origins = [\"{long}\"] }}]\n"),
    ] {
        let problems = problems(&text, &[]);
        assert!(problems.len() == 1 && problems[0].len() < 600 && problems[0].contains("xx…"), "{problems:#?}");
    }
}

#[test]
fn variables_of_others_and_those_that_kubernetes_makes_for_a_service_are_ignored() {
    let settings = from_environment(&[
        ("PATH", "/bin"),
        ("RUST_LOG", "trace"),
        ("DOCKGATE_SERVICE_HOST", "10.0.0.1"),
        ("DOCKGATE_SERVICE_PORT", "1883"),
        ("DOCKGATE_SERVICE_PORT_MQTT", "1883"),
        ("DOCKGATE_PORT", "tcp://10.0.0.1:1883"),
        ("DOCKGATE_PORT_1883_TCP", "tcp://10.0.0.1:1883"),
        ("DOCKGATE_PORT_1883_TCP_ADDR", "10.0.0.1"),
    ]);
    assert_eq!(settings.unwrap(), Settings::default());
}

#[test]
fn all_problems_are_reported_at_once_each_with_its_key_place_value_and_remedy() {
    let text = "\
[http]
bind = \"localhost\"
[limits]
inflight = 0
queue_mesages = 5
receive_maximum = 70000
[uploads]
policy = \"enfroce\"
reply_timeout = 15
[log]
level = \"inof\"
";
    let problems = problems(text, &[("DOCKGATE_UPLOADS__STALL_TIMEOUT", "0s")]);
    let expected = [
        ("dockgate.toml:2: http.bind = \"localhost\": ", "127.0.0.1:1883"),
        ("dockgate.toml:4: limits.inflight = 0: ", "least that makes sense is 1"),
        ("dockgate.toml:5: limits.queue_mesages: ", "did you mean limits.queue_messages?"),
        ("dockgate.toml:6: limits.receive_maximum = 70000: ", "0 to 65535"),
        ("dockgate.toml:8: uploads.policy = \"enfroce\": ", "did you mean \"enforce\"?"),
        ("dockgate.toml:9: uploads.reply_timeout = 15: ", "\"15s\""),
        ("dockgate.toml:11: log.level = \"inof\": ", "give error, warn, info"),
        (
            "environment variable DOCKGATE_UPLOADS__STALL_TIMEOUT: uploads.stall_timeout = 0s: ",
            "least that makes sense is 1ms",
        ),
    ];
    for (start, part) in expected {
        assert!(
            problems.iter().any(|problem| problem.starts_with(start) && problem.contains(part)),
            "{start} … {part} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn the_error_can_be_read_by_a_program_too() {
    let error = from_environment(&[("DOCKGATE_LIMITS__INFLIGHT", "0")]).unwrap_err();
    let [problem] = error.problems() else {
        panic!("{error}");
    };
    assert_eq!(problem.key, "limits.inflight");
    assert_eq!(problem.given.as_deref(), Some("0"));
    let variable = "DOCKGATE_LIMITS__INFLIGHT".to_owned();
    assert_eq!(problem.place, Place::Environment(variable));
}

#[test]
fn a_file_that_is_missing_is_named() {
    let error = load(Some(Path::new("/nowhere/dockgate.toml")), &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("/nowhere/dockgate.toml: "), "{text}");
    assert!(text.contains("--config"), "{text}");
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_line() {
    assert_only_problem("[http]\nbind 1\n", &[], &["dockgate.toml:2: ", "not TOML"]);
    assert_only_problem(
        "[http]\nbind = \"127.0.0.1:1\"\nbind = \"127.0.0.1:2\"\n",
        &[],
        &["dockgate.toml:3: ", "not TOML"],
    );
}

#[test]
fn an_unknown_section_is_reported_once_with_its_neighbour() {
    assert_only_problem(
        "[upload]\npolicy = \"observe\"\nscope = \"module\"\n",
        &[],
        &["dockgate.toml:1: upload: ", "did you mean uploads?"],
    );
}

#[test]
fn an_unknown_variable_is_told_the_variable_that_was_meant() {
    for name in ["DOCKGATE_HTTP_BIND", "DOCKGATE_BIND", "DOCKGATE_HTTP__BNID"] {
        assert_only_problem("", &[(name, "127.0.0.1:0")], &[name, "DOCKGATE_HTTP__BIND"]);
    }
}

#[test]
fn variables_with_odd_names_are_unknown_settings() {
    for name in ["DOCKGATE_HTTP__", "DOCKGATE___BIND", "DOCKGATE_LIMITS__INFLIGHT__X", "DOCKGATE_É"] {
        let problems = problems("", &[(name, "1")]);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains(name), "{problems:#?}");
    }
}

#[test]
fn a_section_given_as_a_value_is_told_what_belongs_in_it() {
    assert_only_problem("http = \"127.0.0.1:80\"\n", &[], &["http = ", "give http.bind"]);
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    for (key, value) in [
        ("uploads.conflict_result", "0"),
        ("uploads.conflict_result", "3000000000"),
        ("uploads.reply_timeout", "\"0s\""),
        ("uploads.cancel_timeout", "\"0s\""),
        ("uploads.stall_timeout", "\"0s\""),
        ("uploads.offline_grace", "\"0s\""),
        ("uploads.stall_timeout", "\"1y\""),
        ("uploads.history_per_gateway", "0"),
        ("uploads.history_total", "19"),
        ("uploads.max_gateways", "0"),
        ("limits.connections", "0"),
        ("limits.connect_timeout", "\"0s\""),
        ("limits.write_timeout", "\"0s\""),
        ("limits.keep_alive_max", "65536"),
        ("limits.max_packet_size", "255"),
        ("limits.max_packet_size", "268435456"),
        ("limits.max_packet_size", "\"4 GiB\""),
        ("limits.max_packet_size", "-1"),
        ("limits.client_id_length", "22"),
        ("limits.client_id_length", "65536"),
        ("limits.topic_length", "0"),
        ("limits.topic_levels", "0"),
        ("limits.subscriptions_per_session", "0"),
        ("limits.user_properties", "1000000"),
        ("limits.inflight", "0"),
        ("limits.receive_maximum", "0"),
        ("limits.topic_alias_maximum", "65536"),
        ("limits.queue_messages", "0"),
        ("limits.queue_messages", "-1"),
        ("limits.queue_bytes", "\"1 MiB\""),
        ("limits.queue_bytes_total", "\"15 MiB\""),
        ("limits.queue_bytes_total", "\"2000 GiB\""),
        ("limits.connections_per_address", "1_000_001"),
        ("limits.messages_per_second", "-1"),
        ("limits.bytes_per_second", "\"4 GiB\""),
        ("limits.session_expiry_max", "\"0s\""),
        ("limits.session_expiry_max", "\"200y\""),
        ("limits.sessions", "0"),
        ("limits.retained_messages", "0"),
        ("limits.retained_bytes", "0"),
        ("limits.wildcard_filters", "0"),
        ("access.allow_anonymous", "\"yes\""),
        ("log.level", "\"\""),
        ("log.format", "\"xml\""),
    ] {
        assert_only_problem(&format!("{key} = {value}\n"), &[], &["dockgate.toml:1: ", &format!("{key} = ")]);
    }
}

#[test]
fn limits_at_their_bounds_are_accepted() {
    for (key, value) in [
        ("limits.max_packet_size", "256"),
        ("limits.max_packet_size", "\"16 MiB\""),
        ("limits.keep_alive_max", "65535"),
        ("limits.user_properties", "0"),
        ("limits.topic_alias_maximum", "0"),
        ("limits.inflight", "65535"),
        ("limits.queue_messages", "1"),
        ("limits.queue_bytes", "4194304"),
        ("limits.queue_bytes_total", "\"16 MiB\""),
        ("limits.connections_per_address", "0"),
        ("limits.messages_per_second", "0"),
        ("limits.bytes_per_second", "\"1 KiB\""),
        ("uploads.conflict_result", "-1"),
        ("uploads.reply_timeout", "\"1ms\""),
        ("uploads.history_total", "20"),
    ] {
        let loaded = from_file(&format!("{key} = {value}\n"), &[]);
        assert!(loaded.is_ok(), "{key} = {value}: {loaded:?}");
    }
}

#[test]
fn settings_that_a_program_made_are_checked_the_same_way() {
    let mut settings = Settings::default();
    settings.limits.inflight = 0;
    settings.uploads.reply_timeout = Duration::ZERO;
    let error = settings.validate().unwrap_err();
    let keys: Vec<_> = error.problems().iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["uploads.reply_timeout", "limits.inflight"]);
}
