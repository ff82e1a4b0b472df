//! Whoever always has something to hear is listened to.
//!
//! The client is no socket: what it is told goes into a sink that takes everything at once.

use crate::common::{Connect, PINGREQ, V311, subscribe};
use dockgate::access::{Access, Door, Sources};
use dockgate::clock::Clock;
use dockgate::config::{Limits, Listener, Protocol};
use dockgate::hook::{DigestKey, Hook};
use dockgate::ledger::{Ledger, Rules};
use dockgate::message::{Message, NEVER, Parts, QoS};
use dockgate::metrics::Metrics;
use dockgate::mqtt::listener::Entrance;
use dockgate::mqtt::transport::crowd::Crowd;
use dockgate::mqtt::{self, Broker};
use dockgate::route::{Batch, Route};
use dockgate::store::Store;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

const PINGRESP: [u8; 2] = [0xd0, 0];
const PATIENCE: Duration = Duration::from_secs(10);

/// What the client has been told.
#[derive(Debug, Default)]
struct Heard {
    bytes: AtomicUsize,
    pingresp: AtomicBool,
    is_over: AtomicBool,
}

/// Ends the flood, also if the test fails: the runtime waits for it.
struct End(Arc<Heard>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.is_over.store(true, SeqCst);
    }
}

/// Takes all that there is, at once, and for everything that it takes there is something more to tell.
struct Sink {
    heard: Arc<Heard>,
    route: Arc<Route>,
    next: Message,
    batch: Batch,
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let Self { heard, route, next, batch } = &mut *self;
        heard.bytes.fetch_add(bytes.len(), SeqCst);
        // The messages of this test have no such bytes.
        if bytes.windows(2).any(|pair| pair == PINGRESP) {
            heard.pingresp.store(true, SeqCst);
        }
        if !heard.is_over.load(SeqCst) {
            route.publish(next.clone(), batch);
            assert!(route.send(batch).is_none(), "the queue fills up");
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_always_has_something_to_hear_is_listened_to() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let _inside = runtime.enter();
    let metrics = Arc::new(Metrics::new());
    let ledger = Arc::new(Ledger::new(Rules::default()));
    let hook = Hook::new(ledger.clone(), metrics.clone(), DigestKey::from([7; 32]));
    let access = Arc::new(Access::open(Sources::default()).unwrap());
    let route = Route::start(1).unwrap();
    let limits = Limits::default();
    let broker = Broker::new(limits, access, metrics, Clock::start(), route.clone(), ledger, hook, Store::none());
    let broker = Arc::new(broker);

    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let (listener, door) = (Listener::new(Protocol::Mqtt, peer), Door { anonymous: true, role: None });
    let entrance = Entrance::open((0, &listener), &broker.limits, door, Crowd::new(&broker.limits));
    let (entrance, _) = entrance.unwrap();
    let (read, mut client) = tokio::io::duplex(1 << 16);
    let heard = Arc::new(Heard::default());
    let _end = End(heard.clone());
    let (qos, retain, publisher, expires_at) = (QoS::AtMostOnce, false, 7, NEVER);
    let parts = Parts { qos, retain, publisher, expires_at, topic: "flood", properties: &[], payload: b"x" };
    let (next, batch) = (Message::new(&parts), route.batch(publisher));
    let sink = Sink { heard: heard.clone(), route, next, batch };
    runtime.spawn(mqtt::serve(broker, Arc::new(entrance), read, sink, peer));
    let hello = [Connect::new(V311, "listener").bytes(), subscribe(V311, 1, &[], &[("flood", 0)])].concat();
    runtime.block_on(client.write_all(&hello)).unwrap();
    until("the flood comes", || heard.bytes.load(SeqCst) > 10_000);
    runtime.block_on(client.write_all(&PINGREQ)).unwrap();
    until("PINGREQ is answered", || heard.pingresp.load(SeqCst));
}
