//! Accepting connections.

use super::broker::Broker;
use super::handshake;
use crate::logging::RateLimit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
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
    // Without a place a client is listened to as far as its CONNECT, so that it can be told; above this it is not.
    let socket = Place::take(&broker, |broker| &broker.sockets, broker.limits.connections.saturating_mul(2));
    if socket.is_some() {
        let place = Place::take(&broker, |broker| &broker.connections, broker.limits.connections);
        // Without it a small answer may wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
        }
        let (read, write) = stream.into_split();
        handshake::serve(broker.clone(), read, write, peer, place).await;
    }
}

/// One of a limited number of places, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    broker: Arc<Broker>,
    count: fn(&Broker) -> &AtomicUsize,
}

impl Place {
    pub(super) fn take(broker: &Arc<Broker>, count: fn(&Broker) -> &AtomicUsize, most: usize) -> Option<Self> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        count(broker).fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Self { broker: broker.clone(), count })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.count)(&self.broker).fetch_sub(1, Relaxed);
    }
}
