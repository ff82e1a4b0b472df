//! A session: what the broker keeps for one client identifier, with or without a connection (MQTT 5, 4.1).
//!
//! Deliverers of any thread put messages into it (`deliver`); the task of the connection takes them out (`fetch`), and
//! has its client's acknowledgements (`acknowledge`). What the store keeps of it is in `kept`. Its one lock is held for a
//! push or for a small batch, never while bytes are encoded or written. Under it only locks are taken that take none themselves: the gate's, the deadlines', the store's, and, where a
//! connection comes or goes, those of the ledger.

mod acknowledge;
mod copies;
mod deliver;
mod fetch;
mod kept;

pub(in crate::mqtt) use deliver::Readiness;
pub(in crate::mqtt) use fetch::{Outgoing, Rest};
pub(in crate::mqtt) use kept::{SessionRecord, SubscriptionRecord};

use crate::access::Rights;
use crate::config::Limits;
use crate::message::{Message, NEVER};
use crate::metrics::{Drop, Metrics};
use crate::mqtt::account::{Account, Share};
use crate::mqtt::client::Client;
use crate::mqtt::delivery::{Delivery, Number};
use crate::mqtt::inflight::InFlight;
use crate::mqtt::link::Link;
use crate::mqtt::queue::Queue;
use crate::mqtt::shared::Group;
use crate::mqtt::terms::Terms;
use crate::mqtt::topic;
use crate::route::{Gate, Options};
use crate::store::{Store, Ticket};
use ahash::{AHashMap, AHashSet};
use bytestring::ByteString;
use copies::Copies;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// One subscription of a session.
#[derive(Debug, Clone)]
pub(in crate::mqtt) struct Subscription {
    /// Its options.
    pub(in crate::mqtt) options: Options,
    /// For an exact one: a wildcard of the same session matches its topic too.
    pub(in crate::mqtt) overlapped: bool,
    /// The group, if it is a shared one.
    pub(in crate::mqtt) group: Option<Arc<Group>>,
}

/// What all sessions share.
#[derive(Debug, Clone)]
pub(in crate::mqtt) struct Common {
    pub(in crate::mqtt) limits: Arc<Limits>,
    pub(in crate::mqtt) metrics: Arc<Metrics>,
    pub(in crate::mqtt) account: Arc<Account>,
    pub(in crate::mqtt) store: Arc<Store>,
}

/// A session.
#[derive(Debug)]
pub(in crate::mqtt) struct Session {
    /// Never that of another session, also of one before the last restart.
    key: u64,
    client_id: ByteString,
    common: Arc<Common>,
    gate: Arc<Gate>,
    /// It began as one that the store keeps.
    direct: bool,
    /// The store keeps it. Changes under the lock.
    durable: AtomicBool,
    state: Mutex<State>,
}

/// What the lock of a session guards. Only this folder sees it.
#[derive(Debug)]
pub(in crate::mqtt) struct State {
    pub(in crate::mqtt) link: Option<Arc<Link>>,
    pub(in crate::mqtt) terms: Terms,
    /// Who it belongs to, and what that one may do.
    pub(in crate::mqtt) client: Client,
    /// When its connection came, or went, in milliseconds since the epoch.
    pub(in crate::mqtt) since_ms: u64,
    /// Deadlines that wait for the session while it has no connection.
    pub(in crate::mqtt) deadlines: SmallVec<[crate::mqtt::deadlines::Key; 2]>,
    pub(in crate::mqtt) ended: bool,
    pub(in crate::mqtt) subscriptions: AHashMap<ByteString, Subscription>,
    /// Retained messages found by a SUBSCRIBE; they share their memory with the store.
    backlog: Queue,
    queue: Queue,
    inflight: InFlight,
    /// Packet identifiers of QoS 2 messages that the client has not released yet (MQTT-4.3.3-2).
    received: AHashSet<u16>,
    /// Messages delivered by an exact subscription whose wildcard copy is still on its way.
    copies: Copies,
    /// What it reported to the account of all sessions.
    share: Share,
    /// The connection will fetch without being woken.
    awake: bool,
    /// Messages of QoS 1 or 2 wait for room in the window.
    blocked: bool,
    /// Of the last message.
    number: u64,
}

