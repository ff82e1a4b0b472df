//! What is installed beside the binary fits it: completions, manual pages, the Debian package, the unit for systemd, the
//! container image, and the command with which the last two ask whether the broker is well.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

#[path = "../common/mod.rs"]
mod common;
mod debian;
mod docker;
mod health;
mod pages;
mod systemd;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where the broker keeps its data and its settings when it is installed.
const DATA: &str = "/var/lib/dockgate";
const SETTINGS: &str = "/etc/dockgate/dockgate.toml";

/// A file of the repository.
fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Its text.
fn text(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// dockgate with no `DOCKGATE_…` variables but these.
fn dockgate(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOCKGATE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

/// What it prints, where nothing may go wrong.
#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = dockgate(arguments, &[]);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs an installed command line as `check`: with the settings from this folder, and ports and data that are free.
#[track_caller]
fn checked(command: &[&str], folder: &Path) -> Output {
    let ["serve", "--config", SETTINGS] = command else { panic!("{command:?} does not serve with {SETTINGS}") };
    let (file, data) = (folder.join("dockgate.toml"), folder.join("data"));
    let variables = [
        ("DOCKGATE_DATA_DIR", data.to_str().unwrap()),
        ("DOCKGATE_LISTENERS", r#"[{protocol="mqtt",bind="127.0.0.1:0"}]"#),
        ("DOCKGATE_HTTP__BIND", "127.0.0.1:0"),
    ];
    dockgate(&["check", "--config", file.to_str().unwrap()], &variables)
}

/// A settings file with its examples uncommented. Explanations have a space after the #.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}
