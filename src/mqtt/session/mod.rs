//! A session: what the broker keeps for one client identifier, with or without a connection (MQTT 5, 4.1).
//!
//! Deliverers of any thread put messages into it ([`Subscriber::deliver`]); the task of the connection takes them
//! out ([`Session::fetch`]). Its one lock is held for a push or for a small batch, never while bytes are encoded or
//! written. Under it only locks are taken that take none themselves: the gate's, the deadlines', and, where a connection
//! comes or goes, those of the ledger.

mod copies;
mod fetch;

pub(in crate::mqtt) use fetch::{Outgoing, Rest};

use crate::access::Rights;
use crate::config::Limits;
use crate::message::{Message, NEVER, QoS};
use crate::metrics::{Drop, Limit, Metrics};
use crate::mqtt::account::{Account, Share};
use crate::mqtt::client::Client;
use crate::mqtt::delivery::Delivery;
use crate::mqtt::inflight::{InFlight, Received};
use crate::mqtt::link::Link;
use crate::mqtt::queue::Queue;
use crate::mqtt::shared::Group;
use crate::mqtt::terms::Terms;
use crate::mqtt::topic;
use crate::route::{Gate, Options, Pressure, Subscriber, Via};
use ahash::{AHashMap, AHashSet};
use bytestring::ByteString;
use copies::Copies;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::num::NonZeroU16;
use std::sync::Arc;

/// What the queue of a subscriber that publishers wait for may hold beyond its bounds: as much as was on its way when it
/// got half full (the lanes of the routing core).
const ON_THE_WAY: usize = 16 << 20;
/// A message smaller than this may share its memory with others of its batch.
const SHARED_MEMORY: usize = 4 << 10;

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

/// A session.
#[derive(Debug)]
pub(in crate::mqtt) struct Session {
    key: u64,
    client_id: ByteString,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    account: Arc<Account>,
    gate: Arc<Gate>,
    state: Mutex<State>,
}

/// What the lock of a session guards. Only this folder sees it.
#[derive(Debug)]
pub(in crate::mqtt) struct State {
    pub(in crate::mqtt) link: Option<Arc<Link>>,
    pub(in crate::mqtt) terms: Terms,
    /// Who it belongs to, and what that one may do.
    pub(in crate::mqtt) client: Client,
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
}

