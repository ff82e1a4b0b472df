//! Who may do what: the ACL file beside Mosquitto's own reading of it, the roles, and both together.

#[path = "../common/mod.rs"]
mod common;

mod combined;
mod mosquitto;
mod roles;

use dockgate::access::{Access, Identity, Proof, Rights, Role, Roles, SerialNumber, Sources};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An ACL file of this content.
fn acl(directory: &Path, content: &str) -> Option<PathBuf> {
    let path = directory.join("acl");
    fs::write(&path, content).expect("the directory is ours");
    Some(path)
}

/// The rules of an ACL file of this content and of these roles.
fn access(content: Option<&str>, roles: Roles, serial_number: SerialNumber) -> Access {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let acl_file = content.and_then(|content| acl(directory.path(), content));
    Access::open(Sources { password_file: None, acl_file, roles, serial_number }).expect("the rules are good")
}

fn by_file(content: &str) -> Access {
    access(Some(content), Roles::default(), SerialNumber::default())
}

/// A client with this client identifier and user name.
fn client(client_id: &str, username: Option<&str>) -> Identity {
    let proof = username.map_or(Proof::Anonymous, |_| Proof::Password(0));
    Identity { client_id: client_id.into(), username: username.map(Into::into), listener_role: None, proof }
}

/// Rights of a client that its listener gives a role.
fn through(access: &Access, role: Role, client_id: &str) -> Arc<Rights> {
    access.rights(&Identity { listener_role: Some(role), ..client(client_id, None) })
}

/// Topics of one to three of these levels.
fn topics(levels: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = levels.iter().map(ToString::to_string).collect();
    let mut longest = all.clone();
    for _ in 1..3 {
        longest = longest.iter().flat_map(|topic| levels.iter().map(move |level| format!("{topic}/{level}"))).collect();
        all.extend_from_slice(&longest);
    }
    all.retain(|topic| !topic.is_empty());
    all
}

/// Lines of ACL files, with the names `bob` and `a` in them.
fn line() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let mode = || prop::sample::select(&["", "read ", "write ", "readwrite ", "deny "][..]);
    let filter = |names: &'static [&'static str]| {
        let levels = prop::collection::vec(prop::sample::select(names), 1..4);
        (levels, any::<bool>()).prop_map(|(levels, hash)| levels.join("/") + if hash { "/#" } else { "" })
    };
    prop_oneof![
        4 => (mode(), filter(&["a", "b", "bob", "+", "+"])).prop_map(|(mode, filter)| format!("topic {mode}{filter}\n")),
        2 => (mode(), filter(&["a", "b", "+", "%u", "%c"])).prop_map(|(mode, filter)| format!("pattern {mode}{filter}\n")),
        1 => prop::sample::select(&["user bob\n", "user b b\n", "# comment\n", "topic read #\n"][..]).prop_map(str::to_owned),
    ]
}
