//! The settings as a user gives them: the file, the environment, and what is said when they are wrong.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dockgate::config::{LogFormat, Place, Policy, Scope, Settings, SettingsError};

fn from_environment(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    load(None, variables)
}

fn load(file: Option<&Path>, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load_from(
        file,
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
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

fn documented_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dockgate.toml")
}

/// The dotted paths of all settings of a serialised tree.
fn keys(value: &serde_json::Value, prefix: &str, into: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let path = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                keys(value, &path, into);
            }
        }
        serde_json::Value::Array(elements) if !elements.is_empty() => {
            for element in elements {
                keys(element, prefix, into);
            }
        }
        _ => {
            into.insert(prefix.to_owned());
        }
    }
}

fn keys_of_defaults() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    keys(&defaults, "", &mut found);
    found
}

#[test]
fn without_file_and_environment_the_defaults_apply() {
    assert_eq!(from_environment(&[]).unwrap(), Settings::default());
    assert_eq!(Settings::default().validate(), Ok(()));
    assert_eq!(Settings::default().warnings(), Vec::<String>::new());
}

#[test]
fn the_documented_file_parses_to_the_defaults() {
    assert_eq!(
        load(Some(&documented_file()), &[]).unwrap(),
        Settings::default()
    );
}

#[test]
fn the_documented_file_names_every_setting_and_says_something_about_it() {
    let text = std::fs::read_to_string(documented_file()).unwrap();
    let mut section = String::new();
    let mut named = BTreeSet::new();
    let mut previous = "";
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
            assert!(previous.starts_with('#'), "{line} is not explained");
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            assert!(
                previous.starts_with('#'),
                "{section}.{key} is not explained"
            );
            named.insert(format!("{section}.{key}"));
        }
        previous = line;
    }
    assert_eq!(named, keys_of_defaults());
}

#[test]
fn the_readme_lists_exactly_the_settings_that_exist_with_their_defaults() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let table = readme
        .split_once("<!-- settings -->")
        .and_then(|(_, rest)| rest.split_once("<!-- /settings -->"))
        .expect("the markers of the table of settings")
        .0;
    let mut listed = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row
            .split(" | ")
            .map(|cell| cell.trim_matches(['|', ' ', '`']))
            .collect();
        let (key, default) = (cells[0], cells[1]);
        listed.insert(key.to_owned());
        // What the table gives as the default must load, and change nothing.
        let (section, name) = key.split_once('.').unwrap();
        let text = if section == "listeners" {
            "[[listeners]]\nprotocol = \"mqtt\"\nbind = \"127.0.0.1:1883\"\n".to_owned()
        } else {
            format!("[{section}]\n{name} = {default}\n")
        };
        assert!(text.contains(&format!("{name} = {default}")), "{row}");
        assert_eq!(from_file(&text, &[]).unwrap(), Settings::default(), "{row}");
    }
    assert_eq!(listed, keys_of_defaults());
}

#[test]
fn the_file_wins_over_the_defaults_and_the_environment_over_the_file() {
    let text = "[limits]\nqueue_messages = 7\ninflight = 8\n[http]\nbind = \"127.0.0.1:1\"\n";
    let settings = from_file(text, &[("DOCKGATE_LIMITS__QUEUE_MESSAGES", "5")]).unwrap();
    assert_eq!(settings.limits.queue_messages, 5);
    assert_eq!(settings.limits.inflight, 8);
    assert_eq!(settings.http.bind.port(), 1);
    assert_eq!(
        settings.limits.sessions,
        Settings::default().limits.sessions
    );
}

#[test]
fn every_kind_of_setting_can_come_from_the_environment() {
    let settings = from_environment(&[
        ("DOCKGATE_HTTP__BIND", "[::1]:0"),
        ("DOCKGATE_ACCESS__ALLOW_ANONYMOUS", "true"),
        ("DOCKGATE_UPLOADS__POLICY", "observe"),
        ("DOCKGATE_UPLOADS__SCOPE", "module"),
        ("DOCKGATE_UPLOADS__REPLY_TIMEOUT", "1m 30s"),
        ("DOCKGATE_LIMITS__MAX_PACKET_SIZE", "1 MiB"),
        ("DOCKGATE_LIMITS__QUEUE_BYTES", "2097152"),
        ("DOCKGATE_LOG__LEVEL", "info,dockgate::mqtt=debug"),
        ("DOCKGATE_LOG__FORMAT", "json"),
        (
            "DOCKGATE_LISTENERS",
            r#"[{protocol="mqtt",bind="127.0.0.1:0"}, {bind="[::]:1884"}]"#,
        ),
    ])
    .unwrap();
    assert_eq!(settings.http.bind.to_string(), "[::1]:0");
    assert!(settings.access.allow_anonymous);
    assert_eq!(settings.uploads.policy, Policy::Observe);
    assert_eq!(settings.uploads.scope, Scope::Module);
    assert_eq!(settings.uploads.reply_timeout, Duration::from_secs(90));
    assert_eq!(settings.limits.max_packet_size, 1 << 20);
    assert_eq!(settings.limits.queue_bytes, 2 << 20);
    assert_eq!(settings.log.level, "info,dockgate::mqtt=debug");
    assert_eq!(settings.log.format, LogFormat::Json);
    let addresses: Vec<_> = settings
        .listeners
        .iter()
        .map(|listener| listener.bind.to_string())
        .collect();
    assert_eq!(addresses, ["127.0.0.1:0", "[::]:1884"]);
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
        (
            "dockgate.toml:2: http.bind = \"localhost\": ",
            "127.0.0.1:1883",
        ),
        (
            "dockgate.toml:4: limits.inflight = 0: ",
            "least that makes sense is 1",
        ),
        (
            "dockgate.toml:5: limits.queue_mesages: ",
            "did you mean limits.queue_messages?",
        ),
        (
            "dockgate.toml:6: limits.receive_maximum = 70000: ",
            "0 to 65535",
        ),
        (
            "dockgate.toml:8: uploads.policy = \"enfroce\": ",
            "did you mean \"enforce\"?",
        ),
        ("dockgate.toml:9: uploads.reply_timeout = 15: ", "\"15s\""),
        (
            "dockgate.toml:11: log.level = \"inof\": ",
            "give error, warn, info",
        ),
        (
            "environment variable DOCKGATE_UPLOADS__STALL_TIMEOUT: uploads.stall_timeout = 0s: ",
            "least that makes sense is 1ms",
        ),
    ];
    for (start, part) in expected {
        assert!(
            problems
                .iter()
                .any(|problem| problem.starts_with(start) && problem.contains(part)),
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
    for name in [
        "DOCKGATE_HTTP__",
        "DOCKGATE___BIND",
        "DOCKGATE_LIMITS__INFLIGHT__X",
        "DOCKGATE_É",
    ] {
        let problems = problems("", &[(name, "1")]);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains(name), "{problems:#?}");
    }
}

