//! Fetching logs on behalf of the operator: the broker asks docks by itself, so that a team without a backend can.
//!
//! It is a backend like any other: its requests take the way of every publish ([`Broker::publish`]), so the guard, the
//! ledger and the store treat a start of the operator's as they treat everybody's. What docks answer it hears from the
//! hook, which tells whoever waits for a tid ([`Awaited`](crate::hook::Awaited)). `request` is what it sends, `refused` what
//! may come in its way.

mod refused;
mod request;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub use self::refused::Refused;
pub use self::request::Wanted;
use self::request::archive_keys;
use crate::access::{Identity, Proof, Rights};
use crate::cloud_api::{self, Credentials, ListRequest, Module, UpdateRequest};
use crate::ledger::{Ledger, ListedView, Policy, UploadView};
use crate::message::{NEVER, Parts, QoS};
use crate::mqtt::broker::{Accepted, Author};
use crate::mqtt::{Broker, Dock};
use crate::object_store::{Grant, ObjectStore};
use crate::store::Ticket;

/// What docks and the ledger know the broker's own requests by.
const CLIENT_ID: &str = "dockgate";
/// How long a list may take: the dock looks through its logs for it, and backends wait as long.
const LIST_TIMEOUT: Duration = Duration::from_secs(20);

/// Uploads that credentials are asked for at one time.
const TURNS: usize = 8;

/// Asks docks for their logs. Any task of any runtime may call it.
#[derive(Debug)]
pub struct Retrieval {
    broker: Arc<Broker>,
    ledger: Arc<Ledger>,
    store: Option<Arc<ObjectStore>>,
    /// Turns of those who ask it for credentials: it may keep each waiting for seconds.
    turns: Arc<Semaphore>,
    identity: Identity,
    rights: Rights,
    /// Where publishes may wait for others.
    runtime: Handle,
}

/// A request that the dock has answered with 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its transaction.
    pub tid: String,
    /// Its business.
    pub bid: String,
}

/// An upload that the dock has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The request.
    pub answered: Answered,
    /// Its number in the ledger; none if it has ended meanwhile.
    pub id: Option<u64>,
    /// Where each module's archive goes.
    pub keys: Vec<(Module, String)>,
}

impl Retrieval {
    /// A retrieval whose requests go out in the present tokio runtime. Without `store` it can start no upload.
    #[must_use]
    pub fn new(broker: Arc<Broker>, ledger: Arc<Ledger>, store: Option<Arc<ObjectStore>>) -> Self {
        let identity =
            Identity { client_id: CLIENT_ID.into(), username: None, listener_role: None, proof: Proof::Anonymous };
        let rights = Rights::everything(&identity);
        Self {
            broker,
            ledger,
            store,
            turns: Arc::new(Semaphore::new(TURNS)),
            identity,
            rights,
            runtime: Handle::current(),
        }
    }

    /// Where uploads go.
    #[must_use]
    pub fn store(&self) -> Option<&ObjectStore> {
        self.store.as_deref()
    }

    /// Who takes the commands to a gateway.
    #[must_use]
    pub fn dock(&self, gateway: &str) -> Option<Dock> {
        self.broker.dock(gateway)
    }

    /// Every gateway whose commands somebody takes.
    #[must_use]
    pub fn docks(&self) -> Vec<Dock> {
        self.broker.docks()
    }

    /// Asks for the lists of these modules, and returns them.
    ///
    /// # Errors
    /// [`Refused`] says why there are none.
    pub async fn list(
        self: &Arc<Self>,
        gateway: &str,
        modules: &[Module],
    ) -> Result<(Answered, Vec<ListedView>), Refused> {
        let data = ListRequest { module_list: modules.to_vec() };
        let asked = self.broker.now();
        let answered = self.ask(gateway, cloud_api::LIST, &data, LIST_TIMEOUT).await?;
        let now = self.broker.now();
        let listed = self.ledger.gateway(gateway, now).map(|view| view.listed).unwrap_or_default();
        // Of a module that the dock says nothing of, an earlier list is remembered.
        let is_new = |view: &ListedView| view.age_ms <= now.since(asked);
        let is_wanted = |view: &ListedView| is_new(view) && modules.iter().any(|module| module.as_str() == view.module);
        Ok((answered, listed.into_iter().filter(is_wanted).collect()))
    }

    /// Has a dock upload these logs to the object store of the settings.
    ///
    /// # Errors
    /// [`Refused`] says why it does not.
    pub async fn start(self: &Arc<Self>, gateway: &str, wanted: &[Wanted]) -> Result<Begun, Refused> {
        let store = self.store.clone().ok_or(Refused::NoStore)?;
        self.reach(gateway)?;
        let keys = archive_keys(store.prefix(), gateway, wanted, self.broker.clock.now_ms());
        let names: Vec<String> = keys.iter().map(|(_, key)| key.clone()).collect();
        // It asks the object store over the network, and goes on if its client hangs up: so the turn goes with it.
        let turn = self.turns.clone().acquire_owned().await.map_err(|error| Refused::Failed(error.to_string()))?;
        let ask = {
            let store = store.clone();
            move || {
                let _turn = turn;
                store.credentials(&names.iter().map(String::as_str).collect::<Vec<_>>())
            }
        };
        let grant = self.runtime.spawn_blocking(ask).await.map_err(|error| Refused::Failed(error.to_string()))?;
        let grant = grant.map_err(|error| Refused::Store(error.to_string()))?;
        let listed = self.ledger.gateway(gateway, self.broker.now()).map(|view| view.listed).unwrap_or_default();
        let data = request::start(&store, credentials(grant), gateway, wanted, &keys, &listed);
        let answered = self.ask(gateway, cloud_api::START, &data, self.ledger.rules().reply_timeout).await?;
        let id = self.ledger.started_as(gateway, &answered.tid, self.broker.now()).map(|upload| upload.id);
        Ok(Begun { answered, id, keys })
    }

