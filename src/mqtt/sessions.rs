//! The life of sessions: begin, resume, take-over, end, and the wills that go with it.

use super::broker::{Author, Broker};
use super::client::Client;
use super::link::{Kick, Link};
use super::owners::User;
use super::session::{Session, State, after};
use super::terms::{Terms, Will};
use crate::message::{Message, NEVER, Parts};
use crate::route::Subscriber;
use crate::store::Ticket;
use bytes::BytesMut;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;

/// What happens at a deadline, if the session still has no connection then.
#[derive(Debug)]
pub(super) struct Due {
    session: Arc<Session>,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Will,
    End,
}

/// A session with its new connection.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) session: Arc<Session>,
    pub(super) link: Arc<Link>,
    /// The session was there before (CONNACK's Session Present).
    pub(super) present: bool,
    /// The will of the connection before, which is due, and the session that it is of.
    pub(super) old_will: Option<(Arc<Session>, Will)>,
    /// What must be safe before CONNACK says so.
    pub(super) ticket: Ticket,
}

/// Why a client gets no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSession {
    /// There are `limits.sessions` already.
    Full,
    /// Another user has one with this client identifier.
    OfAnother,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// DISCONNECT with code 0: no will. MQTT 5 may change the session's expiry in it.
    Graceful { expiry_ms: Option<u64> },
    /// Anything else: the will is due.
    WithWill { expiry_ms: Option<u64> },
}

impl Broker {
    /// Gives a client its session: the one that it had, if it has one and wants it, else a new one. An older
    /// connection of the same client identifier is told to end (MQTT-3.1.4-3). A session belongs to the user who began
    /// it: nobody else gets its messages by its client identifier. What it may still read is for [`Broker::recheck`] to say.
    pub(super) fn join(&self, client: &Client, clean: bool, terms: Terms) -> Result<Joined, NoSession> {
        let (client_id, user) = (&client.identity.client_id, &client.identity.username);
        let is_full = || !self.sessions.contains_key(client_id) && self.sessions.len() >= self.limits.sessions;
        let full = is_full() && !self.evict(user);
        match self.sessions.entry(client_id.clone()) {
            Entry::Vacant(_) if full => Err(NoSession::Full),
            Entry::Vacant(vacant) => {
                let joined = self.new_session(client, terms);
                self.owners.add(user);
                vacant.insert(joined.session.clone());
                Ok(joined)
            }
            Entry::Occupied(mut occupied) => {
                let session = occupied.get().clone();
                let mut state = session.state();
                if !state.client.may_hand_over_to(client) {
                    return Err(NoSession::OfAnother);
                }
                if let Some(link) = state.link.take() {
                    link.kick(Kick::TakenOver);
                    if state.client.presence != client.presence {
                        self.client_went(&state.client);
                    }
                }
                self.cancel_deadlines(&mut state);
                self.owners.remove(&state.client.identity.username, &[]);
                self.owners.add(user);
                // A session whose expiry is 0 ended with its connection, which has just been closed.
                if clean || state.terms.expiry_ms == 0 {
                    let will = state.terms.will.take();
                    drop(state);
                    let ended = self.end(&session);
                    let mut joined = self.new_session(client, terms);
                    joined.ticket = joined.ticket.max(ended);
                    joined.old_will = will.map(|will| (session, will));
                    occupied.insert(joined.session.clone());
                    Ok(joined)
                } else {
                    // MQTT 5, 3.1.3.2.2: a delayed will is not sent if the client is back in time.
                    let will = state.terms.will.take().filter(|will| will.delay_ms == 0);
                    let (link, ticket) = session.attach(&mut state, client.clone(), terms);
                    state.since_ms = self.clock.now_ms();
                    self.client_came(client);
                    drop(state);
                    self.tell_of_docks(&session);
                    let old_will = will.map(|will| (session.clone(), will));
                    Ok(Joined { session, link, present: true, old_will, ticket })
                }
            }
        }
    }

