//! Whether a client may publish on a topic.

use super::Subject;
use super::payload::GATEWAY;
use dockgate::access::{Access, Identity, Proof, Rights, Role, Sources};
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use tempfile::NamedTempFile;

/// Lines of the ACL file, and topics that are asked for in turn.
const LINES: usize = 1_000;

fn check(rights: Arc<Rights>, topics: Vec<String>, is_allowed: bool) -> Subject {
    let mut next = 0;
    Subject::part(move || {
        next = (next + 1) % topics.len();
        assert_eq!(rights.may_publish(black_box(&topics[next])), is_allowed);
    })
}

/// Of a user with so many rules of its own.
pub(crate) fn acl(is_allowed: bool) -> Subject {
    let mut file = NamedTempFile::new().expect("there is a temporary directory");
    writeln!(file, "user backend").expect("the temporary file can be written");
    for line in 1..LINES {
        writeln!(file, "topic readwrite thing/product/dock{line}/#").expect("the temporary file can be written");
    }
    let sources = Sources { acl_file: Some(file.path().to_owned()), ..Sources::default() };
    let access = Access::open(sources).expect("the rules can be read");
    let username = Some("backend".into());
    let who = Identity { client_id: "b".into(), username, listener_role: None, proof: Proof::Password(0) };
    let last = if is_allowed { "" } else { "-of-another" };
    let topics = (1..LINES).map(|line| format!("thing/product/dock{line}{last}/services")).collect();
    check(access.rights(&who), topics, is_allowed)
}

/// Of a dock without an ACL file.
pub(crate) fn dock(topic: &str, is_allowed: bool) -> Subject {
    let access = Access::open(Sources::default()).expect("there is no file that could be wrong");
    let listener_role = Some(Role::Dock);
    let who = Identity { client_id: GATEWAY.into(), username: None, listener_role, proof: Proof::Anonymous };
    check(access.rights(&who), vec![topic.to_owned()], is_allowed)
}
