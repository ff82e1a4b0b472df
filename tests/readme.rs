//! What the README shows works as it is shown.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

use dockgate::config::Settings;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The blocks of the README in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&format!("\n```{language}\n")) {
        let (block, after) = after.split_once("\n```\n").expect("a block ends");
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

#[test]
fn every_settings_file_that_is_shown_can_be_read() {
    let blocks = blocks(&readme(), "toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dockgate.toml");
        std::fs::write(&file, &block).unwrap();
        if let Err(problems) = Settings::load_from(Some(&file), []) {
            panic!("{problems}\nin:\n{block}");
        }
    }
}

/// Settings, certificate and passwords of the first example, made with the commands beside it.
#[test]
fn the_broker_for_docks_on_other_machines_can_be_set_up_as_shown() {
    let readme = readme();
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dockgate"))
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    };
    std::fs::write(folder.path().join("dockgate.toml"), &blocks(&readme, "toml")[0]).unwrap();
    let certified = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    std::fs::write(folder.path().join("fullchain.pem"), certified.cert.pem()).unwrap();
    std::fs::write(folder.path().join("privkey.pem"), certified.signing_key.serialize_pem()).unwrap();
    let commands: Vec<_> =
        blocks(&readme, "sh").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let passwd: Vec<_> = commands.iter().filter(|line| line.starts_with("target/release/dockgate passwd")).collect();
    assert_eq!(passwd.len(), 2, "{passwd:?}");
    for line in passwd {
        let words: Vec<_> = line.split('#').next().unwrap().split_whitespace().skip(1).collect();
        run(&words, "a password\n");
    }
    let told = run(&["check", "--config", "dockgate.toml"], "");
    assert!(told.starts_with("OK"), "{told}");
    assert!(
        told.contains("mqtts 0.0.0.0:8883: reached by every machine that can reach this one, with a password"),
        "{told}"
    );
    // What is sensible does not make check complain, but for the certificate, which nobody else has signed.
    let warnings: Vec<_> = told.lines().filter(|line| line.starts_with("warning")).collect();
    assert!(
        warnings.iter().all(|line| line.contains("fullchain.pem")
            || line.contains("privkey.pem")
            || line.contains("open allow only")),
        "{told}"
    );
}

/// The words of every line in the README's shell blocks that runs dockgate.
fn commands() -> Vec<Vec<String>> {
    let readme = readme();
    let lines = ["sh", "console"].map(|language| blocks(&readme, language).join("\n")).join("\n").replace("\\\n", " ");
    let lines = lines.lines().flat_map(|line| line.split("&&")).map(|line| line.trim().trim_start_matches("$ "));
    let words = lines.filter_map(|line| {
        let line = line.split(" #").next()?.split(" > ").next()?;
        let arguments = line.strip_prefix("target/release/dockgate").or_else(|| line.strip_prefix("dockgate"))?;
        Some(arguments.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect())
    });
    words.collect()
}

#[test]
fn every_command_that_is_shown_has_the_arguments_that_there_are() {
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    for arguments in commands {
        // It says what it would do, unless it does not know an argument before that.
        let output = Command::new(env!("CARGO_BIN_EXE_dockgate")).args(&arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