    /// Makes room for a session of this user: one without a connection ends now, which one is for
    /// [`Owners::take_end`](super::owners::Owners::take_end) to say. Says whether there is one.
    fn evict(&self, newcomer: &User) -> bool {
        while let Some(end) = self.owners.take_end(newcomer) {
            let Some(due) = self.deadlines.cancel(end) else { continue };
            let session = due.session.clone();
            let is_unused = |present: &Arc<Session>| Arc::ptr_eq(present, &session) && present.state().link.is_none();
            if self.sessions.remove_if(session.client_id(), |_, present| is_unused(present)).is_some() {
                let mut state = session.state();
                self.owners.remove(&state.client.identity.username, &state.deadlines);
                // What else its end brings does not happen here: its will may have to wait.
                state.deadlines.push(self.deadlines.set(0, due));
                return true;
            }
        }
        false
    }

    fn cancel_deadlines(&self, state: &mut State) {
        for key in state.deadlines.drain(..) {
            self.deadlines.cancel(key);
            self.owners.cancelled(&state.client.identity.username, key);
        }
    }

    fn new_session(&self, client: &Client, terms: Terms) -> Joined {
        let key = self.key_for(&client.identity.client_id);
        let session = Session::new(key, self.common.clone(), client.clone(), terms.clone());
        let (link, ticket) = {
            let mut state = session.state();
            self.client_came(client);
            state.since_ms = self.clock.now_ms();
            session.attach(&mut state, client.clone(), terms)
        };
        Joined { session: Arc::new(session), link, present: false, old_will: None, ticket }
    }

    /// The connection behind `link` has ended. Nothing happens if the session has another one by now; then the
    /// will went with the take-over. Returns a will that is due at once.
    pub(super) fn leave(&self, session: &Arc<Session>, link: &Arc<Link>, how: Ending) -> Option<Will> {
        let mut state = session.state();
        if !state.link.as_ref().is_some_and(|present| Arc::ptr_eq(present, link)) {
            return None;
        }
        session.detach(&mut state);
        self.client_went(&state.client);
        let (Ending::Graceful { expiry_ms } | Ending::WithWill { expiry_ms }) = how;
        if matches!(how, Ending::Graceful { .. }) {
            state.terms.will = None;
            session.forget_will();
        }
        state.terms.expiry_ms = expiry_ms.unwrap_or(state.terms.expiry_ms);
        if state.terms.expiry_ms == 0 {
            let will = state.terms.will.take();
            drop(state);
            self.remove(session);
            return will;
        }
        let now = self.clock.now_ms();
        session.keep_record(&state, Some(now));
        let is_due = state.terms.will.as_ref().is_some_and(|will| will.delay_ms == 0);
        let will = if is_due { state.terms.will.take() } else { None };
        self.await_client(session, &mut state, now);
        drop(state);
        self.tell_of_docks(session);
        will
    }

    /// Sets the deadlines of a session that has been without a connection since `since_ms`.
    pub(super) fn await_client(&self, session: &Arc<Session>, state: &mut State, since_ms: u64) {
        state.since_ms = since_ms;
        let due = |what| Due { session: session.clone(), what };
        let end = self.deadlines.set(after(since_ms, state.terms.expiry_ms), due(What::End));
        state.deadlines.push(end);
        self.owners.went(&state.client.identity.username, end);
        // A longer delay is cut short by the end of the session.
        if let Some(delay) = state.terms.will.as_ref().map(|will| will.delay_ms)
            && delay < state.terms.expiry_ms
        {
            state.deadlines.push(self.deadlines.set(after(since_ms, delay), due(What::Will)));
        }
    }

    /// Ends a session as soon as it has no connection.
    pub(super) fn end_soon(&self, session: &Arc<Session>, state: &mut State) {
        state.terms.expiry_ms = 0;
        if state.link.is_none() {
            self.cancel_deadlines(state);
            // Not here: its will may have to wait.
            let end = self.deadlines.set(0, Due { session: session.clone(), what: What::End });
            state.deadlines.push(end);
        }
    }

    fn remove(&self, session: &Arc<Session>) {
        if self.sessions.remove_if(session.client_id(), |_, present| Arc::ptr_eq(present, session)).is_some() {
            let state = session.state();
            self.owners.remove(&state.client.identity.username, &state.deadlines);
        }
        self.end(session);
    }

    /// Ends a session: its subscriptions go, and what a shared group had given it goes to the other members. Says what
    /// must be safe before the client is told.
    fn end(&self, session: &Arc<Session>) -> Ticket {
        // Another member gets a message in the same commit that takes it from this one.
        let _scope = self.store.scope();
        let (subscriptions, shared, ticket) = session.end(&mut session.state());
        for (filter, subscription) in subscriptions {
            self.drop_subscription(session.key(), &filter, subscription.group.as_ref());
        }
        for delivery in shared {
            if let Some(group) = &delivery.group {
                group.pass(&delivery.message, true);
            }
        }
        ticket
    }