impl Session {
    pub(in crate::mqtt) fn new(
        key: u64,
        limits: Arc<Limits>,
        metrics: Arc<Metrics>,
        account: Arc<Account>,
        client: Client,
        terms: Terms,
    ) -> Self {
        let client_id = client.identity.client_id.clone();
        let state = State {
            link: None,
            terms,
            client,
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
        };
        Self { key, client_id, limits, metrics, account, gate: Arc::default(), state: Mutex::new(state) }
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
    pub(in crate::mqtt) fn attach(&self, state: &mut State, client: Client, terms: Terms) -> Arc<Link> {
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
        link
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
        self.metrics.dropped(Drop::Offline, fleeting as u64);
        if state.backlog.len() > 0
            && let Some(limit) = self.no_room(state, state.backlog.bytes())
        {
            self.metrics.dropped(Drop::QueueFull, state.backlog.len() as u64);
            self.metrics.limit_hit(limit);
            state.backlog = Queue::default();
        }
        self.settle(state);
    }

    /// The connection wrote something to its socket.
    pub(in crate::mqtt) fn progressed(&self) {
        self.gate.progressed();
    }

    /// Takes a PUBACK; whether there was such a message.
    pub(in crate::mqtt) fn acknowledge(&self, id: NonZeroU16) -> bool {
        self.state.lock().inflight.acknowledge(id)
    }

    /// Takes a PUBREC with its reason code.
    pub(in crate::mqtt) fn received(&self, id: NonZeroU16, code: u8) -> Received {
        self.state.lock().inflight.received(id, code)
    }

    /// Takes a PUBCOMP; whether there was such a message.
    pub(in crate::mqtt) fn complete(&self, id: NonZeroU16) -> bool {
        self.state.lock().inflight.complete(id)
    }

    /// Notes a QoS 2 publish from the client; `None` if it is over `most` unreleased ones, else whether it is new.
    pub(in crate::mqtt) fn receive(&self, id: NonZeroU16, most: usize) -> Option<bool> {
        let mut state = self.state.lock();
        if state.received.contains(&id.get()) {
            return Some(false);
        }
        if state.received.len() >= most {
            return None;
        }
        Some(state.received.insert(id.get()))
    }

    /// Takes a PUBREL, or forgets a QoS 2 publish that was refused; whether there was such a message.
    pub(in crate::mqtt) fn release(&self, id: NonZeroU16) -> bool {
        let mut state = self.state.lock();
        let known = state.received.remove(&id.get());
        if state.received.is_empty() {
            state.received = AHashSet::new();
        }
        known
    }

    /// Queues one delivery; says whether its publisher should wait.
    pub(in crate::mqtt) fn enqueue(&self, state: &mut State, mut delivery: Delivery) -> Option<Pressure> {
        if state.ended {
            self.metrics.dropped(Drop::SessionEnded, 1);
            return None;
        }
        let online = state.link.is_some();
        if !online && delivery.qos == QoS::AtMostOnce {
            // Not kept for who isn't there, as in any broker (MQTT 5, 4.1).
            self.metrics.dropped(Drop::Offline, 1);
            return None;
        }
        let lasting = delivery.qos != QoS::AtMostOnce;
        let cost = Queue::cost(&delivery);
        if self.no_room(state, cost).is_some() && !self.is_waited_for(state, lasting) {
            if lasting {
                let dropped = state.queue.drop_fleeting();
                self.metrics.dropped(Drop::QueueFullQos0, dropped as u64);
            }
            if let Some(limit) = self.no_room(state, cost) {
                self.metrics.dropped(if lasting { Drop::QueueFull } else { Drop::QueueFullQos0 }, 1);
                self.metrics.limit_hit(limit);
                return None;
            }
        }
        // It may wait for days: it must not keep its neighbours in the read buffer alive.
        if !online && delivery.message.size() < SHARED_MEMORY {
            delivery.message = delivery.message.detached();
        }
        let blocked = state.blocked && lasting;
        state.queue.push(delivery);
        if !blocked {
            state.wake();
        }
        let pressing = state.queue.len() > self.limits.queue_messages / 2
            || state.queue.bytes() > self.limits.queue_bytes / 2
            || self.account.is_short_for(state.queue.bytes());
        if online && pressing && self.gate.press(lasting) { self.gate.pressure(lasting) } else { None }
    }

    /// The limit that keeps a message of this cost out of the queue.
    fn no_room(&self, state: &State, cost: usize) -> Option<Limit> {
        if state.queue.len() >= self.limits.queue_messages {
            Some(Limit::QueueMessages)
        } else if state.queue.bytes() + cost > self.limits.queue_bytes {
            Some(Limit::QueueBytes)
        } else if self.account.is_full_for(state.queue.bytes(), state.link.is_some()) {
            Some(Limit::QueueBytesTotal)
        } else {
            None
        }
    }

    /// Reports what waits to the account of all sessions.
    pub(in crate::mqtt) fn settle(&self, state: &mut State) {
        let bytes = state.bytes();
        self.account.settle(&mut state.share, bytes, state.link.is_some());
    }

    /// Whether publishers wait for it already, so that what comes now is only what was on its way.
    fn is_waited_for(&self, state: &State, lasting: bool) -> bool {
        state.queue.bytes() < self.limits.queue_bytes.saturating_add(ON_THE_WAY)
            && self.gate.pressure(lasting).is_some()
    }

    /// Queues retained messages, at most so many, for a client that is still there. They do not count as queued for the
    /// session, but they do in the account of all: the store holds them only until others take their place.
    ///
    /// # Errors
    /// The limit that keeps them out.
    pub(in crate::mqtt) fn enqueue_retained(&self, deliveries: Vec<Delivery>, most: usize) -> Result<(), Limit> {
        let mut state = self.state.lock();
        if state.link.is_none() {
            self.metrics.dropped(Drop::Offline, deliveries.len() as u64);
            return Ok(());
        }
        if state.backlog.len() + deliveries.len() > most {
            return Err(Limit::QueueMessages);
        }
        let bytes = state.backlog.bytes() + deliveries.iter().map(Queue::cost).sum::<usize>();
        if self.account.is_full_for(bytes, true) {
            return Err(Limit::QueueBytesTotal);
        }
        for delivery in deliveries {
            state.backlog.push(delivery);
        }
        self.settle(&mut state);
        state.wake();
        Ok(())
    }

    /// Queues a message that a shared group chose this session for.
    ///
    /// # Errors
    /// The delivery, if the session has ended meanwhile.
    pub(in crate::mqtt) fn deliver_shared(&self, delivery: Delivery) -> Result<Option<Pressure>, Delivery> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(delivery);
        }
        let pressure = self.enqueue(&mut state, delivery);
        self.settle(&mut state);
        Ok(pressure)
    }

    /// Whether another message for it would be dropped.
    pub(in crate::mqtt) fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.queue.len() >= self.limits.queue_messages || state.queue.bytes() >= self.limits.queue_bytes
    }
}

