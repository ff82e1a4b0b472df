//! Accepting connections.

use super::broker::Broker;
use super::connection;
use crate::logging::RateLimit;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// After an error such as EMFILE, accepting goes on after this long.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop`; each is served in a task of `tasks`.
pub async fn accept(listener: TcpListener, broker: Arc<Broker>, stop: CancellationToken, tasks: TaskTracker) {
    static FAILED: RateLimit = RateLimit::per_second(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => drop(tasks.spawn(serve(broker.clone(), stream, peer))),
            Err(error) => {
                if let Some(suppressed) = FAILED.allow() {
                    tracing::warn!(%error, suppressed, "a connection could not be accepted");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(broker: Arc<Broker>, stream: TcpStream, peer: std::net::SocketAddr) {
    let before = broker.connections.fetch_add(1, Relaxed);
    // One more is listened to as far as its CONNECT, so that it can be told that there is no room.
    let full = before >= broker.limits.connections;
    if before < broker.limits.connections.saturating_mul(2) {
        // Without it a small answer may wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
        }
        let (read, write) = stream.into_split();
        connection::serve(broker.clone(), read, write, peer, full).await;
    }
    broker.connections.fetch_sub(1, Relaxed);
}
