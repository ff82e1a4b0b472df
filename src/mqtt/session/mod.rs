//! A session: what the broker keeps for one client identifier, with or without a connection (MQTT 5, 4.1).
//!
//! Deliverers of any thread put messages into it ([`Subscriber::deliver`]); the task of the connection takes them
//! out ([`Session::fetch`]). Its one lock is held for a push or for a small batch, never while bytes are encoded or
//! written. Under it only locks are taken that take none themselves: the gate's, the deadlines', the store's, and, where a
//! connection comes or goes, those of the ledger.

mod copies;
mod fetch;
mod kept;

pub(in crate::mqtt) use fetch::{Outgoing, Rest};
pub(in crate::mqtt) use kept::{SessionRecord, SubscriptionRecord};

use crate::access::Rights;
use crate::config::Limits;
use crate::message::{Message, NEVER, QoS};
use crate::metrics::{Drop, Limit, Metrics};
use crate::mqtt::account::{Account, Share};
use crate::mqtt::client::Client;
use crate::mqtt::delivery::{Delivery, Number};
use crate::mqtt::inflight::{InFlight, Received};
use crate::mqtt::link::Link;
use crate::mqtt::queue::Queue;
use crate::mqtt::shared::Group;
use crate::mqtt::terms::Terms;
use crate::mqtt::topic;
use crate::route::{Delivered, Gate, Options, Pressure, Subscriber, Via};
use crate::store::{Store, Ticket};
use ahash::{AHashMap, AHashSet};
use bytestring::ByteString;
use copies::Copies;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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

    /// Takes a PUBACK.
    pub(in crate::mqtt) fn acknowledge(&self, id: NonZeroU16) {
        let mut state = self.state.lock();
        if let Some(number) = state.inflight.acknowledge(id) {
            self.forget_message(number);
        }
    }

    /// Takes a PUBREC with its reason code; what to do about it, and when.
    pub(in crate::mqtt) fn received(&self, id: NonZeroU16, code: u8) -> (Received, Ticket) {
        let mut state = self.state.lock();
        let received = state.inflight.received(id, code);
        let ticket = match received {
            Received::Release(number) => self.keep_released(id, number),
            Received::Refused(number) => {
                self.forget_message(number);
                Ticket::NONE
            }
            Received::Unknown => Ticket::NONE,
        };
        (received, ticket)
    }

    /// Takes a PUBCOMP.
    pub(in crate::mqtt) fn complete(&self, id: NonZeroU16) {
        let mut state = self.state.lock();
        if let Some(number) = state.inflight.complete(id) {
            self.forget_message(number);
        }
    }

    /// Notes a QoS 2 publish from the client; `None` if it is over `most` unreleased ones, else whether it is new, and when
    /// that may be said.
    pub(in crate::mqtt) fn receive(&self, id: NonZeroU16, most: usize) -> Option<(bool, Ticket)> {
        let mut state = self.state.lock();
        let is_new = !state.received.contains(&id.get());
        if is_new && state.received.len() >= most {
            return None;
        }
        state.received.insert(id.get());
        Some((is_new, self.keep_received(id)))
    }

    /// Takes a PUBREL, or forgets a QoS 2 publish that was refused; whether there was such a message, and when that may be
    /// said.
    pub(in crate::mqtt) fn release(&self, id: NonZeroU16) -> (bool, Ticket) {
        let mut state = self.state.lock();
        let known = state.received.remove(&id.get());
        if state.received.is_empty() {
            state.received = AHashSet::new();
        }
        (known, self.forget_received(id))
    }

    /// Queues one delivery, and adds to `delivered` what follows from that.
    fn enqueue(&self, state: &mut State, mut delivery: Delivery, delivered: &mut Delivered) {
        if state.ended {
            self.common.metrics.dropped(Drop::SessionEnded, 1);
            return;
        }
        let online = state.link.is_some();
        if !online && delivery.qos == QoS::AtMostOnce {
            // Not kept for who isn't there, as in any broker (MQTT 5, 4.1).
            self.common.metrics.dropped(Drop::Offline, 1);
            return;
        }
        let lasting = delivery.qos != QoS::AtMostOnce;
        let cost = Queue::cost(&delivery);
        if self.no_room(state, cost).is_some() && !self.is_waited_for(state, lasting) {
            if lasting {
                let dropped = state.queue.drop_fleeting();
                self.common.metrics.dropped(Drop::QueueFullQos0, dropped as u64);
            }
            if let Some(limit) = self.no_room(state, cost) {
                self.common.metrics.dropped(if lasting { Drop::QueueFull } else { Drop::QueueFullQos0 }, 1);
                self.common.metrics.limit_hit(limit);
                return;
            }
        }
        if !online && self.is_durable() && self.common.store.is_failing() {
            // It can only wait where it would be lost with the process.
            self.common.metrics.dropped(Drop::NoStorage, 1);
            delivered.ticket = self.common.store.refused();
            return;
        }
        // It may wait for days: it must not keep its neighbours in the read buffer alive.
        if !online && delivery.message.size() < SHARED_MEMORY {
            delivery.message = delivery.message.detached();
        }
        delivery.number = state.next_number();
        delivered.ticket = delivered.ticket.max(self.keep_message(&delivery));
        let blocked = state.blocked && lasting;
        state.queue.push(delivery);
        if !blocked {
            state.wake();
        }
        let pressing = state.queue.len() > self.common.limits.queue_messages / 2
            || state.queue.bytes() > self.common.limits.queue_bytes / 2
            || self.common.account.is_short_for(state.queue.bytes());
        if online
            && pressing
            && self.gate.press(lasting)
            && let Some(pressure) = self.gate.pressure(lasting)
        {
            delivered.pressure = Some(pressure.or(delivered.pressure.take()));
        }
    }

    /// The limit that keeps a message of this cost out of the queue.
    fn no_room(&self, state: &State, cost: usize) -> Option<Limit> {
        if state.queue.len() >= self.common.limits.queue_messages {
            Some(Limit::QueueMessages)
        } else if state.queue.bytes() + cost > self.common.limits.queue_bytes {
            Some(Limit::QueueBytes)
        } else if self.common.account.is_full_for(state.queue.bytes(), state.link.is_some()) {
            Some(Limit::QueueBytesTotal)
        } else {
            None
        }
    }

    /// Reports what waits to the account of all sessions.
    pub(in crate::mqtt) fn settle(&self, state: &mut State) {
        let bytes = state.bytes();
        self.common.account.settle(&mut state.share, bytes, state.link.is_some());
    }

    /// Whether publishers wait for it already, so that what comes now is only what was on its way.
    fn is_waited_for(&self, state: &State, lasting: bool) -> bool {
        state.queue.bytes() < self.common.limits.queue_bytes.saturating_add(ON_THE_WAY)
            && self.gate.pressure(lasting).is_some()
    }

    /// Queues retained messages, at most so many, for a client that is still there. They do not count as queued for the
    /// session, but they do in the account of all: the store holds them only until others take their place.
    ///
    /// # Errors
    /// The limit that keeps them out.
    pub(in crate::mqtt) fn enqueue_retained(&self, deliveries: Vec<Delivery>, most: usize) -> Result<Ticket, Limit> {
        let mut state = self.state.lock();
        if state.link.is_none() {
            self.common.metrics.dropped(Drop::Offline, deliveries.len() as u64);
            return Ok(Ticket::NONE);
        }
        if state.backlog.len() + deliveries.len() > most {
            return Err(Limit::QueueMessages);
        }
        let bytes = state.backlog.bytes() + deliveries.iter().map(Queue::cost).sum::<usize>();
        if self.common.account.is_full_for(bytes, true) {
            return Err(Limit::QueueBytesTotal);
        }
        let mut ticket = Ticket::NONE;
        for mut delivery in deliveries {
            delivery.number = state.next_number();
            ticket = ticket.max(self.keep_message(&delivery));
            state.backlog.push(delivery);
        }
        self.settle(&mut state);
        state.wake();
        Ok(ticket)
    }

    /// Queues a message that a shared group chose this session for.
    ///
    /// # Errors
    /// The delivery, if the session has ended meanwhile.
    pub(in crate::mqtt) fn deliver_shared(&self, delivery: Delivery) -> Result<Delivered, Delivery> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(delivery);
        }
        let mut delivered = Delivered::default();
        self.enqueue(&mut state, delivery, &mut delivered);
        self.settle(&mut state);
        Ok(delivered)
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

    /// Whether another message for it would be dropped.
    pub(in crate::mqtt) fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.queue.len() >= self.common.limits.queue_messages || state.queue.bytes() >= self.common.limits.queue_bytes
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

    /// Whether its client may read a topic that `matching` subscriptions of it match.
    pub(in crate::mqtt) fn may_take(&self, matching: &[Options], topic: &str) -> bool {
        !matching.iter().any(|options| options.partial) || self.client.rights.may_read(topic)
    }

    /// The options of all its subscriptions that match `topic`, but for the shared ones.
    fn options_matching(&self, topic: &str) -> SmallVec<[Options; 4]> {
        let own = self.subscriptions.iter().filter(|(_, own)| own.group.is_none());
        own.filter(|(filter, _)| topic::matches(filter, topic)).map(|(_, own)| own.options).collect()
    }
}

impl Subscriber for Session {
    fn key(&self) -> u64 {
        self.key
    }

    fn pressure(&self, lasting: bool) -> Option<Pressure> {
        self.gate.pressure(lasting)
    }

    fn is_direct(&self) -> bool {
        self.direct
    }

    fn deliver(&self, messages: &[Message], matching: &[Options], via: Via) -> Delivered {
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
        let mut delivered = Delivered::default();
        for message in messages {
            if via == Via::ExactAndWildcard {
                state.copies.expect(message);
            }
            if via == Via::Wildcard && state.copies.take(message) {
                // It was delivered by the exact subscription.
            } else if !state.may_take(matching, message.topic()) {
                // What its filter matches, and its rights do not.
            } else if let Some(delivery) = Delivery::of(message, matching, message.publisher() == self.key) {
                self.enqueue(state, delivery, &mut delivered);
            }
        }
        self.settle(state);
        delivered
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
