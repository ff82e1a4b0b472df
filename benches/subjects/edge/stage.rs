//! A broker on the present thread, and the way into it.

use super::client::Client;
use crate::subjects::packet::{Connect, V311, subscribe};
use dockgate::access::{Access, Door, Role, Sources};
use dockgate::clock::Clock;
use dockgate::config::{Limits, Listener, Protocol};
use dockgate::hook::{DigestKey, Hook};
use dockgate::ledger::{Ledger, Rules};
use dockgate::metrics::Metrics;
use dockgate::mqtt::listener::Entrance;
use dockgate::mqtt::transport::crowd::Crowd;
use dockgate::mqtt::{self, Broker};
use dockgate::route::Route;
use dockgate::store::Store;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Bytes between a client and the broker: more than a batch, so that nobody waits for room.
const PIPE: usize = 256 << 10;

/// A broker with the default limits, which keeps nothing.
pub(super) struct Stage {
    pub(super) runtime: Runtime,
    broker: Arc<Broker>,
}

impl Stage {
    pub(super) fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
        let metrics = Arc::new(Metrics::new());
        let ledger = Arc::new(Ledger::new(Rules::default()));
        let hook = Hook::new(ledger.clone(), metrics.clone(), DigestKey::from([7; 32]));
        let access = Arc::new(Access::open(Sources::default()).expect("there is no file that could be wrong"));
        let route = runtime.block_on(async { Route::start(1) }).expect("the routing core starts");
        let (limits, store) = (Limits::default(), Store::none());
        let broker = Broker::new(limits, access, metrics, Clock::start(), route, ledger, hook, store);
        Self { runtime, broker: Arc::new(broker) }
    }

    /// A client with this identifier that has its CONNACK.
    pub(super) fn client(&self, id: &str, role: Option<Role>) -> Client {
        let limits = &self.broker.limits;
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let (listener, door) = (Listener::new(Protocol::Mqtt, peer), Door { anonymous: true, role });
        let entrance = Entrance::open((0, &listener), limits, door, Crowd::new(limits));
        let (entrance, _) = entrance.expect("there is no file that could be wrong");
        let (near, far) = tokio::io::duplex(PIPE);
        let (read, write) = tokio::io::split(near);
        self.runtime.spawn(mqtt::serve(self.broker.clone(), Arc::new(entrance), read, write, peer));
        let mut client = Client::new(far);
        self.runtime.block_on(async {
            client.send(&Connect::new(V311, id).keep_alive(0).bytes()).await;
            client.expect(&[0x20, 2, 0, 0]).await;
        });
        client
    }

    /// One that has this subscription, too.
    pub(super) fn subscriber(&self, id: &str, filter: &str, qos: u8, role: Option<Role>) -> Client {
        let mut client = self.client(id, role);
        self.runtime.block_on(async {
            client.send(&subscribe(V311, 1, &[], &[(filter, qos)])).await;
            client.expect(&[0x90, 3, 0, 1, qos]).await;
        });
        client
    }
}