impl Session {
    pub(in crate::mqtt) fn new(key: u64, common: Arc<Common>, client: Client, terms: Terms) -> Self {
        let client_id = client.identity.client_id.clone();
        let durable = terms.expiry_ms > 0 && common.store.is_enabled();
        let state = State {
            link: None,
            terms,
            client,
            since_ms: 0,
            deadlines: SmallVec::new(),
            ended: false,
            subscriptions: AHashMap::new(),
            backlog: Queue::default(),
            queue: Queue::default(),
            inflight: InFlight::default(),
            received: AHashSet::new(),
            copies: Copies::default(),
            share: Share::default(),
            awake: false,
            blocked: false,
            number: 0,
        };
        let (gate, state) = (Arc::default(), Mutex::new(state));
        Self { key, client_id, common, gate, direct: durable, durable: AtomicBool::new(durable), state }
    }

    /// The client identifier.
    pub(in crate::mqtt) fn client_id(&self) -> &ByteString {
        &self.client_id
    }

    pub(in crate::mqtt) fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether a connection is there to take messages.
    #[must_use]
    pub(in crate::mqtt) fn is_online(&self) -> bool {
        self.state.lock().link.is_some()
    }

    /// Messages and bytes that wait.
    #[must_use]
    pub(in crate::mqtt) fn queued(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.queue.len(), state.queue.bytes())
    }

    /// Gives the session to a connection. What was in flight will be fetched again.
    pub(in crate::mqtt) fn attach(&self, state: &mut State, client: Client, terms: Terms) -> (Arc<Link>, Ticket) {
        let link = Arc::new(Link::default());
        state.link = Some(link.clone());
        state.client = client;
        state.terms = terms;
        if let Some(will) = &mut state.terms.will {
            will.publisher = self.key;
        }
        state.inflight.reconnected();
        state.awake = true;
        state.blocked = false;
        link.wake.notify_one();
        let ticket = self.keep_by_terms(state);
        (link, ticket)
    }

    /// What the client behind `link` may do now; nothing if the session is not its any more.
    pub(in crate::mqtt) fn rights(&self, link: &Arc<Link>) -> Option<Arc<Rights>> {
        let state = self.state.lock();
        let is_present = state.link.as_ref().is_some_and(|present| Arc::ptr_eq(present, link));
        is_present.then(|| state.client.rights.clone())
    }

    /// The connection has gone: nobody reads the queue any more, and no publisher waits for it.
    ///
    /// Retained messages that were still to come stay as far as the queue's bounds allow: the store may replace them, and
    /// then this session alone keeps them in memory.
    pub(in crate::mqtt) fn detach(&self, state: &mut State) {
        state.link = None;
        self.gate.open();
        let fleeting = state.backlog.drop_fleeting();
        self.common.metrics.dropped(Drop::Offline, fleeting as u64);
        if state.backlog.len() > 0
            && let Some(limit) = self.no_room(state, state.backlog.bytes())
        {
            self.common.metrics.dropped(Drop::QueueFull, state.backlog.len() as u64);
            self.common.metrics.limit_hit(limit);
            for delivery in state.backlog.drain_lasting() {
                self.forget_delivery(&delivery);
            }
        }
        self.keep_unacknowledged(state);
        self.settle(state);
    }

    /// The connection wrote something to its socket.
    pub(in crate::mqtt) fn progressed(&self) {
        self.gate.progressed();
    }

    /// Reports what waits to the account of all sessions.
    pub(in crate::mqtt) fn settle(&self, state: &mut State) {
        let bytes = state.bytes();
        self.common.account.settle(&mut state.share, bytes, state.link.is_some());
    }

    /// Drops what waits for the client and it may not read any more; says how many messages that were.
    pub(in crate::mqtt) fn drop_unreadable(&self, state: &mut State) -> usize {
        let rights = state.client.rights.clone();
        let mut readable = |delivery: &Delivery| {
            let readable = rights.may_read(delivery.message.topic());
            if !readable {
                self.forget_delivery(delivery);
            }
            readable
        };
        state.queue.retain(&mut readable) + state.backlog.retain(&mut readable)
    }

    /// The end of the session: gives back its subscriptions, and what shared groups may give to others.
    pub(in crate::mqtt) fn end(
        &self,
        state: &mut State,
    ) -> (AHashMap<ByteString, Subscription>, Vec<Delivery>, Ticket) {
        state.ended = true;
        state.link = None;
        state.backlog = Queue::default();
        state.copies = Copies::default();
        state.received = AHashSet::new();
        let queued = state.queue.drain_lasting();
        let unacknowledged = state.inflight.take_unacknowledged().chain(queued);
        let shared = unacknowledged.filter(|d| d.group.is_some()).collect();
        let ticket = self.forget_all();
        self.settle(state);
        (std::mem::take(&mut state.subscriptions), shared, ticket)
    }
}

