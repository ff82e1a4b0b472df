//! The PROXY protocol, version 2, before each of the protocols.

use std::net::SocketAddr;

use dockgate::config::Protocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::client::{Client, Socket, request, soon, tcp, tls, upgrade};
use crate::common::{Broker, Connect, V311, eventually, metric};
use crate::protocols::{ALL, listeners};

const REFUSED: &str = "dockgate_connections_refused_total";

/// The header for a client at this address.
pub(crate) fn header(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().expect("an address");
    let mut rest = Vec::new();
    let family = match client {
        SocketAddr::V4(client) => {
            rest.extend(client.ip().octets());
            rest.extend([127, 0, 0, 1]);
            0x11
        }
        SocketAddr::V6(client) => {
            rest.extend(client.ip().octets());
            rest.extend([0; 16]);
            0x21
        }
    };
    rest.extend(client.port().to_be_bytes());
    rest.extend(1883_u16.to_be_bytes());
    assemble(0x21, family, &rest)
}

fn assemble(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).expect("it fits").to_be_bytes());
    bytes.extend(rest);
    bytes
}

fn broker(authority: &Authority, per_address: usize) -> Broker {
    Broker::start(|settings| {
        settings.listeners = listeners(authority);
        settings.limits.connections_per_address = per_address;
        for listener in &mut settings.listeners {
            listener.proxy_protocol = true;
            listener.allow_anonymous = Some(true);
        }
    })
}

async fn behind(header: &[u8], protocol: Protocol, address: SocketAddr, authority: &Authority) -> Option<Client> {
    let mut socket = tcp(address).await;
    socket.write_all(header).await.ok()?;
    let mut socket: Socket = Box::new(socket);
    if protocol.is_tls() {
        socket = tls(socket, &authority.trust().config()).await.ok()?;
    }
    let mut client = if protocol.is_websocket() {
        Client::websocket(upgrade(socket, request("/mqtt", Some("mqtt"))).await.ok()?.0)
    } else {
        Client::bytes(socket)
    };
    (client.try_connect(&Connect::new(V311, protocol.as_str())).await? == 0).then_some(client)
}

#[tokio::test]
async fn the_header_comes_before_tls_and_websocket() {
    let authority = Authority::new("ours");
    let broker = broker(&authority, 1000);
    let with_additions = {
        let mut rest = header("192.0.2.1:5000")[16..].to_vec();
        rest.extend([0x02, 0, 4, b'd', b'o', b'c', b'k']);
        assemble(0x21, 0x11, &rest)
    };
    for (protocol, address) in ALL.into_iter().zip(&broker.listeners) {
        for header in [
            &header("192.0.2.1:5000"),
            &header("[2001:db8::1]:5000"),
            &assemble(0x20, 0, &[]),
            &assemble(0x21, 0, &[]),
            &assemble(0x21, 0x31, &[0; 216]),
            &with_additions,
        ] {
            let mut client = behind(header, protocol, *address, &authority).await.expect("the way is open");
            client.expect_alive().await;
        }
    }
}

/// Byte by byte, as a bad network may bring it.
#[tokio::test]
async fn a_header_in_pieces_is_a_header() {
    let authority = Authority::new("ours");
    let broker = broker(&authority, 1000);
    let mut socket = tcp(broker.mqtt).await;
    for byte in header("192.0.2.1:5000") {
        socket.write_all(&[byte]).await.expect("the broker reads");
        tokio::task::yield_now().await;
    }
    Client::bytes(socket).connect("dock").await;
}

async fn expect_closed(socket: &mut TcpStream) {
    let mut bytes = [0; 64];
    // Closed, or reset because the broker did not read it all.
    let read = soon("a close", socket.read(&mut bytes)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?} bytes came");
}

#[tokio::test]
async fn whoever_has_no_header_is_closed_and_counted() {
    let authority = Authority::new("ours");
    let broker = broker(&authority, 1000);
    let connect = Connect::new(V311, "dock").bytes();
    let cases = [
        b"PROXY TCP4 192.0.2.1 127.0.0.1 5000 1883\r\n".to_vec(),
        connect,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc".to_vec(),
        b"GET /mqtt HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100],
        assemble(0x11, 0x11, &[0; 12]),
        assemble(0x21, 0x11, &[0; 3]),
        assemble(0x21, 0x11, &[0; 60_000]),
    ];
    for (number, bytes) in cases.iter().enumerate() {
        for address in &broker.listeners {
            let mut socket = tcp(*address).await;
            socket.write_all(bytes).await.expect("the broker reads");
            expect_closed(&mut socket).await;
        }
        let wanted = 4.0 * (number as f64 + 1.0);
        eventually("they are counted", || metric(broker.http, REFUSED, "reason=\"handshake\"") == wanted);
    }
}

#[tokio::test]
async fn the_address_in_the_header_is_the_one_that_is_limited() {
    let authority = Authority::new("ours");
    let broker = broker(&authority, 2);
    let (one, other) = (header("192.0.2.1:5000"), header("[2001:db8::1]:5000"));
    let same_network = header("[2001:db8::2]:5000");
    // All four listeners together: the limit is on the address.
    let mut held = Vec::new();
    for (protocol, address) in ALL.into_iter().zip(&broker.listeners).take(2) {
        held.push(behind(&one, protocol, *address, &authority).await.expect("there is a place"));
        held.push(behind(&other, protocol, *address, &authority).await.expect("there is a place"));
    }
    for (protocol, address) in ALL.into_iter().zip(&broker.listeners) {
        for header in [&one, &same_network] {
            assert!(behind(header, protocol, *address, &authority).await.is_none(), "{protocol:?}");
        }
        let free = behind(&header("192.0.2.2:5000"), protocol, *address, &authority).await;
        assert!(free.is_some(), "{protocol:?}: another address has places of its own");
    }
    eventually("they are counted", || metric(broker.http, REFUSED, "reason=\"limit\"") == 8.0);
    assert_eq!(metric(broker.http, "dockgate_limit_hits_total", "limit=\"connections_per_address\""), 8.0);
    drop(held);
    let mut socket = None;
    for _ in 0..1000 {
        socket = behind(&one, Protocol::Mqtt, broker.mqtt, &authority).await;
        if socket.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(socket.is_some(), "the places are free again");
}
