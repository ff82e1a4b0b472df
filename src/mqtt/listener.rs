//! Accepting connections, and their way to MQTT: a place, the PROXY header, TLS, WebSocket.
//!
//! All of that happens in the connection's own task, and all of it, CONNECT included, within one
//! `limits.connect_timeout`: who says nothing delays nobody.

use super::broker::Broker;
use super::handshake;
use super::transport::crowd::{Crowd, Crowds, Place};
use super::transport::flushed::Flushed;
use super::transport::origins::Origins;
use super::transport::tls::Tls;
use super::transport::{Refused, proxy, websocket};
use crate::access::{Door, Flaw};
use crate::config::{Limits, Listener, Protocol};
use crate::logging::RateLimit;
use crate::metrics::{ConnectRefusal, Limit};
use bytestring::ByteString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// After an error such as EMFILE, accepting goes on after this long.
const PAUSE: Duration = Duration::from_millis(50);

/// What a listener does with those who come through it.
#[derive(Debug)]
pub struct Entrance {
    /// What is spoken.
    pub protocol: Protocol,
    /// The limits of its connections: the listener's own, and everybody's where it has none.
    pub limits: Arc<Limits>,
    /// What the access rules are to know of it.
    pub door: Door,
    proxy_protocol: bool,
    origins: Origins,
    tls: Option<Tls>,
    crowds: Crowds,
}

impl Entrance {
    /// Reads the files of the listener with this place in the settings, if it has any; also says what is unwise about them.
    /// `all` is the crowd of all listeners together, whose limits are `limits`.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn open(
        (index, listener): (usize, &Listener),
        limits: &Limits,
        door: Door,
        all: Arc<Crowd>,
    ) -> Result<(Self, Vec<Flaw>), Vec<Flaw>> {
        let (tls, warnings) = match listener.protocol.is_tls().then(|| Tls::open(listener)).transpose()? {
            Some((tls, warnings)) => (Some(tls), warnings),
            None => (None, Vec::new()),
        };
        let limits = Arc::new(listener.limits.over(limits));
        let crowds = Crowds { all, own: Crowd::new(&limits) };
        let origins = Origins::of(listener, index, door.anonymous);
        let (protocol, proxy_protocol) = (listener.protocol, listener.proxy_protocol);
        Ok((Self { protocol, limits, door, proxy_protocol, origins, tls, crowds }, warnings))
    }

    /// Reads the TLS files again, for connections from now on; `None` if there are none. If anything is wrong with them,
    /// nothing changes.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn reload(&self) -> Option<Result<Vec<Flaw>, Vec<Flaw>>> {
        Some(self.tls.as_ref()?.reload())
    }
}

