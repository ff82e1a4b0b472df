//! The origins of web pages (RFC 6454): whose page it is that opens a WebSocket, as its browser says.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::explain::shorten;

/// Whose web pages may open a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Origin {
    /// Everybody's: `*`.
    Any,
    /// Those that have no origin that can be named, such as files and sandboxed frames: `null`.
    Null,
    /// Those of this place.
    Page(Page),
}

/// Where web pages are from: equal for all pages of one origin (RFC 6454, 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In lower case.
    scheme: String,
    host: Host,
    /// The scheme's own port, if it has one and no other is given.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// In lower case.
    Name(String),
    Address(IpAddr),
}

/// A text that is no origin, shortened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not the origin of a web page")]
pub struct NotAnOrigin(String);

impl Origin {
    /// Whether these are pages that this machine itself serves.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        match self {
            Self::Page(Page { host: Host::Name(name), .. }) => name == "localhost",
            Self::Page(Page { host: Host::Address(address), .. }) => address.to_canonical().is_loopback(),
            Self::Any | Self::Null => false,
        }
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        match text {
            "*" => Ok(Self::Any),
            "null" => Ok(Self::Null),
            _ => Page::read(text).map(Self::Page).ok_or_else(|| NotAnOrigin(shorten(text.to_owned()))),
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = NotAnOrigin;

    fn try_from(text: String) -> Result<Self, NotAnOrigin> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

/// As a browser writes it.
impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = match self {
            Self::Any => return f.write_str("*"),
            Self::Null => return f.write_str("null"),
            Self::Page(page) => page,
        };
        write!(f, "{}://", page.scheme)?;
        match &page.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        match page.port {
            Some(port) if page.port != default_port(&page.scheme) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

impl Page {
    /// `scheme://host[:port]` (RFC 6454, 6.2). Other schemes than those of the web are those of apps that are pages inside.
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let scheme = scheme.to_ascii_lowercase();
        // That is where a page connects to, and never where it is from.
        if !is_scheme || scheme == "ws" || scheme == "wss" {
            return None;
        }
        // The colons of an IPv6 address are in brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(read_port(port)?)),
            _ => (rest, default_port(&scheme)),
        };
        Some(Self { scheme, host: Host::read(host)?, port })
    }
}

impl Host {
    fn read(text: &str) -> Option<Self> {
        if let Some(address) = text.strip_prefix('[') {
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        // Browsers write other letters in Punycode (RFC 6454, 6.2).
        let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        is_name.then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

/// Digits alone: `parse` would take a sign.
fn read_port(text: &str) -> Option<u16> {
    text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn origins_are_equal_if_scheme_host_and_port_are() {
        for (one, other) in [
            ("https://ops.example", "HTTPS://Ops.Example:443"),
            ("http://ops.example", "http://ops.example:80"),
            ("http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080"),
            ("capacitor://localhost", "capacitor://LOCALHOST"),
            ("*", "*"),
            ("null", "null"),
        ] {
            assert_eq!(origin(one), origin(other), "{one} {other}");
        }
        for (one, other) in [
            ("https://ops.example", "http://ops.example"),
            ("https://ops.example", "https://ops.example:8443"),
            ("https://ops.example", "https://ops.example.evil.example"),
            ("https://ops.example", "https://x.ops.example"),
            ("http://localhost", "http://127.0.0.1"),
            ("capacitor://localhost", "capacitor://localhost:443"),
            ("*", "null"),
        ] {
            assert_ne!(origin(one), origin(other), "{one} {other}");
        }
    }

    #[test]
    fn an_origin_is_written_as_a_browser_writes_it() {
        for (given, written) in [
            ("HTTPS://Ops.Example:443", "https://ops.example"),
            ("http://ops.example:443", "http://ops.example:443"),
            ("http://[0::1]:80", "http://[::1]"),
            ("app://x:9", "app://x:9"),
            ("*", "*"),
            ("null", "null"),
        ] {
            assert_eq!(origin(given).to_string(), written, "{given}");
            assert_eq!(origin(written), origin(given));
        }
    }

    #[test]
    fn what_is_no_origin_is_not_taken_for_one() {
        for text in [
            "",
            "ops.example",
            "ops.example:443",
            "https://",
            "https://ops.example/",
            "https://ops.example/path",
            "https://ops.example:",
            "https://ops.example:65536",
            "https://ops.example:+80",
            "https://ops.example:80:80",
            "https://*.example",
            "https://user@ops.example",
            "https://ops.example https://x",
            " https://ops.example",
            "https://öps.example",
            "https://[::1",
            "https://::1",
            "https://[ops.example]",
            "wss://ops.example",
            "1://ops.example",
            "://ops.example",
            "Null",
            "**",
        ] {
            let error = text.parse::<Origin>().unwrap_err().to_string();
            assert_eq!(error, format!("{text:?} is not the origin of a web page"));
        }
        let long = format!("https://{}/", "x".repeat(70_000)).parse::<Origin>().unwrap_err().to_string();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn the_pages_of_this_machine_are_told_from_others() {
        for text in
            ["http://localhost:3000", "https://127.0.0.1", "http://127.8.8.8", "http://[::1]", "app://localhost"]
        {
            assert!(origin(text).is_this_machine(), "{text}");
        }
        for text in [
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://192.0.2.1",
            "http://[2001:db8::1]",
            "*",
            "null",
        ] {
            assert!(!origin(text).is_this_machine(), "{text}");
        }
    }
}