impl State {
    /// Bytes of all that waits for the client.
    fn bytes(&self) -> usize {
        self.queue.bytes() + self.inflight.bytes() + self.backlog.bytes()
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

    /// Whether its client may read a topic that `matching` subscriptions of it match.
    pub(in crate::mqtt) fn may_take(&self, matching: &[Options], topic: &str) -> bool {
        !matching.iter().any(|options| options.partial) || self.client.rights.may_read(topic)
    }

    /// Drops what waits for the client and it may not read any more; says how many messages that were.
    pub(in crate::mqtt) fn drop_unreadable(&mut self) -> usize {
        let rights = self.client.rights.clone();
        let readable = |delivery: &Delivery| rights.may_read(delivery.message.topic());
        self.queue.retain(readable) + self.backlog.retain(readable)
    }

    /// The options of all its subscriptions that match `topic`, but for the shared ones.
    fn options_matching(&self, topic: &str) -> SmallVec<[Options; 4]> {
        let own = self.subscriptions.iter().filter(|(_, own)| own.group.is_none());
        own.filter(|(filter, _)| topic::matches(filter, topic)).map(|(_, own)| own.options).collect()
    }

    /// The end of the session: gives back its subscriptions, and what shared groups may give to others.
    pub(in crate::mqtt) fn end(&mut self) -> (AHashMap<ByteString, Subscription>, Vec<Delivery>) {
        self.ended = true;
        self.backlog = Queue::default();
        self.copies = Copies::default();
        self.received = AHashSet::new();
        let queued = self.queue.drain_lasting();
        let unacknowledged = self.inflight.take_unacknowledged().chain(queued);
        let shared = unacknowledged.filter(|d| d.group.is_some()).collect();
        (std::mem::take(&mut self.subscriptions), shared)
    }
}

impl Subscriber for Session {
    fn key(&self) -> u64 {
        self.key
    }

    fn pressure(&self, lasting: bool) -> Option<Pressure> {
        self.gate.pressure(lasting)
    }

    fn deliver(&self, messages: &[Message], matching: &[Options], via: Via) -> Option<Pressure> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let all;
        let matching = match (via, messages.first()) {
            (Via::ExactAndWildcard, Some(first)) => {
                all = state.options_matching(first.topic());
                &all[..]
            }
            _ => matching,
        };
        let mut pressure: Option<Pressure> = None;
        for message in messages {
            if via == Via::ExactAndWildcard {
                state.copies.expect(message);
            }
            if via == Via::Wildcard && state.copies.take(message) {
                // It was delivered by the exact subscription.
            } else if !state.may_take(matching, message.topic()) {
                // What its filter matches, and its rights do not.
            } else if let Some(delivery) = Delivery::of(message, matching, message.publisher() == self.key) {
                pressure = self.enqueue(state, delivery).map(|p| p.or(pressure.take())).or(pressure);
            }
        }
        self.settle(state);
        pressure
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
