//! The binary, run as a user runs it.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

use std::io::Write;
use std::process::{Command, Output};

use tempfile::NamedTempFile;

/// Runs dockgate with no `DOCKGATE_…` variables but these.
fn dockgate(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOCKGATE_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_says_ok_and_who_reaches_what() {
    let output = dockgate(&["check"], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    assert!(text.starts_with("OK: "), "{text}");
    assert!(
        text.contains("mqtt 127.0.0.1:1883: reached by this machine only"),
        "{text}"
    );
    assert!(
        text.contains("http 127.0.0.1:9641: reached by this machine only"),
        "{text}"
    );
    assert_eq!(stderr(&output), "");
}

#[test]
fn check_reads_the_file_and_the_environment_and_warns_of_what_is_open() {
    let file = file(
        "[[listeners]]\nbind = \"0.0.0.0:1883\"\n[access]\nallow_anonymous = true\n\
         [uploads]\npolicy = \"observe\"\n",
    );
    let path = file.path().to_str().unwrap();
    let output = dockgate(
        &["check", "--config", path],
        &[("DOCKGATE_HTTP__BIND", "127.0.0.1:9999")],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    assert!(
        text.contains("mqtt 0.0.0.0:1883: reached by every machine"),
        "{text}"
    );
    assert!(text.contains("http 127.0.0.1:9999"), "{text}");
    assert!(text.contains("let through and counted"), "{text}");
    assert!(
        text.contains("warning: 0.0.0.0:1883 is open to anybody"),
        "{text}"
    );
}

#[test]
fn check_goes_by_its_other_names_too() {
    let expected = stdout(&dockgate(&["check"], &[]));
    assert_eq!(stdout(&dockgate(&["test-config"], &[])), expected);
    assert_eq!(stdout(&dockgate(&["--test-config"], &[])), expected);
    let file = file("[limits]\ninflight = 0\n");
    let path = file.path().to_str().unwrap();
    let output = dockgate(&["--test-config", "--config", path], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn wrong_settings_end_check_and_serve_with_2_and_every_problem() {
    let file = file("[limits]\nqueue_mesages = 1\ninflight = 0\n[listener]\nbind = 1\n");
    let path = file.path().to_str().unwrap();
    for arguments in [
        vec!["check", "--config", path],
        vec!["serve", "--config", path],
        vec!["--config", path],
    ] {
        let output = dockgate(&arguments, &[("DOCKGATE_HTTP__BIND", "nowhere")]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(stdout(&output), "");
        let text = stderr(&output);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        for part in [
            format!(
                "{path}:2: limits.queue_mesages: there is no such setting; did you mean limits.queue_messages?"
            ),
            format!("{path}:3: limits.inflight = 0: "),
            format!("{path}:4: listener: there is no such setting; did you mean listeners?"),
            "environment variable DOCKGATE_HTTP__BIND: http.bind = \"nowhere\": ".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} in {text}");
        }
    }
}

#[test]
fn an_unknown_variable_is_an_error() {
    let output = dockgate(&["check"], &[("DOCKGATE_HTTP_BIND", "127.0.0.1:0")]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = stderr(&output);
    assert!(text.contains("did you mean DOCKGATE_HTTP__BIND"), "{text}");
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let output = dockgate(&["check", "--config", "/nowhere/dockgate.toml"], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        stderr(&output).contains("/nowhere/dockgate.toml"),
        "{output:?}"
    );
}

#[test]
fn an_open_listener_without_leave_is_refused_with_the_reason() {
    let open = r#"[{protocol="mqtt",bind="0.0.0.0:0"}]"#;
    let output = dockgate(&["serve"], &[("DOCKGATE_LISTENERS", open)]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        stderr(&output).contains("access.allow_anonymous = true"),
        "{output:?}"
    );
}

#[test]
fn the_help_names_every_command() {
    let output = dockgate(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    for command in ["serve", "check", "demo", "--config", "--test-config"] {
        assert!(stdout(&output).contains(command), "{command}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    assert_eq!(dockgate(&["sevre"], &[]).status.code(), Some(2));
}