    /// Has a dock cancel what it uploads of these modules.
    ///
    /// # Errors
    /// [`Refused`] says why it does not.
    pub async fn cancel(self: &Arc<Self>, gateway: &str, modules: &[Module]) -> Result<Answered, Refused> {
        let data = UpdateRequest { status: "cancel".to_owned(), module_list: modules.to_vec() };
        self.ask(gateway, cloud_api::UPDATE, &data, self.ledger.rules().reply_timeout).await
    }

    /// Frees the slot of the upload with this number, or all slots of the gateway: see [`Ledger::release`]. Returns the
    /// uploads that had them, none if there were none.
    pub async fn release(&self, gateway: &str, id: Option<u64>) -> Vec<UploadView> {
        let now = self.broker.now();
        let effects = self.broker.hook().release(gateway, id, now);
        self.broker.settle(Ticket::from_mark(effects.mark)).await;
        let places = effects.ended.iter();
        let released: Vec<_> = places.filter_map(|place| self.ledger.ended_at(gateway, *place, now)).collect();
        for upload in &released {
            tracing::info!(gateway, id = upload.id, "upload released by the operator");
        }
        released
    }

    /// Sends a request and waits for the dock's answer, which must be 0.
    async fn ask(
        self: &Arc<Self>,
        gateway: &str,
        method: &'static str,
        data: &impl Serialize,
        patience: Duration,
    ) -> Result<Answered, Refused> {
        self.reach(gateway)?;
        let now_ms = self.broker.clock.now_ms();
        let (tid, bid, payload) = request::envelope(method, data, now_ms);
        let mut expected = self.broker.hook().awaited().expect(gateway, &tid);
        let (this, topic) = (Arc::clone(self), cloud_api::services(gateway));
        // Later it would be of no use: nobody waits for the answer any more.
        let expires_at = now_ms.saturating_add(u64::try_from(patience.as_millis()).unwrap_or(NEVER));
        let sent = self.runtime.spawn(async move { this.publish(&topic, payload.expose(), expires_at).await });
        match sent.await.map_err(|error| Refused::Failed(error.to_string()))? {
            Accepted::Delivered => {}
            Accepted::NoSubscriber => return Err(Refused::not_connected(gateway)),
            Accepted::Quota(reason) => {
                let running = self.ledger.gateway_in_short(gateway, self.broker.now()).map(|view| view.running);
                // With a slot a module there may be two, and which of them it is the guard does not say.
                let upload = running.and_then(|running| match &running[..] {
                    [only] => Some(only.id),
                    _ => None,
                });
                return Err(Refused::Busy { reason, code: self.ledger.rules().conflict_result, upload });
            }
            Accepted::NotAuthorized | Accepted::NoStorage => {
                return Err(Refused::Failed("the broker did not take its own request".to_owned()));
            }
        }
        match tokio::time::timeout(patience, expected.answer()).await {
            Ok(0) => Ok(Answered { tid, bid }),
            Ok(code) => Err(Refused::Dock { code }),
            Err(_) => Err(Refused::Silent { method, waited: patience }),
        }
    }

    /// Whether somebody is there to take a request, so that a start does not take a slot for nothing, and its answer is heard.
    fn reach(&self, gateway: &str) -> Result<(), Refused> {
        if self.ledger.rules().policy == Policy::Off {
            return Err(Refused::Off);
        }
        let is_there = match self.broker.dock(gateway) {
            Some(dock) => dock.is_online,
            // A bridge may stand for it, with a wildcard.
            None => self.broker.is_subscribed(&cloud_api::services(gateway)),
        };
        if is_there { Ok(()) } else { Err(Refused::not_connected(gateway)) }
    }

    async fn publish(&self, topic: &str, payload: &[u8], expires_at: u64) -> Accepted {
        let author = Author { identity: &self.identity, rights: &self.rights, presence: CLIENT_ID, is_here: true };
        let parts =
            Parts { qos: QoS::AtLeastOnce, retain: false, publisher: 0, expires_at, topic, properties: &[], payload };
        let (mut batch, mut arena) = (self.broker.batch(0), BytesMut::new());
        let accepted = self.broker.publish(&author, &parts, &mut batch, &mut arena);
        self.broker.send_all(&mut batch).await;
        accepted
    }
}

fn credentials(grant: Grant) -> Credentials {
    Credentials {
        access_key_id: grant.access_key_id,
        access_key_secret: grant.access_key_secret,
        expire: grant.expires_at_ms,
        security_token: grant.security_token,
    }
}
