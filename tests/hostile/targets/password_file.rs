//! The password file.
//!
//! It is read or refused without a panic, and a refusal says where and why on one line, without a hash or what stands in
//! its place.

use dockgate::access::{Access, Sources};

use super::acl_file::expect_readable;
use super::scratch::with_file;

/// What seeds have in the place of a hash; it may be shown only where it is a name.
const SECRET: &[u8] = b"SECRETHASH";

pub(crate) fn run(text: &[u8]) {
    let opened = with_file(text, |path| {
        Access::open(Sources { password_file: Some(path.to_owned()), ..Sources::default() })
            .map(|access| access.warnings())
    });
    let flaws = match opened {
        Ok(warnings) => warnings,
        Err(flaws) => {
            assert!(!flaws.is_empty(), "refused without a reason");
            flaws
        }
    };
    expect_readable(&flaws, text);
    let names =
        text.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':').next().unwrap_or_default());
    let is_name = names.into_iter().any(|name| name.windows(SECRET.len()).any(|window| window == SECRET));
    for flaw in flaws {
        assert!(is_name || !flaw.to_string().contains("SECRETHASH"), "{flaw}");
    }
}
