//! Folders that cannot be used: the broker says which, why, and what to do, and does not start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::{Publish, Wire};
use crate::ground::Ground;

/// Starts a broker on this folder, which must not start; gives what it says.
#[track_caller]
fn refused(folder: &Path) -> String {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .env("DOCKGATE_DATA_DIR", folder)
        .env("DOCKGATE_LISTENERS", r#"[{protocol="mqtt",bind="127.0.0.1:0"}]"#)
        .env("DOCKGATE_HTTP__BIND", "127.0.0.1:0")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "it starts: {said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(said.contains(folder.to_str().unwrap()), "the folder is not named: {said}");
    said
}

#[test]
fn a_folder_is_for_one_broker() {
    let ground = Ground::new();
    let said = refused(&ground.data());
    assert!(said.contains("another"), "{said}");
    // The first is not disturbed.
    ground.publish(&Publish::new("still", "here").qos(1, 1).retain());
}

#[test]
fn the_folder_and_its_files_are_for_their_owner_alone() {
    let ground = Ground::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&ground.data()), 0o700);
    for entry in fs::read_dir(ground.data()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_folder_that_cannot_be_made_or_written_is_named() {
    // Nobody can write there, not even root.
    let said = refused(Path::new("/proc/dockgate"));
    assert!(said.contains("data_dir"), "no remedy: {said}");
    let file = tempfile::NamedTempFile::new().unwrap();
    refused(file.path());
}

#[test]
fn a_corrupt_file_is_named_and_left_as_it_is() {
    for (name, damage) in [
        ("the beginning", &(|bytes: &mut Vec<u8>| bytes[..64].fill(0xa5)) as &dyn Fn(&mut Vec<u8>)),
        ("all pages", &|bytes: &mut Vec<u8>| {
            for at in (4096..bytes.len()).step_by(64) {
                bytes[at] ^= 0x5a;
            }
        }),
        ("cut short", &|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 3)),
        ("something else", &|bytes: &mut Vec<u8>| *bytes = b"this is no database\n".repeat(1000)),
    ] {
        let mut ground = Ground::new();
        ground.publish(&Publish::new("kept", "x").qos(1, 1).retain());
        let data = ground.data();
        ground.stop();
        let path = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
        let path = path.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let whole = bytes.clone();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let said = refused(&data);
        assert!(said.contains(path.to_str().unwrap()), "{name}: {said}");
        // It can still be repaired by whoever has a copy.
        fs::write(&path, &whole).unwrap();
        let ground = Ground::on(ground.into_folder());
        let mut reader = Wire::subscriber(ground.mqtt(), "reader", &[("kept", 0)]);
        reader.expect_message("x");
    }
}