#[test]
fn a_section_given_as_a_value_is_told_what_belongs_in_it() {
    assert_only_problem(
        "http = \"127.0.0.1:80\"\n",
        &[],
        &["http = ", "give http.bind"],
    );
}

#[test]
fn a_listener_with_mistakes_is_told_each_of_them() {
    let text = "\
[[listeners]]
bind = \"127.0.0.1:1883\"

[[listeners]]
protocol = \"mqqt\"
bnd = \"127.0.0.1:1884\"
";
    let problems = problems(text, &[]);
    let expected = [
        ("dockgate.toml:4: listeners[1].bind: ", "no address"),
        (
            "dockgate.toml:5: listeners[1].protocol = \"mqqt\": ",
            "did you mean \"mqtt\"?",
        ),
        ("dockgate.toml:6: listeners[1].bnd: ", "did you mean bind?"),
    ];
    for (start, part) in expected {
        assert!(
            problems
                .iter()
                .any(|problem| problem.starts_with(start) && problem.contains(part)),
            "{start} … {part} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn listeners_must_be_a_list_with_something_in_it() {
    assert_only_problem(
        "listeners = \"127.0.0.1:1\"\n",
        &[],
        &["listeners = ", "[[listeners]]"],
    );
    assert_only_problem(
        "listeners = []\n",
        &[],
        &["listeners = []", "nobody could connect"],
    );
    assert_only_problem(
        "",
        &[("DOCKGATE_LISTENERS__0__BIND", "127.0.0.1:1")],
        &[
            "environment variable DOCKGATE_LISTENERS__0__BIND: listeners = ",
            "[[listeners]]",
        ],
    );
}

#[test]
fn a_listener_that_others_can_reach_needs_leave_for_anonymous_clients() {
    for address in ["0.0.0.0:1883", "[::]:1883", "192.0.2.1:1883"] {
        let text = format!("[[listeners]]\nbind = \"{address}\"\n");
        assert_only_problem(
            &text,
            &[],
            &[
                "dockgate.toml:2: listeners[0].bind",
                "access.allow_anonymous = true",
            ],
        );
        let text = format!("{text}[access]\nallow_anonymous = true\n");
        let settings = from_file(&text, &[]).unwrap();
        let warnings = settings.warnings();
        assert!(warnings[0].contains(address), "{warnings:?}");
    }
    for address in [
        "127.0.0.1:1883",
        "127.8.8.8:1883",
        "[::1]:1883",
        "[::ffff:127.0.0.1]:1883",
    ] {
        let text = format!("[[listeners]]\nbind = \"{address}\"\n");
        assert!(from_file(&text, &[]).is_ok(), "{address}");
    }
}

#[test]
fn two_sockets_cannot_take_one_address() {
    for (listeners, http) in [
        (vec!["127.0.0.1:1883", "127.0.0.1:1883"], "127.0.0.1:9641"),
        (vec!["0.0.0.0:1883", "127.0.0.1:1883"], "127.0.0.1:9641"),
        (vec!["[::]:1883", "127.0.0.1:1883"], "127.0.0.1:9641"),
        (vec!["127.0.0.1:9641"], "127.0.0.1:9641"),
        (vec!["127.0.0.1:9641"], "0.0.0.0:9641"),
    ] {
        let mut text = format!("[access]\nallow_anonymous = true\n[http]\nbind = \"{http}\"\n");
        for address in &listeners {
            text.push_str(&format!("[[listeners]]\nbind = \"{address}\"\n"));
        }
        assert_only_problem(&text, &[], &["takes the same address", "its own port"]);
    }
    let free = "[http]\nbind = \"127.0.0.1:0\"\n\
                [[listeners]]\nbind = \"127.0.0.1:0\"\n[[listeners]]\nbind = \"127.0.0.1:0\"\n\
                [[listeners]]\nbind = \"127.0.0.2:1883\"\n[[listeners]]\nbind = \"127.0.0.1:1883\"\n";
    assert!(from_file(free, &[]).is_ok());
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
        assert_only_problem(
            &format!("{key} = {value}\n"),
            &[],
            &["dockgate.toml:1: ", &format!("{key} = ")],
        );
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
