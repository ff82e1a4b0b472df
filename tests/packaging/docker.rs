//! The container image, as far as it can be looked at without building it.

use dockgate::config::Settings;

use crate::common::BrokerProcess;
use crate::{DATA, SETTINGS, checked, dockgate, path, stderr, text, uncommented};

/// The instructions with their continuation lines, without comments.
fn instructions() -> Vec<(String, String)> {
    let dockerfile = text("config/docker/Dockerfile");
    let lines: Vec<_> = dockerfile.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", "");
    let instructions = joined.lines().filter_map(|line| line.split_once(' '));
    instructions.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect()
}

/// What follows an instruction that is there once.
#[track_caller]
fn the(name: &str) -> String {
    let found: Vec<_> = instructions().into_iter().filter(|(found, _)| found == name).collect();
    let [(_, rest)] = &found[..] else { panic!("{name}: {found:?}") };
    rest.clone()
}

/// A command in its JSON form, which needs no shell.
fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn the_image_serves_with_settings_that_want_a_password_file_and_a_token() {
    assert_eq!(words(&the("ENTRYPOINT")), ["/dockgate"]);
    let command = words(&the("CMD"));
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(path("config/docker/dockgate.toml"), folder.path().join("dockgate.toml")).unwrap();
    let output = checked(&command, folder.path());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("passwd") && stderr(&output).contains("http-token"), "{output:?}");
    let token = dockgate(&["token", folder.path().join("http-token").to_str().unwrap()], &[]);
    assert!(token.status.success(), "{token:?}");
    let passwords = folder.path().join("passwd");
    let set = std::process::Command::new("sh")
        .args(["-c", "echo secret | \"$0\" passwd \"$1\" backend", env!("CARGO_BIN_EXE_dockgate")])
        .arg(&passwords)
        .output()
        .unwrap();
    assert!(set.status.success(), "{set:?}");
    let output = checked(&command, folder.path());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn ports_and_volumes_are_those_of_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dockgate.toml");
    std::fs::write(&file, uncommented(&text("config/docker/dockgate.toml"))).unwrap();
    let settings = Settings::load_from(Some(&file), []).unwrap().settings;
    assert_eq!(settings.data_dir.to_str(), Some(DATA));
    let mut binds: Vec<_> = settings.listeners.iter().map(|listener| listener.bind).collect();
    binds.push(settings.http.bind);
    assert!(binds.iter().all(|bind| bind.ip().is_unspecified()), "{binds:?}");
    let ports: Vec<_> = binds.iter().map(|bind| bind.port().to_string()).collect();
    assert_eq!(the("EXPOSE"), ports.join(" "));
    assert_eq!(words(&the("VOLUME")), ["/etc/dockgate", DATA]);
    assert!(SETTINGS.starts_with("/etc/dockgate/"));
    // As they are, and not only with their examples.
    Settings::load_from(Some(&path("config/docker/dockgate.toml")), []).unwrap();
}

#[test]
fn its_health_check_finds_a_broker_well() {
    let (_, check) = the("HEALTHCHECK").split_once("CMD ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let check = words(&check);
    assert_eq!(check[0], "/dockgate");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dockgate.toml");
    std::fs::copy(path("config/docker/dockgate.toml"), &file).unwrap();
    let arguments: Vec<_> =
        check[1..].iter().map(|word| if word == SETTINGS { file.to_str().unwrap() } else { word }).collect();
    let broker = BrokerProcess::start(&[]);
    let output = dockgate(&arguments, &[("DOCKGATE_HTTP__BIND", &broker.http.to_string())]);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn it_is_stopped_as_the_broker_wants_to_be_and_runs_as_a_user_without_rights() {
    assert_eq!(the("STOPSIGNAL"), "SIGTERM");
    let user = the("USER");
    let ids: Vec<u32> = user.split(':').map(|id| id.parse().expect("a number")).collect();
    assert!(ids.iter().all(|id| *id > 0), "{user}");
    let copies = instructions();
    let own = copies.iter().filter(|(name, rest)| name == "COPY" && rest.contains("--chown="));
    assert!(own.clone().all(|(_, rest)| rest.contains(&format!("--chown={user} "))));
    assert_eq!(own.count(), 2, "its settings and its data");
}

#[test]
fn what_the_image_is_built_from_is_there() {
    let allowed = text("config/docker/Dockerfile.dockerignore");
    let allowed: Vec<_> = allowed.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for file in &allowed {
        assert!(path(file).exists(), "{file}");
    }
    // Cargo wants every target that the manifest names.
    for needed in ["Cargo.toml", "Cargo.lock", "src", "benches", "config"] {
        assert!(allowed.contains(&needed), "{needed} is not sent to the build");
    }
}
