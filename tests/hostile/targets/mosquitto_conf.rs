//! A `mosquitto.conf` that is imported.
//!
//! Whatever it says, what comes out is TOML with settings that exist, and it can be read in a terminal.

use dockgate::config::Settings;
use dockgate::import;

use super::scratch::with_file;

pub(crate) fn run(text: &[u8]) {
    // It is followed, and this machine's files are none of a fuzzer's business.
    if text.windows(11).any(|window| window == b"include_dir") {
        return;
    }
    let Ok(imported) = with_file(text, import::mosquitto) else {
        assert!(std::str::from_utf8(text).is_err(), "a file of text can be imported");
        return;
    };
    // TOML takes tabs in strings, and what is no ASCII.
    assert!(!imported.contains(|c: char| c.is_ascii_control() && !matches!(c, '\n' | '\t')), "{imported:?}");
    let loaded = with_file(imported.as_bytes(), |path| Settings::load_from(Some(path), []));
    for problem in loaded.err().iter().flat_map(|error| error.problems()) {
        let is_ours = problem.fault.contains("not TOML") || problem.fault.contains("no such setting");
        assert!(!is_ours, "{problem}\nin\n{imported}\nof\n{}", text.escape_ascii());
    }
}
