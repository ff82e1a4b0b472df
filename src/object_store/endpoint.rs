//! Where a service is.

use thiserror::Error;
use ureq::http::Uri;

/// `http://host[:port]` or `https://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: &'static str,
    /// The host, in lower case, with the port if it is not the scheme's own: the value of a Host header.
    authority: String,
    host: String,
}

/// Why a text is not the address of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NotAnEndpoint(&'static str);

impl Endpoint {
    /// Reads an address. A slash at its end is let pass: people paste it.
    ///
    /// # Errors
    /// If it is anything but scheme, host and port.
    pub fn parse(text: &str) -> Result<Self, NotAnEndpoint> {
        let uri: Uri = text.parse().map_err(|_| NotAnEndpoint("this is not a URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => "http",
            Some("https") => "https",
            _ => return Err(NotAnEndpoint("it must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or(NotAnEndpoint("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(NotAnEndpoint("a user name or a password has no place here"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
            return Err(NotAnEndpoint("nothing may follow the host and the port"));
        }
        let host = authority.host().to_ascii_lowercase();
        let is_host = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._[]:".contains(c));
        if !is_host {
            return Err(NotAnEndpoint("this is not the name or address of a host"));
        }
        // What follows the host is the port or nothing.
        let port = match authority.as_str().get(host.len()..).unwrap_or("") {
            "" => None,
            text => match text.strip_prefix(':').filter(|port| port.bytes().all(|b| b.is_ascii_digit())) {
                Some(port) => Some(port.parse::<u16>().map_err(|_| NotAnEndpoint("this is not a port"))?),
                None => return Err(NotAnEndpoint("this is not a port")),
            },
        };
        let usual = if scheme == "https" { 443 } else { 80 };
        let authority = match port {
            Some(0) => return Err(NotAnEndpoint("nothing can be reached at port 0")),
            Some(port) if port != usual => format!("{host}:{port}"),
            _ => host.clone(),
        };
        Ok(Self { scheme, authority, host })
    }

    /// As it is written.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The value of the Host header of a request to it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether others can read what goes there on its way: it is not encrypted, and leaves this machine and the networks that
    /// are nobody else's (RFC 1918, RFC 4193, link-local).
    #[must_use]
    pub fn is_open_to_others(&self) -> bool {
        use std::net::IpAddr;
        if self.scheme == "https" || self.host == "localhost" {
            return false;
        }
        match self.host.trim_matches(['[', ']']).parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(v4)) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
            Ok(IpAddr::V6(v6)) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
            // A name without a dot is one of this network (or a container's neighbour).
            Err(_) => self.host.contains('.'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port_and_is_written_the_shortest_way() {
        for (given, written, authority) in [
            ("http://10.0.0.5:9000", "http://10.0.0.5:9000", "10.0.0.5:9000"),
            ("HTTP://MinIO.local:80/", "http://minio.local", "minio.local"),
            (
                "https://oss-cn-hangzhou.aliyuncs.com:443",
                "https://oss-cn-hangzhou.aliyuncs.com",
                "oss-cn-hangzhou.aliyuncs.com",
            ),
            ("http://[::1]:9000", "http://[::1]:9000", "[::1]:9000"),
            ("http://localhost:443", "http://localhost:443", "localhost:443"),
        ] {
            let endpoint = Endpoint::parse(given).unwrap();
            assert_eq!((&*endpoint.url(), endpoint.authority()), (written, authority), "{given}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_address_is_refused_with_the_reason() {
        for (given, reason) in [
            ("", "not a URL"),
            ("10.0.0.5:9000", "begin with http"),
            ("minio", "begin with http"),
            ("ftp://minio", "begin with http"),
            ("s3://bucket", "begin with http"),
            ("http://", "not a URL"),
            ("http://user:password@minio:9000", "no place here"),
            ("http://minio:9000/bucket", "nothing may follow"),
            ("http://minio:9000/?x=1", "nothing may follow"),
            ("http://minio:9000/#x", "nothing may follow"),
            ("http://minio:0", "port 0"),
            ("http://minio:99999", "not a"),
            ("http://minio:", "not a"),
            ("http://mi nio", "not a URL"),
            ("http://öps.example", "not a URL"),
        ] {
            let error = Endpoint::parse(given).unwrap_err().to_string();
            assert!(error.contains(reason), "{given}: {error}");
        }
    }

    #[test]
    fn plain_http_is_open_to_others_unless_it_stays_in_a_network_of_ones_own() {
        for text in ["http://s3.example.com", "http://203.0.113.7:9000", "http://[2001:db8::1]"] {
            assert!(Endpoint::parse(text).unwrap().is_open_to_others(), "{text}");
        }
        for text in [
            "https://s3.example.com",
            "http://localhost:9000",
            "http://127.0.0.1",
            "http://10.0.0.5:9000",
            "http://192.168.1.1",
            "http://[::1]",
            "http://[fd00::1]",
            "http://minio:9000",
        ] {
            assert!(!Endpoint::parse(text).unwrap().is_open_to_others(), "{text}");
        }
    }
}
