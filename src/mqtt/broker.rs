//! What all connections share, and the way of a publish: access, hook, retained store, route.

use super::account::Account;
use super::client::Client;
use super::deadlines::Deadlines;
use super::docks::Docks;
use super::handshake::LARGE_CONNECTS;
use super::link::Kick;
use super::owners::Owners;
use super::retained::Retained;
use super::session::{Common, Session};
use super::shared::Group;
use super::topic::TopicLimits;
use crate::access::{Access, Identity, Rights};
use crate::clock::Clock;
use crate::config::Limits;
use crate::feed::Feed;
use crate::hook::{Hook, Inspection, Publisher, Refusal, Topic, Verdict};
use crate::ledger::{Ledger, Now};
use crate::logging::RateLimit;
use crate::message::{Message, NEVER, Parts, QoS};
use crate::metrics::{AuthFailure, Drop, Metrics, SessionState, SubscriptionKind};
use crate::route::{Batch, LANE_BITS, Route, Wait};
use crate::store::{Store, Ticket};
use bytes::BytesMut;
use bytestring::ByteString;
use dashmap::{DashMap, DashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Sessions and groups have numbers of 58 bits: so many of them are the start's own count. That leaves 18 for the starts.
const EPOCH_SHIFT: u32 = 40;

/// The broker, as every connection sees it.
#[derive(Debug)]
pub struct Broker {
    /// Bounds on everything that a client can make grow.
    pub limits: Arc<Limits>,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    pub(super) access: Arc<Access>,
    pub(super) route: Arc<Route>,
    pub(super) retained: Retained,
    pub(super) store: Arc<Store>,
    /// The same for its sessions.
    pub(super) common: Arc<Common>,
    hook: Hook,
    ledger: Arc<Ledger>,
    /// Clients with a connection, by what the ledger knows them by. Its locks are the last: no other is taken under them.
    online: DashSet<ByteString, ahash::RandomState>,
    pub(super) sessions: DashMap<ByteString, Arc<Session>, ahash::RandomState>,
    /// How many of them each user has: kept with every change of that.
    pub(super) owners: Owners,
    pub(super) groups: DashMap<(Box<str>, Box<str>), Arc<Group>, ahash::RandomState>,
    /// Those of them that are gateways.
    pub(super) docks: Docks,
    pub(super) deadlines: Deadlines<super::sessions::Due>,
    /// Turns of those whose CONNECT is large.
    pub(super) large_connects: Semaphore,
    /// Bytes of packets that have not come as a whole.
    pub(super) unfinished: Arc<Account>,
    /// Bytes of packets that have not been written.
    pub(super) unwritten: Arc<Account>,
    keys: AtomicU64,
    /// Counts the versions of the access rules, so that connections notice a new one.
    pub(super) rules_version: AtomicU64,
    /// Cancelled when the broker stops.
    pub(super) stopping: CancellationToken,
}

/// Who publishes.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// The client.
    pub identity: &'a Identity,
    /// What it may do.
    pub rights: &'a Rights,
    /// What the ledger knows it by.
    pub presence: &'a str,
    /// It speaks itself. A will speaks for one that is gone.
    pub is_here: bool,
}

/// What became of a publish.
#[derive(Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is on its way to somebody.
    Delivered,
    /// Nobody is subscribed (MQTT 5: 0x10).
    NoSubscriber,
    /// The client may not publish there (MQTT 5: 0x87; MQTT 3 has no word for it).
    NotAuthorized,
    /// It was not accepted, or not wholly (MQTT 5: 0x97 with this reason string; MQTT 3 has no word for it).
    Quota(String),
    /// It was not retained, because the disk fails (MQTT 5: 0x97; MQTT 3 gets no acknowledgement, and sends it again).
    NoStorage,
}

impl Broker {
    /// A broker without listeners.
    #[expect(clippy::too_many_arguments, reason = "the one place where the rooms come together")]
    #[must_use]
    pub fn new(
        limits: Limits,
        access: Arc<Access>,
        metrics: Arc<Metrics>,
        clock: Clock,
        route: Arc<Route>,
        ledger: Arc<Ledger>,
        hook: Hook,
        store: Arc<Store>,
    ) -> Self {
        let limits_total = limits.queue_bytes_total;
        let (limits, account) = (Arc::new(limits), Arc::new(Account::new(limits_total)));
        let common = Common { limits: limits.clone(), metrics: metrics.clone(), account, store: store.clone() };
        Self {
            retained: Retained::new(limits.retained_messages, limits.retained_bytes, store.clone()),
            // Numbers of an earlier start must not come again: messages carry them, and the store.
            keys: AtomicU64::new((store.epoch() << EPOCH_SHIFT) + 1),
            common: Arc::new(common),
            store,
            limits,
            metrics,
            clock,
            access,
            route,
            hook,
            ledger,
            online: DashSet::default(),
            sessions: DashMap::default(),
            owners: Owners::default(),
            groups: DashMap::default(),
            docks: Docks::default(),
            deadlines: Deadlines::default(),
            large_connects: Semaphore::new(LARGE_CONNECTS),
            unfinished: Arc::new(Account::new(limits_total / 2)),
            unwritten: Arc::new(Account::new(limits_total / 2)),
            rules_version: AtomicU64::new(0),
            stopping: CancellationToken::new(),
        }
    }

