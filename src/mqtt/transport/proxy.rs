//! The header of the PROXY protocol, version 2: a load balancer's word on who the client is.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2. Only for listeners that nobody else can
//! reach: whoever can send the header can be any address.

use super::Refused;
use ppp::v2::{Addresses, Header, PROTOCOL_PREFIX, Protocol};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Signature, version and command, family and protocol, length of the rest.
const FIXED: usize = 16;
/// The addresses take at most 216 bytes (of Unix sockets), and what balancers add (TLS details, authority, their own ids)
/// hundreds.
const REST_MAX: usize = 4096;
/// Version 2, command LOCAL: the balancer speaks for itself, as it does to see whether we are there.
const LOCAL: u8 = 0x20;

/// Reads the header, and nothing behind it. The address in it, if it has one that clients come from.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, Refused> {
    let mut header = vec![0; FIXED];
    let mut filled = 0;
    // Byte by byte if need be: what is no header must not be waited for to be as long as one.
    while filled < FIXED {
        match stream.read(&mut header[filled..]).await {
            Ok(0) | Err(_) => return Err(Refused::closed("closed before the PROXY header")),
            Ok(bytes) => filled += bytes,
        }
        let signature = filled.min(PROTOCOL_PREFIX.len());
        if header[..signature] != PROTOCOL_PREFIX[..signature] {
            let version_1 = header.starts_with(b"PROXY");
            return Err(Refused::handshake(if version_1 {
                "this is the PROXY protocol's version 1, and version 2 is needed"
            } else {
                "no PROXY header, which proxy_protocol = true asks for"
            }));
        }
    }
    let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
    if rest > REST_MAX {
        return Err(Refused::handshake("the PROXY header is too long"));
    }
    header.resize(FIXED + rest, 0);
    if stream.read_exact(&mut header[FIXED..]).await.is_err() {
        return Err(Refused::closed("closed within the PROXY header"));
    }
    // What else a LOCAL header says is to be ignored (2.2), even where it makes no sense.
    if header[PROTOCOL_PREFIX.len()] == LOCAL {
        return Ok(None);
    }
    let header = Header::try_from(&header[..]).map_err(|error| Refused::handshake(format!("PROXY header: {error}")))?;
    if header.protocol == Protocol::Datagram {
        return Err(Refused::handshake("the PROXY header is about datagrams"));
    }
    Ok(match header.addresses {
        Addresses::IPv4(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
        Addresses::IPv6(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
        Addresses::Unspecified | Addresses::Unix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ConnectRefusal;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = PROTOCOL_PREFIX.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn tcp4() -> Vec<u8> {
        header(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x07, 0x5b])
    }

    async fn parse(mut bytes: &[u8]) -> Result<Option<String>, String> {
        let read = read(&mut bytes).await;
        read.map(|peer| peer.map(|peer| peer.to_string())).map_err(|refused| {
            assert!(matches!(refused.why, ConnectRefusal::Handshake | ConnectRefusal::Closed));
            refused.cause.into_owned()
        })
    }

    #[tokio::test]
    async fn the_source_address_is_the_client() {
        assert_eq!(parse(&tcp4()).await, Ok(Some("192.0.2.7:12345".to_owned())));
        let mut rest = vec![0; 36];
        rest[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        rest[15] = 1;
        rest[32..34].copy_from_slice(&[0x30, 0x39]);
        assert_eq!(parse(&header(0x21, 0x21, &rest)).await, Ok(Some("[2001:db8::1]:12345".to_owned())));
    }

    #[tokio::test]
    async fn what_is_behind_the_header_stays_in_the_stream() {
        let mut bytes = tcp4();
        bytes.extend(b"CONNECT");
        let mut stream = &bytes[..];
        read(&mut stream).await.unwrap();
        assert_eq!(stream, b"CONNECT");
    }

    #[tokio::test]
    async fn additions_are_skipped() {
        let mut rest = tcp4()[FIXED..].to_vec();
        rest.extend([0x04, 0, 3, 0xff, 0xff, 0xff]); // PP2_TYPE_NOOP
        rest.extend([0xe0, 0xff]); // and one that is cut off: nobody reads it
        assert_eq!(parse(&header(0x21, 0x11, &rest)).await, Ok(Some("192.0.2.7:12345".to_owned())));
    }

    #[tokio::test]
    async fn local_unix_and_unspecified_headers_leave_the_peer_as_it_is() {
        for bytes in [
            header(0x20, 0x00, &[]),
            header(0x20, 0x11, &[1, 2, 3]),
            header(0x21, 0x00, &[9; 5]),
            header(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(parse(&bytes).await, Ok(None), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn whatever_is_no_header_of_version_2_is_refused() {
        let mut wrong_version = tcp4();
        wrong_version[12] = 0x11;
        let mut wrong_command = tcp4();
        wrong_command[12] = 0x22;
        for (bytes, cause) in [
            (&b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 1883\r\n"[..], "version 1"),
            (b"PROXY UNKNOWN\r\n", "version 1"),
            (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", "no PROXY header"),
            (b"\x16\x03\x01", "no PROXY header"),
            (&wrong_version, "PROXY header: "),
            (&wrong_command, "PROXY header: "),
            (&header(0x21, 0x41, &[0; 12]), "PROXY header: "),
            (&header(0x21, 0x11, &[0; 11]), "PROXY header: "),
            (&header(0x21, 0x12, &[0; 12]), "datagrams"),
            (&header(0x21, 0x11, &[0; REST_MAX + 1]), "too long"),
            (&tcp4()[..20], "closed within"),
            (&tcp4()[..5], "closed before"),
            (b"", "closed before"),
        ] {
            let refused = parse(bytes).await.unwrap_err();
            assert!(refused.contains(cause), "{bytes:?}: {refused}");
        }
    }
}
