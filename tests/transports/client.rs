//! An MQTT client over any of the transports, which waits for what it expects, with a deadline.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use dockgate::config::Protocol;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::common::{Answer, Connect, DEADLINE, Publish, V311, Version, decode, subscribe};

/// Anything that bytes go through.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Pipe for T {}

pub(crate) type Socket = Box<dyn Pipe>;

/// What a future gives, which must be there within the deadline.
#[track_caller]
pub(crate) fn soon<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let (what, caller) = (what.to_owned(), std::panic::Location::caller());
    async move {
        let Ok(value) = tokio::time::timeout(DEADLINE, future).await else {
            panic!("not within {DEADLINE:?}: {what} ({caller})");
        };
        value
    }
}

/// Opens a TCP connection.
pub(crate) async fn tcp(address: SocketAddr) -> TcpStream {
    let stream = soon("a connection", TcpStream::connect(address)).await.expect("the broker accepts connections");
    stream.set_nodelay(true).expect("TCP has no-delay");
    stream
}

/// Does TLS.
pub(crate) async fn tls(stream: impl Pipe + 'static, config: &Arc<ClientConfig>) -> io::Result<Socket> {
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = soon("TLS", TlsConnector::from(config.clone()).connect(name, stream)).await?;
    Ok(Box::new(stream))
}

/// A request for a WebSocket at this path, with these sub-protocols.
pub(crate) fn request(path: &str, protocols: Option<&'static str>) -> Request {
    let mut request = format!("ws://localhost{path}").into_client_request().expect("a request");
    if let Some(protocols) = protocols {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocols));
    }
    request
}

/// Upgrades to WebSocket; the sub-protocol that was chosen.
pub(crate) async fn upgrade(
    stream: Socket,
    request: Request,
) -> Result<(WebSocketStream<Socket>, String), tungstenite::Error> {
    let (stream, response) = soon("an upgrade", tokio_tungstenite::client_async(request, stream)).await?;
    let protocol = response.headers()["sec-websocket-protocol"].to_str().expect("text").to_owned();
    Ok((stream, protocol))
}

/// Opens a connection of this protocol and sends nothing over it.
pub(crate) async fn open(protocol: Protocol, address: SocketAddr, trust: &Arc<ClientConfig>) -> io::Result<Client> {
    let mut socket: Socket = Box::new(tcp(address).await);
    if protocol.is_tls() {
        socket = tls(socket, trust).await?;
    }
    if !protocol.is_websocket() {
        return Ok(Client::bytes(socket));
    }
    let (stream, _) = upgrade(socket, request("/mqtt", Some("mqtt"))).await.map_err(io::Error::other)?;
    Ok(Client::websocket(stream))
}

enum Way {
    Bytes(Socket),
    WebSocket(Box<WebSocketStream<Socket>>),
}

/// An MQTT connection.
pub(crate) struct Client {
    way: Way,
    version: Version,
    inbox: Vec<u8>,
}

impl Client {
    pub(crate) fn bytes(socket: impl Pipe + 'static) -> Self {
        Self { way: Way::Bytes(Box::new(socket)), version: V311, inbox: Vec::new() }
    }

    pub(crate) fn websocket(stream: WebSocketStream<Socket>) -> Self {
        Self { way: Way::WebSocket(Box::new(stream)), version: V311, inbox: Vec::new() }
    }

    /// The WebSocket, to send what one should not.
    pub(crate) fn frames(&mut self) -> &mut WebSocketStream<Socket> {
        match &mut self.way {
            Way::WebSocket(stream) => stream,
            Way::Bytes(_) => panic!("this is no WebSocket"),
        }
    }

    /// What lies under the frames, or the bytes.
    pub(crate) fn into_socket(self) -> Socket {
        match self.way {
            Way::Bytes(socket) => socket,
            Way::WebSocket(stream) => stream.into_inner(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("the broker reads");
    }

    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.way {
            Way::Bytes(socket) => {
                socket.write_all(bytes).await?;
                socket.flush().await
            }
            Way::WebSocket(stream) => {
                stream.send(Message::Binary(Bytes::copy_from_slice(bytes))).await.map_err(io::Error::other)
            }
        }
    }

    /// The next bytes; none when the broker has closed.
    async fn receive(&mut self) -> Vec<u8> {
        match &mut self.way {
            Way::Bytes(socket) => {
                let mut bytes = vec![0; 65_536];
                let length = socket.read(&mut bytes).await.unwrap_or(0);
                bytes.truncate(length);
                bytes
            }
            Way::WebSocket(stream) => loop {
                match stream.next().await {
                    Some(Ok(Message::Binary(bytes))) => return bytes.to_vec(),
                    Some(Ok(Message::Text(text))) => panic!("the broker sent text: {text}"),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Vec::new(),
                }
            },
        }
    }

    /// The next packet, or nothing when the broker closes the connection.
    #[track_caller]
    pub(crate) fn next_or_close(&mut self) -> impl Future<Output = Option<Answer>> + Send {
        soon("a packet or a close", async {
            loop {
                if let Some((answer, length)) = decode(&self.inbox, self.version) {
                    self.inbox.drain(..length);
                    return Some(answer);
                }
                let bytes = self.receive().await;
                if bytes.is_empty() {
                    return None;
                }
                self.inbox.extend(bytes);
            }
        })
    }

    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Answer> + Send {
        let caller = std::panic::Location::caller();
        let next = self.next_or_close();
        async move { next.await.unwrap_or_else(|| panic!("a packet, but the broker closed ({caller})")) }
    }

    /// Sends CONNECT; the return code of CONNACK, or nothing when the broker closes instead.
    pub(crate) async fn try_connect(&mut self, connect: &Connect) -> Option<u8> {
        self.version = connect.version;
        self.try_send(&connect.bytes()).await.ok()?;
        match self.next_or_close().await? {
            Answer::Connack(connack) => Some(connack.code),
            other => panic!("CONNACK expected, {other:?} came"),
        }
    }

    /// Sends CONNECT, which must be accepted.
    pub(crate) async fn connect(mut self, id: &str) -> Self {
        assert_eq!(self.try_connect(&Connect::new(V311, id)).await, Some(0), "CONNACK for {id}");
        self
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: u8) {
        self.send(&subscribe(self.version, 7, &[], &[(filter, qos)])).await;
        assert_eq!(self.next().await, Answer::Suback(7, vec![qos]));
    }

    pub(crate) async fn publish(&mut self, message: &Publish) {
        self.send(&message.bytes(self.version)).await;
    }

    #[track_caller]
    pub(crate) fn expect_message(&mut self) -> impl Future<Output = Publish> + Send {
        let next = self.next();
        async move {
            match next.await {
                Answer::Publish(message) => message,
                other => panic!("PUBLISH expected, {other:?} came"),
            }
        }
    }

    pub(crate) async fn expect_alive(&mut self) {
        self.send(&crate::common::PINGREQ).await;
        assert_eq!(self.next().await, Answer::Pingresp);
    }

    pub(crate) async fn expect_closed(&mut self) {
        let next = self.next_or_close().await;
        assert!(next.is_none(), "a close expected, {next:?} came");
    }
}
