//! Lists of logs as a table.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use indicatif::HumanBytes;

use super::client::{List, LogFile};
use super::select::{Chosen, name};

/// Every log of a list.
pub(super) fn of(list: &List) -> String {
    let mut text = header();
    for listed in &list.listed {
        for file in &listed.files {
            row(&mut text, &listed.module, file);
        }
        if let Some(code) = listed.result.filter(|code| *code != 0) {
            let meaning = listed.meaning.as_deref().unwrap_or("no published code");
            let _ = writeln!(text, "{}: the dock answered {code}, {meaning}", name(&listed.module));
        }
    }
    if list.listed.iter().all(|listed| listed.files.is_empty()) {
        text.push_str("The dock lists no logs.\n");
    }
    text
}

/// Those of a list that have been chosen.
pub(super) fn of_chosen(list: &List, chosen: &[Chosen]) -> String {
    let mut text = header();
    for chosen in chosen {
        let of_module = list.listed.iter().filter(|listed| listed.module == chosen.module);
        let is_chosen = |file: &&LogFile| file.boot_index.is_some_and(|boot| chosen.boots.contains(&boot));
        for file in of_module.flat_map(|listed| &listed.files).filter(is_chosen) {
            row(&mut text, &chosen.module, file);
        }
    }
    text
}

// Writing to a String cannot fail.
fn header() -> String {
    format!("{:<6} {:>10}  {:<17} {:<17} {:>10}\n", "MODULE", "BOOT", "FROM (UTC)", "TO (UTC)", "SIZE")
}

fn row(text: &mut String, module: &str, file: &LogFile) {
    let boot = file.boot_index.map_or_else(|| "?".to_owned(), |boot| boot.to_string());
    let size = file.size.and_then(|size| u64::try_from(size).ok());
    let size = size.map_or_else(|| "?".to_owned(), |size| HumanBytes(size).to_string());
    let (from, to) = (minute(file.start_time), minute(file.end_time));
    let _ = writeln!(text, "{module:<6} {boot:>10}  {from:<17} {to:<17} {size:>10}");
}

/// `2026-05-01 10:02` of milliseconds since the epoch.
fn minute(time_ms: Option<i64>) -> String {
    let time = time_ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(ms).ok()?)));
    // The crate writes no years beyond 9999.
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let text = time.filter(|time| *time <= last).map(|time| humantime::format_rfc3339_seconds(time).to_string());
    text.as_deref().and_then(|text| text.get(..16)).map_or_else(|| "?".to_owned(), |text| text.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_is_known_and_what_the_dock_refused() {
        let list = serde_json::from_value(serde_json::json!({ "listed": [
            { "module": "3", "result": 0, "files": [
                { "boot_index": 321, "start_time": 1_659_427_398_806_i64, "end_time": i64::MAX, "size": 1_572_864 },
            ]},
            { "module": "0", "result": 324_015, "meaning": "Aircraft is powered off", "files": [] },
        ]}))
        .unwrap();
        let text = of(&list);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["3", "321", "2022-08-02", "08:03", "?", "1.50", "MiB"]
        );
        assert_eq!(lines[2], "the aircraft: the dock answered 324015, Aircraft is powered off");
        assert!(of(&List { listed: Vec::new() }).contains("no logs"));
    }
}
