//! What lies between a socket and MQTT: the PROXY header, TLS and the WebSocket upgrade, over sockets of this machine.
//!
//! Whatever comes, the broker neither panics nor hangs, and a client that follows the rules is served after it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use dockgate::config::{Limits, Listener, Protocol};
use dockgate::mqtt::listener::accept;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::input::Input;
use super::packet::{Connect, V311};
use super::packets;

/// How long anything may take that needs no time at all.
const DEADLINE: Duration = Duration::from_secs(20);
/// Operations of one input.
const MAX_STEPS: usize = 32;
/// Of so many inputs, after the last a client that follows the rules comes.
const WITNESS_EVERY: u32 = 32;
const UPGRADE: &str = "GET /mqtt HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: mqtt\r\n\r\n";
/// PROXY protocol 2: version and command, family and protocol, length; then the addresses.
const PROXY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x30\x39\x07\x5b";

/// A broker with a listener of each kind.
#[derive(Debug)]
pub(crate) struct Bench {
    runtime: Runtime,
    /// `mqtt` behind a balancer, `ws`, and `ws` behind a balancer.
    addresses: [SocketAddr; 3],
    runs: u32,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let addresses = runtime.block_on(async {
            let limits = Limits { max_packet_size: 1 << 16, ..Limits::default() };
            let broker = packets::broker(limits.clone());
            let mut addresses = Vec::new();
            for (protocol, is_proxied) in [(Protocol::Mqtt, true), (Protocol::Ws, false), (Protocol::Ws, true)] {
                let address = SocketAddr::from(([127, 0, 0, 1], 0));
                let socket = TcpListener::bind(address).await.expect("loopback has free ports");
                addresses.push(socket.local_addr().expect("it is bound"));
                let listener = Listener { proxy_protocol: is_proxied, ..Listener::new(protocol, address) };
                let entrance = packets::entrance(&listener, &limits);
                tokio::spawn(accept(socket, entrance, broker.clone(), CancellationToken::new(), TaskTracker::new()));
            }
            addresses.try_into().expect("there are three")
        });
        Self { runtime, addresses, runs: 0 }
    }

    /// Plays one input.
    pub(crate) fn run(&mut self, input: &[u8]) {
        self.runs += 1;
        let is_asked = self.runs.is_multiple_of(WITNESS_EVERY);
        let addresses = self.addresses;
        self.runtime.block_on(async {
            let played = timeout(DEADLINE, play(addresses, Input::new(input))).await;
            // A reset is an answer, too.
            played.expect("the broker lets go of a connection that has ended").ok();
            if is_asked {
                timeout(DEADLINE, testify(addresses)).await.expect("in time").expect("a client is served");
            }
        });
    }
}

async fn play(addresses: [SocketAddr; 3], mut input: Input<'_>) -> io::Result<()> {
    let which = usize::from(input.byte()) % 3;
    let mut stream = TcpStream::connect(addresses[which]).await?;
    stream.set_nodelay(true)?;
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() & 7 {
            0 => stream.write_all(input.short()).await?,
            1 => stream.write_all(PROXY).await?,
            2 => stream.write_all(UPGRADE.as_bytes()).await?,
            // The same with something replaced.
            3 | 4 => {
                let mut text = [PROXY, UPGRADE.as_bytes()].concat();
                let from = usize::from(input.two()) % text.len();
                let until = (from + usize::from(input.byte())).min(text.len());
                text.splice(from..until, input.short().iter().copied());
                let begin = if which == 1 { PROXY.len().min(text.len()) } else { 0 };
                stream.write_all(&text[begin..]).await?;
            }
            5 => stream.write_all(&frame(0x82, &Connect::new(V311, "fuzz").bytes())).await?,
            // A frame whose length is right, and one whose length may be anything.
            6 => {
                let (first, payload) = (input.byte(), input.short());
                stream.write_all(&frame(first, payload)).await?;
            }
            _ => tokio::task::yield_now().await,
        }
    }
    stream.shutdown().await?;
    let mut answer = [0; 4096];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

/// A frame of a client (RFC 6455, 5.2); the mask is zero, so that what is in it can be seen.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

async fn testify(addresses: [SocketAddr; 3]) -> io::Result<()> {
    let connect = Connect::new(V311, "witness").bytes();
    for (which, address) in addresses.into_iter().enumerate() {
        let mut stream = TcpStream::connect(address).await?;
        if which != 1 {
            stream.write_all(PROXY).await?;
        }
        let mut answer = Vec::new();
        if which > 0 {
            stream.write_all(UPGRADE.as_bytes()).await?;
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(stream.read_u8().await?);
            }
            assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", answer.escape_ascii());
        }
        stream.write_all(&if which > 0 { frame(0x82, &connect) } else { connect.clone() }).await?;
        // CONNACK, in a frame of its own.
        let mut connack = [0; 6];
        let from = if which > 0 { 0 } else { 2 };
        stream.read_exact(&mut connack[from..]).await?;
        assert_eq!(connack[2..], [0x20, 2, 0, 0]);
    }
    Ok(())
}