    /// Runs the deadlines of sessions without a connection; never ends.
    pub async fn run_deadlines(self: Arc<Self>) {
        loop {
            let Due { session, what } = self.deadlines.next(|| self.clock.now_ms()).await;
            // A will is due when its delay is over or the session ends, whichever comes first (MQTT-3.1.3-9).
            let will = {
                let mut state = session.state();
                if state.link.is_some() || state.ended {
                    continue;
                }
                state.terms.will.take()
            };
            if matches!(what, What::End) {
                self.metrics.session_expired();
                self.remove(&session);
            }
            if let Some(will) = will {
                // Whoever the will goes to may be behind: other deadlines must not wait for it.
                let broker = self.clone();
                tokio::spawn(async move { broker.publish_will(&session, will).await });
            }
        }
    }

    /// Publishes a will, by the same way as any publish.
    pub(super) async fn publish_will(&self, session: &Session, will: Will) {
        let message: &Message = &will.message;
        let parts = Parts {
            qos: message.qos(),
            retain: message.retain(),
            publisher: will.publisher,
            expires_at: will.expiry.map_or(NEVER, |s| self.clock.now_ms() + u64::from(s) * 1000),
            topic: message.topic(),
            properties: message.properties(),
            payload: message.payload(),
        };
        let client = session.state().client.clone();
        let author =
            Author { identity: &client.identity, rights: &client.rights, presence: &client.presence, is_here: false };
        let mut batch = self.batch(will.publisher);
        {
            // It is not published again after a crash, nor forgotten without having been published.
            let _scope = self.store.scope();
            self.publish(&author, &parts, &mut batch, &mut BytesMut::new());
            self.deliver(&mut batch);
            // Whoever took the session over may have brought another.
            let state = session.state();
            if state.terms.will.is_none() {
                session.forget_will();
            }
        }
        self.send_all(&mut batch).await;
        self.metrics.will_published();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Identity, Proof, Rights};
    use crate::config::{Limits, Settings};
    use crate::ledger::Ledger;
    use crate::message::QoS;
    use crate::metrics::{Metrics, Version};
    use crate::mqtt::delivery::Delivery;
    use crate::mqtt::session::Outgoing;
    use crate::mqtt::subscriptions::Subscribing;
    use crate::mqtt::wire::Subscribe;
    use crate::route::{Options, Via};
    use bytestring::ByteString;
    use rmqtt_codec::v5::SubscriptionOptions;
    use std::collections::HashMap;
    use std::num::NonZeroU16;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn broker() -> Arc<Broker> {
        let (metrics, limits) = (Arc::new(Metrics::new()), Settings::default().limits);
        let limits = Limits {
            sessions: 8,
            queue_messages: 40,
            queue_bytes: 100_000,
            queue_bytes_total: 300_000,
            inflight: 5,
            ..limits
        };
        let ledger = Arc::new(Ledger::new(Settings::default().uploads.rules()));
        Arc::new(Broker::alone(limits, metrics, ledger))
    }

    /// Of four users, one without a name.
    fn client(broker: &Broker, id: usize, user: usize) -> Client {
        let username = (user > 0).then(|| user.to_string().into());
        let identity =
            Identity { client_id: id.to_string().into(), username, listener_role: None, proof: Proof::Anonymous };
        let rights = Arc::new(Rights::everything(&identity));
        Client::new(identity, rights, broker.limits.clone())
    }

    fn message(size: usize, qos: QoS) -> Message {
        let (retain, publisher, expires_at) = (false, 0, NEVER);
        let payload = &vec![b'x'; size];
        Message::new(&Parts { qos, retain, publisher, expires_at, topic: "t", properties: &[], payload })
    }

    fn terms() -> Terms {
        Terms { version: Version::V5, expiry_ms: 0, window: 5, max_packet_size: 0, topic_alias_max: 0, will: None }
    }

