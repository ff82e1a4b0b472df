//! Who may connect, publish and read, seen from the socket: the binary with Mosquitto's files, and with roles.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

#[path = "../common/mod.rs"]
mod common;

mod acl;
mod login;
mod reload;
mod roles;
mod secrets;
mod sessions;
mod uploads;

use common::{BrokerProcess, Connect, Version, Wire};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two docks of a fleet, and an aircraft.
pub(crate) const DOCK: &str = "7CTDM3D00B1A2C";
pub(crate) const OTHER: &str = "7CTDM3D00B9Z8Y";
pub(crate) const AIRCRAFT: &str = "1581F6Q8D23C00A5D6F7";

/// A folder with the files of the access rules.
#[derive(Debug)]
pub(crate) struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// A password file with these users, each with the password `pass-` and its name.
    pub(crate) fn with_users(users: &[&str]) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(files.passwords(), "").unwrap();
        for user in users {
            files.set_password(user, &password(user));
        }
        files
    }

    pub(crate) fn passwords(&self) -> PathBuf {
        self.folder.path().join("passwd")
    }

    pub(crate) fn acl(&self) -> PathBuf {
        self.folder.path().join("acl")
    }

    /// As an administrator of Mosquitto does it.
    pub(crate) fn set_password(&self, user: &str, password: &str) {
        mosquitto_passwd(&["-b"], &self.passwords(), &[user, password]);
    }

    pub(crate) fn delete_user(&self, user: &str) {
        mosquitto_passwd(&["-D"], &self.passwords(), &[user]);
    }

    pub(crate) fn write_acl(&self, text: &str) {
        std::fs::write(self.acl(), text).unwrap();
    }

    /// The binary with the password file, the ACL file if there is one, and these settings.
    pub(crate) fn start(&self, settings: &[(&str, &str)]) -> BrokerProcess {
        let (passwords, acl) = (self.passwords(), self.acl());
        let mut all = vec![("DOCKGATE_ACCESS__PASSWORD_FILE", passwords.to_str().unwrap())];
        if acl.exists() {
            all.push(("DOCKGATE_ACCESS__ACL_FILE", acl.to_str().unwrap()));
        }
        all.extend_from_slice(settings);
        BrokerProcess::start(&all)
    }

    /// The binary with two docks, a backend and an observer by roles.
    pub(crate) fn fleet() -> (Self, BrokerProcess) {
        let files = Self::with_users(&[DOCK, OTHER, "backend", "grafana"]);
        let broker = files.start(&FLEET);
        (files, broker)
    }
}

/// One line a role.
pub(crate) const FLEET: [(&str, &str); 3] = [
    ("DOCKGATE_ACCESS__ROLES__DOCK", r#"["*"]"#),
    ("DOCKGATE_ACCESS__ROLES__BACKEND", r#"["backend"]"#),
    ("DOCKGATE_ACCESS__ROLES__OBSERVER", r#"["grafana"]"#),
];

fn mosquitto_passwd(options: &[&str], file: &Path, rest: &[&str]) {
    let output = Command::new("mosquitto_passwd").args(options).arg(file).args(rest).output();
    let output = output.expect("Debian's mosquitto is installed");
    assert!(output.status.success(), "{output:?}");
}

pub(crate) fn password(user: &str) -> String {
    format!("pass-{user}")
}

/// A CONNECT with the user's name for its client identifier.
pub(crate) fn connect(version: Version, user: &str) -> Connect {
    Connect::new(version, user).login(user, &password(user))
}

/// A client that is let in.
#[track_caller]
pub(crate) fn client(broker: &BrokerProcess, version: Version, user: &str) -> Wire {
    Wire::connect(broker.mqtt, &connect(version, user))
}

/// A topic of a gateway or an aircraft.
pub(crate) fn thing(serial_number: &str, rest: &str) -> String {
    format!("thing/product/{serial_number}/{rest}")
}
