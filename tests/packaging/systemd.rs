//! The unit for systemd.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use dockgate::config::Settings;
use dockgate::mqtt::transport::crowd::OWN_FILES;

use crate::{DATA, SETTINGS, checked, dockgate, path, text};

const UNIT: &str = "config/systemd/dockgate.service";

/// The last value of each setting of the unit.
fn unit() -> BTreeMap<String, String> {
    let text = text(UNIT);
    let settings = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_unit_runs_a_command_line_that_exists_with_the_settings_of_the_package() {
    let unit = unit();
    let command: Vec<_> = unit["ExecStart"].split(' ').collect();
    assert_eq!(command[0], "/usr/bin/dockgate");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(path("config/debian/dockgate.toml"), folder.path().join("dockgate.toml")).unwrap();
    let output = checked(&command[1..], folder.path());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn folders_and_limits_of_the_unit_are_those_of_the_settings() {
    let unit = unit();
    assert_eq!(format!("/var/lib/{}", unit["StateDirectory"]), DATA);
    assert!(SETTINGS.starts_with(&format!("/etc/{}/", unit["ConfigurationDirectory"])));
    let files: usize = unit["LimitNOFILE"].parse().unwrap();
    assert!(files >= Settings::default().limits.connections + OWN_FILES, "{files}");
    let seconds = |name: &str| humantime::parse_duration(&unit[name]).unwrap();
    // Good-byes take up to 5 s, and the last commit up to 10 s.
    assert!(seconds("TimeoutStopSec") > Duration::from_secs(15));
    // The broker ends by itself 15 s after its routing core has; systemd is for what is worse.
    assert!(seconds("WatchdogSec") > Duration::from_secs(15));
    // The exit code of settings that cannot be used, after which it would be of no use to start it again.
    let wrong = dockgate(&["serve"], &[("DOCKGATE_UPLOADS__POLICY", "sometimes")]);
    assert_eq!(wrong.status.code().map(|code| code.to_string()).as_ref(), Some(&unit["RestartPreventExitStatus"]));
    assert_eq!(unit["Restart"], "on-failure");
}

/// Where systemd is installed.
#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dockgate.service");
    std::fs::write(&file, text(UNIT).replace("/usr/bin/dockgate", env!("CARGO_BIN_EXE_dockgate"))).unwrap();
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&file).output() else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    // The page is installed with the package.
    let complaints: Vec<_> = said.lines().filter(|line| !line.contains("man dockgate(1)")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
