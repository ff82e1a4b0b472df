//! The settings: a TOML file and environment variables, from `Settings::load_from`.
//!
//! Whatever they hold, they are read or refused without a panic; a refusal says for every problem where it is and what to
//! do, on one line of bounded length, and without the control characters that somebody may have put there.

use dockgate::config::{Place, Settings};

use super::scratch::with_file;

/// Longest line about one problem. What was given is shown up to 80 characters of it, and a key as it is; a variable's name is
/// its key again.
const LINE: usize = 2_000;

/// The file, and after each zero byte a variable: name, `=`, value.
pub(crate) fn run(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let variables: Vec<(String, String)> = parts.take(4).filter_map(variable).collect();
    let loaded = with_file(text, |path| Settings::load_from(Some(path), variables));
    match loaded {
        Ok(loaded) => {
            assert!(!loaded.settings.listeners.is_empty() && loaded.settings.limits.max_packet_size > 0);
        }
        Err(error) => {
            assert!(!error.problems().is_empty(), "refused without a reason");
            for problem in error.problems() {
                let line = problem.to_string();
                assert!(line.len() <= LINE + 2 * problem.key.len(), "{} bytes: {line}", line.len());
                assert!(!line.contains(char::is_control), "{line:?}");
                assert!(!problem.fault.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
                if let Place::File(_, Some(at)) = problem.place {
                    assert!(at >= 1 && at <= 1 + text.iter().filter(|byte| **byte == b'\n').count(), "{line}");
                }
            }
        }
    }
}

fn variable(part: &[u8]) -> Option<(String, String)> {
    let (name, value) = std::str::from_utf8(part).ok()?.split_once('=')?;
    Some((format!("DOCKGATE_{name}"), value.to_owned()))
}
