//! A client over any stream of bytes.

use super::broker::Broker;
use super::handshake;
use super::listener::Place;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves one client, from its CONNECT until its connection is over, as a listener does: for programs that carry MQTT over
/// something else than a socket of the broker's own. `peer` is who it is taken for.
///
/// Above `limits.connections` the client is told so in its CONNACK, and above twice that its stream is dropped.
pub async fn serve<R, W>(broker: Arc<Broker>, read: R, write: W, peer: SocketAddr)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let most = broker.limits.connections;
    let socket = Place::take(&broker, |broker| &broker.sockets, most.saturating_mul(2));
    if socket.is_some() {
        let place = Place::take(&broker, |broker| &broker.connections, most);
        handshake::serve(broker, read, write, peer, place).await;
    }
}