    /// A broker without rules and without a store, in the present runtime.
    #[cfg(test)]
    pub(crate) fn alone(limits: Limits, metrics: Arc<Metrics>, ledger: Arc<Ledger>) -> Self {
        let hook = Hook::new(ledger.clone(), metrics.clone(), crate::hook::DigestKey::random());
        let access = Arc::new(Access::open(crate::access::Sources::default()).unwrap());
        let route = Route::start(1).unwrap();
        Self::new(limits, access, metrics, Clock::start(), route, ledger, hook, Store::none())
    }

    /// A number that no other session or group has.
    pub(super) fn next_key(&self) -> u64 {
        self.keys.fetch_add(1, Relaxed) << LANE_BITS
    }

    /// A number that no other session or group has, for a client with this identifier. Its last bits are the client's: its
    /// messages go down the same lane after a reconnect, so that they do not overtake those before.
    pub(super) fn key_for(&self, client_id: &str) -> u64 {
        self.next_key() | (self.sessions.hasher().hash_one(client_id) & ((1 << LANE_BITS) - 1))
    }

    /// What bounds topics and filters.
    #[must_use]
    pub fn topic_limits(&self) -> TopicLimits {
        TopicLimits::of(&self.limits)
    }

    /// Takes one message in: everything that is published goes this way, wills and the broker's own answers too.
    ///
    /// The topic is valid. What goes to wildcard subscribers is collected in `batch`, for [`Broker::send`]. Memory for
    /// the message is taken from `arena`.
    pub fn publish(&self, who: &Author<'_>, parts: &Parts<'_>, batch: &mut Batch, arena: &mut BytesMut) -> Accepted {
        if !who.rights.may_publish(parts.topic) {
            self.denied_publish(who, parts.topic);
            return Accepted::NotAuthorized;
        }
        who.rights.notice(parts.topic, parts.payload);
        let inspected = self.hook.looks_at(parts.topic).map(|topic| self.examine(who, topic, parts.payload));
        batch.wait_for(inspected.as_ref().map_or(Ticket::NONE, |inspection| Ticket::from_mark(inspection.mark)));
        let (message, keep) = match inspected.map(|inspection| inspection.verdict) {
            None | Some(Verdict::Forward) => (Message::build_in(arena, parts), parts.retain),
            // A start that reaches the dock late, from an offline queue or the retained store, would reach it past the
            // guard: others may have got the slot by then.
            Some(Verdict::ForwardUntil(until)) => {
                let limited = Parts { expires_at: parts.expires_at.min(until.0), ..*parts };
                (Message::build_guarded_in(arena, &limited), false)
            }
            Some(Verdict::Refuse(refusal)) => {
                self.answer(&refusal, batch);
                return Accepted::Quota(refusal.reason);
            }
        };
        let retained = if keep { self.retain(who, &message) } else { Ok(Ticket::NONE) };
        let delivered = self.route.publish(message, batch);
        match retained {
            Err(not_retained) => return not_retained,
            Ok(ticket) => batch.wait_for(ticket),
        }
        if delivered { Accepted::Delivered } else { Accepted::NoSubscriber }
    }

    fn examine(&self, who: &Author<'_>, topic: Topic<'_>, payload: &[u8]) -> Inspection {
        let rights = who.rights.gateway(topic.gateway);
        let publisher = Publisher {
            client_id: who.presence,
            is_here: who.is_here,
            may_speak_as_gateway: rights.speak,
            may_command: rights.command,
        };
        let began = std::time::Instant::now();
        let inspection = self.hook.inspect(&publisher, topic, payload, self.now());
        self.metrics.hook_examined(began.elapsed());
        inspection
    }

    /// Publishes the answer to a refused start.
    fn answer(&self, refusal: &Refusal, batch: &mut Batch) {
        let answer = Parts {
            // The demo backend sends and expects its replies at QoS 2; a subscriber lowers it to its own.
            qos: QoS::ExactlyOnce,
            retain: false,
            publisher: 0,
            expires_at: NEVER,
            topic: &refusal.reply_topic,
            properties: &[],
            payload: &refusal.reply_payload,
        };
        self.route.publish(Message::new(&answer), batch);
    }

    fn denied_publish(&self, who: &Author<'_>, topic: &str) {
        static DENIED: RateLimit = RateLimit::per_second(5);
        self.metrics.auth_failure(AuthFailure::Publish);
        self.metrics.dropped(Drop::NotAuthorized, 1);
        if let Some(suppressed) = DENIED.allow() {
            let (client, user) = (&who.identity.client_id[..], who.identity.username.as_deref());
            tracing::info!(client, user, topic, suppressed, "publish denied: the access rules do not allow it");
        }
    }

