//! The Debian package: what it is made of, and its settings.

use dockgate::config::Settings;
use toml_edit::{DocumentMut, Item, Value};

use crate::{DATA, SETTINGS, checked, path, text, uncommented};

/// `[package.metadata.deb]`.
fn metadata() -> Item {
    let manifest: DocumentMut = text("Cargo.toml").parse().unwrap();
    manifest["package"]["metadata"]["deb"].clone()
}

/// Source and destination of each asset.
fn assets() -> Vec<(String, String)> {
    let metadata = metadata();
    let assets = metadata["assets"].as_array().expect("assets").iter();
    let part = |asset: &Value, at| asset.as_array().and_then(|a| a.get(at)?.as_str()).expect("a path").to_owned();
    assets.map(|asset| (part(asset, 0), part(asset, 1))).collect()
}

/// Where a file is installed: a destination that ends in a slash is a folder.
fn installed(name: &str) -> Option<String> {
    let (source, destination) = assets().into_iter().find(|(source, _)| source.ends_with(name))?;
    let file = source.rsplit('/').next().unwrap();
    Some(if destination.ends_with('/') { format!("/{destination}{file}") } else { format!("/{destination}") })
}

#[test]
fn everything_that_is_packaged_exists_or_is_made_by_the_script() {
    let script = text("config/debian/build.sh");
    for (source, _) in assets() {
        let is_there = if source == "target/release/dockgate" {
            true
        } else if let Some(made) = source.strip_prefix("target/release/packaging/") {
            script.contains(&format!("\"$made/{}\"", made.trim_end_matches("/*.1")))
        } else if let Some((folder, end)) = source.split_once('*') {
            let files = std::fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().file_name());
            files.filter(|name| name.to_string_lossy().ends_with(end)).count() > 0
        } else {
            path(&source).is_file()
        };
        assert!(is_there, "{source}");
    }
    let metadata = metadata();
    let scripts = path(metadata["maintainer-scripts"].as_str().unwrap());
    for script in ["postinst", "postrm"] {
        assert!(std::fs::read_to_string(scripts.join(script)).unwrap().contains("\n#DEBHELPER#\n"), "{script}");
    }
    let units = &metadata["systemd-units"];
    let unit = format!("{}/{}.service", units["unit-scripts"].as_str().unwrap(), units["unit-name"].as_str().unwrap());
    assert!(path(&unit).is_file(), "{unit}");
    assert!(path(metadata["license-file"][0].as_str().unwrap()).is_file());
}

#[test]
fn binary_and_settings_are_installed_where_the_unit_looks_for_them() {
    assert_eq!(installed("/dockgate").as_deref(), Some("/usr/bin/dockgate"));
    assert_eq!(installed("config/debian/dockgate.toml").as_deref(), Some(SETTINGS));
    let conffiles = metadata()["conf-files"].as_array().unwrap().clone();
    assert!(conffiles.iter().any(|file| file.as_str() == Some(SETTINGS)), "changes to it survive an upgrade");
    let unit = text("config/systemd/dockgate.service");
    assert!(unit.contains(&format!("\nExecStart=/usr/bin/dockgate serve --config {SETTINGS}\n")), "{unit}");
    // The settings of the package point to these.
    let settings = text("config/debian/dockgate.toml");
    assert!(settings.contains(&installed("config/dockgate.toml").unwrap()), "{settings}");
}

#[test]
fn the_settings_of_the_package_can_be_used_as_they_are() {
    let file = path("config/debian/dockgate.toml");
    let loaded = Settings::load_from(Some(&file), []).unwrap();
    assert_eq!(loaded.settings.data_dir.to_str(), Some(DATA));
    assert!(loaded.settings.listeners.iter().all(|listener| listener.bind.ip().is_loopback()), "{loaded:?}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(file, folder.path().join("dockgate.toml")).unwrap();
    let output = checked(&["serve", "--config", SETTINGS], folder.path());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn so_can_its_examples() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dockgate.toml");
    std::fs::write(&file, uncommented(&text("config/debian/dockgate.toml"))).unwrap();
    let settings = Settings::load_from(Some(&file), []).unwrap().settings;
    assert_eq!(settings.listeners.len(), 2);
    assert!(settings.listeners[1].tls_cert.is_some() && settings.access.password_file.is_some(), "{settings:?}");
}