impl State {
    /// Bytes of all that waits for the client.
    fn bytes(&self) -> usize {
        self.queue.bytes() + self.inflight.bytes() + self.backlog.bytes()
    }

    fn next_number(&mut self) -> Number {
        self.number += 1;
        Number::new(self.number)
    }

    fn wake(&mut self) {
        if !self.awake
            && let Some(link) = &self.link
        {
            self.awake = true;
            link.wake.notify_one();
        }
    }

    /// A wildcard subscription has gone: copies that it would have brought do not come any more.
    pub(in crate::mqtt) fn forget_copies(&mut self) {
        let mut copies = std::mem::take(&mut self.copies);
        copies.retain(|message| self.wildcard_matches(message.topic()));
        self.copies = copies;
    }

    /// Whether one of its wildcard subscriptions matches `topic`.
    pub(in crate::mqtt) fn wildcard_matches(&self, topic: &str) -> bool {
        self.subscriptions
            .iter()
            .any(|(filter, own)| own.group.is_none() && topic::has_wildcard(filter) && topic::matches(filter, topic))
    }

    /// Whether it has so many wildcard subscriptions, besides `filter`, of which it may read only a part.
    pub(in crate::mqtt) fn has_partial_wildcards(&self, count: usize, filter: &str) -> bool {
        let is_one =
            |text: &str, own: &Subscription| own.options.partial && text != filter && topic::has_wildcard(text);
        self.subscriptions.iter().filter(|(text, own)| is_one(text, own)).take(count).count() == count
    }

    /// Whether its client may read a message that `matching` subscriptions of it match.
    pub(in crate::mqtt) fn may_take(&self, matching: &[Options], message: &Message) -> bool {
        !matching.iter().any(|options| options.partial) || self.client.rights.may_read(message.topic())
    }

    /// The options of all its subscriptions that match `topic`, but for the shared ones.
    fn options_matching(&self, topic: &str) -> SmallVec<[Options; 4]> {
        let own = self.subscriptions.iter().filter(|(_, own)| own.group.is_none());
        own.filter(|(filter, _)| topic::matches(filter, topic)).map(|(_, own)| own.options).collect()
    }
}

#[cfg(test)]
impl State {
    /// Bytes that wait, those that the account knows of, and whether a connection is there.
    pub(in crate::mqtt) fn waiting(&self) -> (usize, usize, bool) {
        (self.bytes(), self.share.bytes(), self.link.is_some())
    }
}

/// The session's expiry as a deadline; [`NEVER`] stays never.
#[must_use]
pub(in crate::mqtt) fn after(now_ms: u64, delay_ms: u64) -> u64 {
    now_ms.checked_add(delay_ms).unwrap_or(NEVER)
}
