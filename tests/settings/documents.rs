//! The settings, `config/dockgate.toml` and the README's table say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dockgate::config::{Role, Settings};

use crate::{from_file, load, load_all};

fn documented_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dockgate.toml")
}

/// All settings of a serialised tree by their dotted paths; those of listeners are under `listeners`.
fn keys(value: &serde_json::Value, prefix: &str, into: &mut BTreeMap<String, serde_json::Value>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                keys(value, &path, into);
            }
        }
        serde_json::Value::Array(elements) if !elements.is_empty() => {
            for element in elements {
                keys(element, prefix, into);
            }
        }
        _ => {
            into.insert(prefix.to_owned(), value.clone());
        }
    }
}

fn defaults() -> BTreeMap<String, serde_json::Value> {
    let mut found = BTreeMap::new();
    keys(&serde_json::to_value(Settings::default()).unwrap(), "", &mut found);
    found
}

fn documented_text() -> String {
    std::fs::read_to_string(documented_file()).unwrap()
}

/// The line with its example uncommented: `#role = "dock"`. Explanations have a space after the #.
fn uncommented(line: &str) -> &str {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase())).unwrap_or(line)
}

/// A path that a file gives starts from its folder; the default has none.
fn in_its_place(path: &Path) -> PathBuf {
    PathBuf::from(path.file_name().unwrap())
}

#[test]
fn the_documented_file_parses_to_the_defaults() {
    let mut settings = load(Some(&documented_file()), &[]).unwrap();
    assert_eq!(settings.data_dir, documented_file().with_file_name("dockgate-data"));
    settings.data_dir = in_its_place(&settings.data_dir);
    assert_eq!(settings, Settings::default());
}

#[test]
fn the_documented_file_names_every_setting_and_says_something_about_it() {
    let text = documented_text();
    let defaults = defaults();
    let mut section = String::new();
    let mut named = BTreeSet::new();
    let mut previous = "";
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
            assert!(previous.starts_with("# "), "{line} is not explained");
        } else if let Some((key, _)) = uncommented(line).split_once(" = ")
            && !key.starts_with('#')
        {
            let key = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            assert!(previous.starts_with("# "), "{key} is not explained");
            assert_eq!(
                line.starts_with('#'),
                defaults[&key].is_null(),
                "{key}: only what has no default is an example"
            );
            named.insert(key);
        }
        previous = line;
    }
    assert_eq!(named, defaults.into_keys().collect());
}

#[test]
fn the_examples_of_the_documented_file_can_be_used() {
    let lines: Vec<_> = documented_text().lines().map(|line| uncommented(line).to_owned()).collect();
    let text = lines.join("\n").replace("protocol = \"mqtt\"", "protocol = \"mqtts\"");
    let settings = from_file(&text, &[]).unwrap();
    assert!(settings.listeners[0].tls_cert.is_some() && settings.listeners[0].limits.max_packet_size.is_some());
    assert!(settings.access.password_file.is_some());
}

/// The lines of the example of a whole file, which begins with `# Example`.
fn example() -> String {
    let text = documented_text();
    let lines = text.lines().skip_while(|line| !line.starts_with("# Example")).skip(1);
    let lines = lines.map_while(|line| line.strip_prefix('#')).map(str::trim);
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_of_a_whole_file_is_one_for_docks_on_the_open_internet() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dockgate.toml");
    std::fs::write(&file, example()).unwrap();
    let loaded = load_all(Some(&file), &[]).unwrap();
    assert!(loaded.warnings.is_empty(), "{loaded:#?}");
    let [docks, backend] = &*loaded.settings.listeners else { panic!("{loaded:#?}") };
    assert!(docks.is_reached_by_others() && !loaded.settings.admits_anonymous(docks));
    assert_eq!((docks.role, backend.role), (Some(Role::Dock), Some(Role::Backend)));
    // A dock in flight sends 7 messages and 6 KB a second, about three times as much with DRC.
    let limits = docks.limits.over(&loaded.settings.limits);
    assert!((2 * 21..1_000).contains(&limits.messages_per_second), "{limits:?}");
    assert!((2 * 18_000..1 << 20).contains(&limits.bytes_per_second), "{limits:?}");
    let limits = backend.limits.over(&loaded.settings.limits);
    assert_eq!((limits.messages_per_second, limits.bytes_per_second), (0, 0), "a backend speaks for many docks");
}

#[test]
fn the_readme_lists_exactly_the_settings_that_exist_with_their_defaults() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let table = readme
        .split_once("<!-- settings -->")
        .and_then(|(_, rest)| rest.split_once("<!-- /settings -->"))
        .expect("the markers of the table of settings")
        .0;
    let defaults = defaults();
    let mut listed = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`'])).collect();
        let (key, default) = (cells[0], cells[1]);
        assert!(listed.insert(key.to_owned()), "{key} is listed twice");
        assert_eq!(default == "none", defaults.get(key).is_some_and(serde_json::Value::is_null), "{row}");
        if default == "none" {
            continue;
        }
        // What the table gives as the default must load, and change nothing.
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let text = match section {
            "" => format!("{name} = {default}\n"),
            "listeners" if name == "bind" => format!("[[listeners]]\nbind = {default}\n"),
            "listeners" => format!("[[listeners]]\nbind = \"127.0.0.1:1883\"\n{name} = {default}\n"),
            _ => format!("[{section}]\n{name} = {default}\n"),
        };
        let mut settings = from_file(&text, &[]).unwrap();
        settings.data_dir = in_its_place(&settings.data_dir);
        assert_eq!(settings, Settings::default(), "{row}");
    }
    assert_eq!(listed, defaults.into_keys().collect());
}
