//! Completions and manual pages.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{dockgate, printed, stderr};

/// The names of the commands that `--help` lists, those below this one.
fn commands(of: &[&str]) -> Vec<String> {
    let help = printed(&[of, &["--help"]].concat());
    let list = help.split_once("Commands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap()).unwrap_or_default();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

#[test]
fn every_shell_is_told_every_command() {
    let commands = commands(&[]);
    for wanted in ["serve", "check", "passwd", "health", "completions", "man"] {
        assert!(commands.iter().any(|command| command == wanted), "{wanted} in {commands:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = printed(&["completions", shell]);
        for command in &commands {
            assert!(text.contains(command.as_str()), "{shell} is not told of {command}");
        }
    }
    let output = dockgate(&["completions", "cmd"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("bash"), "it says what it knows: {}", stderr(&output));
}

#[test]
fn bash_completes_with_them() {
    let script = printed(&["completions", "bash"])
        + "\nCOMP_WORDS=(dockgate hea); COMP_CWORD=1; _dockgate dockgate hea dockgate; echo \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "health");
}

#[test]
fn there_is_a_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("new/man1");
    printed(&["man", pages.to_str().unwrap()]);
    let page =
        |name: &str| std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let first = page("dockgate");
    assert_eq!(printed(&["man"]), first, "without a folder it is printed");
    for command in commands(&[]) {
        let name = format!("dockgate-{command}");
        // A hyphen is \- in roff.
        assert!(first.contains(&name.replace('-', "\\-")), "dockgate(1) does not name {name}");
        assert!(page(&name).contains(".SH"), "{name}");
        for below in commands(&[&command]) {
            page(&format!("{name}-{below}"));
        }
    }
    assert!(!pages.join("dockgate-help.1").exists(), "help needs no page");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_a_remedy() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = dockgate(&["man", file.path().to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(file.path().to_str().unwrap()) && said.contains("name a folder"), "{said}");
}
