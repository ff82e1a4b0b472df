//! What two vendors' signatures have in common: a request in one form that both ends can make, and its digests.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};

/// What RFC 3986 calls unreserved stays as it is, everything else is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// In a path the slashes stay.
const IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// A request as it is signed.
#[derive(Debug)]
pub(super) struct CanonicalRequest<'a> {
    pub(super) method: &'a str,
    /// Encoded as it is sent.
    pub(super) path: &'a str,
    /// Names and values as they are meant.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Those that are signed: names in lower case and in their order.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// The digest of the body, in hexadecimal digits.
    pub(super) payload: &'a str,
}

impl CanonicalRequest<'_> {
    /// The digest of the canonical form, in hexadecimal digits.
    pub(super) fn digest(&self) -> String {
        sha256(self.text().as_bytes())
    }

    /// The names of the signed headers.
    pub(super) fn signed_headers(&self) -> String {
        self.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";")
    }

    pub(super) fn text(&self) -> String {
        debug_assert!(self.headers.is_sorted_by_key(|(name, _)| *name), "{:?}", self.headers);
        let mut headers = String::new();
        for (name, value) in self.headers {
            headers.push_str(name);
            headers.push(':');
            // Spaces at the ends do not count, and those inside are as one.
            headers.push_str(&value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "));
            headers.push('\n');
        }
        let query = {
            let mut pairs: Vec<_> = self.query.iter().map(|(name, value)| (encode(name), encode(value))).collect();
            pairs.sort();
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        };
        let (method, path, payload) = (self.method, self.path, self.payload);
        format!("{method}\n{path}\n{query}\n{headers}\n{}\n{payload}", self.signed_headers())
    }
}

/// A name or value of a query or a form.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A path whose slashes are those between its parts.
pub(super) fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, IN_PATH).to_string()
}

/// `application/x-www-form-urlencoded`, in which a space is a plus.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value).replace("%20", "+")));
    fields.collect::<Vec<_>>().join("&")
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(super) fn hmac_sha256(key: &[u8], bytes: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
