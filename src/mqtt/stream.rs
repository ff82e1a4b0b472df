//! A client over any stream of bytes.

use super::broker::Broker;
use super::handshake;
use super::listener::{Arrival, Entrance};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves one client, from its CONNECT until its connection is over, as a listener does: for programs that carry MQTT over
/// something else than a socket of the broker's own. `peer` is who it is taken for.
///
/// Over a limit of the entrance the client is told so in its CONNACK, or its stream is dropped.
pub async fn serve<R, W>(broker: Arc<Broker>, entrance: Arc<Entrance>, read: R, write: W, peer: SocketAddr)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    if let Some(arrival) = Arrival::new(&broker, &entrance, peer) {
        handshake::serve(broker, read, write, arrival).await;
    }
}