/// Accepts connections until `stop`; each is served in a task of `tasks`.
pub async fn accept(
    listener: TcpListener,
    entrance: Arc<Entrance>,
    broker: Arc<Broker>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    static FAILED: RateLimit = RateLimit::per_second(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(arrival) = Arrival::new(&broker, &entrance, peer) else { continue };
                // Without it a small answer may wait for the acknowledgement of the one before.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
                }
                let broker = broker.clone();
                // A task each, so that a plain connection has no room for TLS in it.
                match entrance.protocol {
                    Protocol::Mqtt => drop(tasks.spawn(mqtt(broker, arrival, stream))),
                    Protocol::Mqtts => drop(tasks.spawn(mqtts(broker, arrival, stream))),
                    Protocol::Ws => drop(tasks.spawn(ws(broker, arrival, stream))),
                    Protocol::Wss => drop(tasks.spawn(wss(broker, arrival, stream))),
                }
            }
            Err(error) => {
                if let Some(suppressed) = FAILED.allow() {
                    tracing::warn!(%error, suppressed, "a connection could not be accepted");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A client on its way in. It keeps the socket's place for as long as it lives.
///
/// It is handed on in a box: whatever passes through a task stays a part of the task's memory, once for each hand.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Where the client is, as far as anybody we believe has said.
    pub(super) peer: SocketAddr,
    /// The common name of its certificate.
    pub(super) certificate_name: Option<ByteString>,
    /// Where it has come in.
    pub(super) entrance: Arc<Entrance>,
    /// When its CONNECT must be here.
    pub(super) deadline: Instant,
    _socket: Place,
    from_address: Option<Place>,
}

impl Arrival {
    pub(super) fn new(broker: &Broker, entrance: &Arc<Entrance>, peer: SocketAddr) -> Option<Box<Self>> {
        let Some(socket) = entrance.crowds.socket() else {
            refused(broker, peer, entrance, &Refused::full(Limit::Connections));
            return None;
        };
        let mut arrival = Box::new(Self {
            peer,
            certificate_name: None,
            entrance: entrance.clone(),
            deadline: Instant::now() + entrance.limits.connect_timeout,
            _socket: socket,
            from_address: None,
        });
        // Behind a load balancer all come from one address; theirs is in the header.
        let counted = !entrance.proxy_protocol && !peer.ip().to_canonical().is_loopback();
        (!counted || arrival.count_address(broker)).then_some(arrival)
    }

    /// A place under `limits.connections`, for a client that has said CONNECT.
    pub(super) fn place(&self) -> Option<Place> {
        self.entrance.crowds.connection()
    }

    fn count_address(&mut self, broker: &Broker) -> bool {
        self.from_address = self.entrance.crowds.of_address(self.peer);
        if self.from_address.is_none() {
            let refusal = Refused::full(Limit::ConnectionsPerAddress);
            refused(broker, self.peer, &self.entrance, &refusal);
        }
        self.from_address.is_some()
    }

    /// One step of the way in, which ends with the deadline or the broker.
    async fn step<T>(&self, broker: &Broker, step: impl Future<Output = Result<T, Refused>>) -> Option<T> {
        let outcome = tokio::select! {
            outcome = timeout_at(self.deadline, step) => outcome.unwrap_or_else(|_| Err(Refused::late())),
            () = broker.stopping.cancelled() => return None,
        };
        outcome.map_err(|refusal| refused(broker, self.peer, &self.entrance, &refusal)).ok()
    }

    /// Behind the PROXY header, if there has to be one.
    async fn proxied(&mut self, broker: &Broker, stream: &mut TcpStream) -> Option<()> {
        if self.entrance.proxy_protocol
            && let Some(peer) = self.step(broker, Box::pin(proxy::read(stream))).await?
        {
            self.peer = peer;
            return self.count_address(broker).then_some(());
        }
        Some(())
    }

    async fn encrypted(&mut self, broker: &Broker, stream: TcpStream) -> Option<Box<TlsStream<TcpStream>>> {
        let tls = self.entrance.tls.as_ref()?;
        let (stream, name) = self.step(broker, Box::pin(tls.accept(stream))).await?;
        self.certificate_name = name;
        Some(stream)
    }

    async fn upgraded<S>(&self, broker: &Broker, stream: S) -> Option<websocket::WebSocket<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let most = self.entrance.limits.max_packet_size as usize;
        self.step(broker, Box::pin(websocket::accept(stream, &self.entrance.origins, most, broker.metrics.clone())))
            .await
    }
}

async fn mqtt(broker: Arc<Broker>, mut arrival: Box<Arrival>, mut stream: TcpStream) -> Option<()> {
    arrival.proxied(&broker, &mut stream).await?;
    let (read, write) = stream.into_split();
    handshake::serve(broker, read, write, arrival).await;
    Some(())
}

async fn mqtts(broker: Arc<Broker>, mut arrival: Box<Arrival>, mut stream: TcpStream) -> Option<()> {
    arrival.proxied(&broker, &mut stream).await?;
    let stream = arrival.encrypted(&broker, stream).await?;
    let (read, write) = tokio::io::split(Flushed::new(stream));
    handshake::serve(broker, read, write, arrival).await;
    Some(())
}

async fn ws(broker: Arc<Broker>, mut arrival: Box<Arrival>, mut stream: TcpStream) -> Option<()> {
    arrival.proxied(&broker, &mut stream).await?;
    let stream = arrival.upgraded(&broker, stream).await?;
    let (read, write) = tokio::io::split(Flushed::new(stream));
    handshake::serve(broker, read, write, arrival).await;
    Some(())
}

async fn wss(broker: Arc<Broker>, mut arrival: Box<Arrival>, mut stream: TcpStream) -> Option<()> {
    arrival.proxied(&broker, &mut stream).await?;
    let stream = arrival.encrypted(&broker, stream).await?;
    let stream = arrival.upgraded(&broker, stream).await?;
    let (read, write) = tokio::io::split(Flushed::new(stream));
    handshake::serve(broker, read, write, arrival).await;
    Some(())
}

/// Counts and logs a connection that got no further than here.
fn refused(broker: &Broker, peer: SocketAddr, entrance: &Entrance, refusal: &Refused) {
    static REFUSED: RateLimit = RateLimit::per_second(5);
    broker.metrics.refused(refusal.why, refusal.limit);
    if !matches!(refusal.why, ConnectRefusal::Closed)
        && let Some(suppressed) = REFUSED.allow()
    {
        let (reason, protocol) = (refusal.why.as_str(), entrance.protocol.as_str());
        // As text, so that it is escaped.
        let cause = &refusal.cause[..];
        tracing::info!(%peer, protocol, reason, cause, suppressed, "connection refused before CONNECT");
    }
}