    /// Keeps a retained message, or says why not. Before it may be said, the ticket must be settled.
    fn retain(&self, who: &Author<'_>, message: &Message) -> Result<Ticket, Accepted> {
        static FULL: RateLimit = RateLimit::per_second(1);
        if !who.rights.may_retain(message.topic()) {
            self.metrics.dropped(Drop::NoStorage, 1);
            let reason = "not retained: a dock's messages are retained on its own topics, not on its aircraft's";
            return Err(Accepted::Quota(reason.into()));
        }
        if self.store.is_failing() {
            self.metrics.dropped(Drop::NoStorage, 1);
            return Err(Accepted::NoStorage);
        }
        let retained = self.retained.put(message, self.clock.now_ms());
        if let Err(full) = &retained {
            self.metrics.dropped(Drop::NoStorage, 1);
            self.metrics.limit_hit(full.0);
            if let Some(suppressed) = FULL.allow() {
                tracing::warn!(client = &who.identity.client_id[..], topic = message.topic(), suppressed, "{full}");
            }
        }
        retained.map_err(|full| Accepted::Quota(full.to_string()))
    }

    /// A batch for what the session with this key publishes, or for the broker itself with 0.
    #[must_use]
    pub fn batch(&self, publisher: u64) -> Batch {
        self.route.batch(publisher)
    }

    /// Delivers what `batch` has collected as far as that needs no waiting: before subscriptions change.
    pub fn deliver(&self, batch: &mut Batch) {
        self.route.deliver(batch);
    }

    /// Sends what `batch` has collected. If something has to be waited for first, says what: wait, and send again.
    pub fn send(&self, batch: &mut Batch) -> Option<Wait> {
        let wait = self.route.send(batch);
        if let Some(Wait::Gate(_)) = wait {
            self.metrics.throttled();
        }
        wait
    }

    /// Sends what `batch` has collected, however long it takes.
    pub async fn send_all(&self, batch: &mut Batch) {
        while let Some(wait) = self.send(batch) {
            wait.over().await;
        }
    }

    /// Whether anybody is subscribed to this topic.
    #[must_use]
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.route.is_subscribed(topic)
    }

    /// Waits until what `ticket` is for is safe, or cannot be made so.
    pub async fn settle(&self, ticket: Ticket) {
        if ticket.is_some() {
            let _settled = self.store.settle(ticket).await;
        }
    }

    /// The time as the ledger counts it.
    #[must_use]
    pub fn now(&self) -> Now {
        Now(self.clock.now_ms())
    }

    /// Where it tells of the gateways that come and go.
    pub(super) fn feed(&self) -> &Feed {
        self.ledger.feed()
    }

    /// What knows who waits for the answers of docks.
    #[must_use]
    pub fn hook(&self) -> &Hook {
        &self.hook
    }

    /// A client has come. Called under the lock of its session, as is [`Broker::client_went`]: so they are told in the
    /// order in which they happened.
    pub(super) fn client_came(&self, client: &Client) {
        self.online.insert(client.presence.clone());
        self.ledger.client_back(&client.presence, self.now());
    }

    /// A client has gone, and no other connection has taken its place.
    pub(super) fn client_went(&self, client: &Client) {
        self.online.remove(&client.presence);
        self.ledger.client_gone(&client.presence, self.now(), &|client| self.online.contains(client));
    }

    /// Tells every connection that the broker stops.
    pub fn shut_down(&self) {
        self.stopping.cancel();
        for session in &self.sessions {
            if let Some(link) = &session.state().link {
                link.kick(Kick::Shutdown);
            }
        }
    }

    /// Brings the gauges up to date that would cost too much to keep so all the time.
    pub fn refresh_gauges(&self) {
        let (mut online, mut offline, mut messages, mut bytes) = (0, 0, 0, 0);
        let mut kinds = [0; SubscriptionKind::ALL.len()];
        for session in &self.sessions {
            let (queued, queued_bytes) = session.queued();
            messages += queued;
            bytes += queued_bytes;
            let state = session.state();
            *(if state.link.is_some() { &mut online } else { &mut offline }) += 1;
            for (filter, subscription) in &state.subscriptions {
                let kind = match subscription.group {
                    Some(_) => SubscriptionKind::Shared,
                    None if super::topic::has_wildcard(filter) => SubscriptionKind::Wildcard,
                    None => SubscriptionKind::Exact,
                };
                kinds[kind as usize] += 1;
            }
        }
        self.metrics.set_sessions(SessionState::Online, online);
        self.metrics.set_sessions(SessionState::Offline, offline);
        self.metrics.set_queued(messages, bytes);
        for &kind in SubscriptionKind::ALL {
            self.metrics.set_subscriptions(kind, kinds[kind as usize]);
        }
        let (messages, bytes) = self.retained.size();
        self.metrics.set_retained(messages, bytes);
        self.metrics.set_router_inflight(self.route.inflight());
    }
}