    /// As new access rules take it, from another thread.
    #[tokio::test]
    async fn a_subscription_that_is_taken_while_it_is_made_leaves_nothing_behind() {
        let (broker, filter) = (broker(), ByteString::from_static("thing/product/SN1/services"));
        let session = broker.join(&client(&broker, 1, 0), true, terms()).unwrap().session;
        let (rounds, taken, mut left) = (3_000, AtomicU32::new(0), Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..rounds {
                    while broker.unsubscribe_one(&session, &filter).is_none() {}
                    taken.fetch_add(1, Ordering::Release);
                }
            });
            for round in 1..=rounds {
                let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
                let packet =
                    Subscribe { packet_id: NonZeroU16::MIN, id: None, filters: vec![(filter.clone(), options)] };
                let mut subscribing = Subscribing { packet, codes: Vec::new(), ticket: Ticket::NONE };
                broker.subscribe(&session, &mut subscribing);
                while taken.load(Ordering::Acquire) < round {}
                if broker.is_subscribed(&filter) || broker.dock("SN1").is_some() {
                    left.push(round);
                }
            }
        });
        assert!(left.is_empty(), "in rounds {left:?}");
    }

    /// Sessions come, fill, drain, are taken over, go, end and are evicted, in any order.
    #[tokio::test]
    async fn the_account_of_all_queues_is_what_waits_in_them() {
        let broker = broker();
        tokio::spawn(broker.clone().run_deadlines());
        let mut links: HashMap<usize, (Arc<Session>, Arc<Link>)> = HashMap::new();
        let mut seed = 1_u64;
        let mut dice = move |sides: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % sides
        };
        let mut fullest = 0;
        for _ in 0..30_000 {
            let id = dice(12);
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][dice(3)];
            let known = broker.sessions.get(&id.to_string()[..]).map(|session| session.clone());
            match (dice(10), known, links.get(&id).cloned()) {
                (0, ..) => {
                    let terms = Terms {
                        version: Version::V5,
                        expiry_ms: if dice(4) == 0 { 0 } else { 1_000_000 },
                        window: 5,
                        max_packet_size: 0,
                        topic_alias_max: 0,
                        will: None,
                    };
                    if let Ok(joined) = broker.join(&client(&broker, id, dice(2) * (id % 4)), dice(4) == 0, terms) {
                        links.insert(id, (joined.session, joined.link));
                    }
                }
                (1, _, Some((session, link))) => {
                    broker.leave(&session, &link, Ending::WithWill { expiry_ms: None });
                }
                (2, Some(session), _) => {
                    let deliveries = (0..dice(20)).map(|_| Delivery::new(message(dice(9_000), qos), qos)).collect();
                    session.enqueue_retained(deliveries, 1000).ok();
                }
                (3..5, _, Some((session, link))) => {
                    let mut out = Vec::new();
                    session.fetch(&link, &mut out, 64, 64 << 10, usize::MAX, 0);
                    for outgoing in out {
                        let Outgoing::Publish { packet_id: Some(id), .. } = outgoing else { continue };
                        session.acknowledge(id);
                        session.received(id, 0);
                        session.complete(id);
                    }
                }
                (_, Some(session), _) => {
                    let options =
                        Options { qos, no_local: false, retain_as_published: false, id: None, partial: false };
                    session.deliver(&[message(dice(9_000), qos)], &[options], Via::Exact);
                }
                _ => {}
            }
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            let mut reported = 0;
            for session in &broker.sessions {
                let state = session.state();
                let (waits, known, online) = state.waiting();
                // What was acknowledged is reported with the next fetch.
                assert!(online || waits == known, "{waits} wait for an absent client, {known} are known of");
                reported += known;
            }
            assert_eq!(broker.common.account.bytes(), reported);
            let mut owned: HashMap<User, (usize, usize)> = HashMap::new();
            for session in &broker.sessions {
                let state = session.state();
                let (sessions, absent) = owned.entry(state.client.identity.username.clone()).or_default();
                (*sessions, *absent) = (*sessions + 1, *absent + usize::from(state.link.is_none()));
            }
            assert_eq!(broker.owners.all(), owned);
            fullest = fullest.max(reported);
        }
        assert!(fullest > 300_000, "the limit was met: {fullest}");
        for session in broker.sessions.iter().map(|session| session.clone()).collect::<Vec<_>>() {
            broker.remove(&session);
        }
        assert_eq!(broker.common.account.bytes(), 0);
        assert!(broker.owners.all().is_empty());
    }
}
