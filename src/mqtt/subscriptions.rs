//! SUBSCRIBE and UNSUBSCRIBE.

use super::broker::Broker;
use super::client::Client;
use super::delivery::Delivery;
use super::session::{Session, Subscription};
use super::shared::{Group, SharedSubscriber};
use super::topic::{self, Filter};
use super::wire::Subscribe;
use crate::access::{Reading, Rights};
use crate::logging::RateLimit;
use crate::message::QoS;
use crate::metrics::{AuthFailure, Drop, Limit, ProtocolFault};
use crate::route::{Options, Subscriber};
use crate::store::Ticket;
use crate::tree::TopicTree;
use bytestring::ByteString;
use dashmap::mapref::entry::Entry;
use rmqtt_codec::v5::{RetainHandling, SubscribeAckReason, UnsubscribeAckReason};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one SUBSCRIBE may keep a worker to itself. Every filter is looked up among all retained messages: a thousand of
/// them in one packet may take seconds, which others must not wait for.
const SLICE: Duration = Duration::from_millis(2);

/// Filters with a wildcard that a session may have of which it may read only a part. They take their places in
/// `limits.wildcard_filters`, which everybody shares, and every message that they match has to be asked for. Who may read only
/// some topics can name them: those of a dock are exact (DJI Cloud API, "Topic Definition"), and a few more are for trying out.
const PARTIAL_WILDCARDS: usize = 16;

/// Room for the broker's own retained messages, of which there are some fifty, however few others there may be.
const OWN_TOPICS: usize = 128;

/// A SUBSCRIBE that is being acted on.
#[derive(Debug)]
pub(super) struct Subscribing {
    pub(super) packet: Subscribe,
    /// One answer a filter, in their order, as far as it has come.
    pub(super) codes: Vec<SubscribeAckReason>,
    /// What must be safe before they are given.
    pub(super) ticket: Ticket,
}

impl Broker {
    /// Subscribes a session to the packet's next filters, for a while. Says whether there are more.
    pub(super) fn subscribe(&self, session: &Arc<Session>, subscribing: &mut Subscribing) -> bool {
        let Subscribing { packet, codes, ticket } = subscribing;
        let most = session.state().client.limits.subscriptions_per_session;
        if packet.filters.len() > most {
            self.metrics.limit_hit(Limit::Subscriptions);
            *codes = vec![SubscribeAckReason::QuotaExceeded; packet.filters.len()];
            return false;
        }
        let mut one = |(filter, asked): &(ByteString, rmqtt_codec::v5::SubscriptionOptions)| {
            let options = Options {
                qos: asked.qos,
                no_local: asked.no_local,
                retain_as_published: asked.retain_as_published,
                id: packet.id,
                partial: false,
            };
            match self.subscribe_one(session, filter, options, asked.retain_handling) {
                Ok(after) => *ticket = after.max(*ticket),
                Err(reason) => return reason,
            }
            match asked.qos {
                QoS::AtMostOnce => SubscribeAckReason::GrantedQos0,
                QoS::AtLeastOnce => SubscribeAckReason::GrantedQos1,
                QoS::ExactlyOnce => SubscribeAckReason::GrantedQos2,
            }
        };
        let until = Instant::now() + SLICE;
        for filter in &packet.filters[codes.len()..] {
            codes.push(one(filter));
            if Instant::now() >= until {
                break;
            }
        }
        codes.len() < packet.filters.len()
    }

    fn subscribe_one(
        &self,
        session: &Arc<Session>,
        text: &ByteString,
        mut options: Options,
        retain_handling: RetainHandling,
    ) -> Result<Ticket, SubscribeAckReason> {
        let filter = Filter::parse(text, self.topic_limits()).map_err(|unusable| {
            self.metrics.protocol_error(ProtocolFault::TopicFilter);
            if let Some(limit) = unusable.limit() {
                self.metrics.limit_hit(limit);
            }
            SubscribeAckReason::TopicFilterInvalid
        })?;
        if session.is_durable() && self.store.is_failing() {
            return Err(SubscribeAckReason::QuotaExceeded);
        }
        let client = session.state().client.clone();
        options.partial = match client.rights.reading(filter.filter) {
            Reading::All => false,
            Reading::Some => true,
            Reading::Nothing => {
                self.denied_subscribe(&client, text);
                return Err(SubscribeAckReason::NotAuthorized);
            }
        };
        if options.partial && filter.is_wildcard() && session.state().has_partial_wildcards(PARTIAL_WILDCARDS, text) {
            self.metrics.limit_hit(Limit::Subscriptions);
            return Err(SubscribeAckReason::QuotaExceeded);
        }
        // By as many sessions as it likes, a dock can take places for its filters: never those of the other half.
        let places = self.limits.wildcard_filters.div_ceil(if options.partial { 2 } else { 1 });
        if filter.is_wildcard() && self.route.is_over(filter.filter, places) {
            self.metrics.limit_hit(Limit::WildcardFilters);
            return Err(SubscribeAckReason::QuotaExceeded);
        }
        // An own copy: what came is a slice of the whole packet.
        let text: ByteString = text.to_string().into();
        let group = filter.group.map(|name| self.join_group(name, filter.filter, &text, session, options));
        let (before, overlapped, mut ticket) = {
            let mut state = session.state();
            let room = state.subscriptions.len() < client.limits.subscriptions_per_session;
            if state.ended || (!room && !state.subscriptions.contains_key(&text)) {
                drop(state);
                if let Some(group) = &group {
                    self.leave_group(&text, group, session.key());
                }
                self.metrics.limit_hit(Limit::Subscriptions);
                return Err(SubscribeAckReason::QuotaExceeded);
            }
            let overlapped = !filter.is_wildcard() && state.wildcard_matches(filter.filter);
            let subscription = Subscription { options, overlapped, group: group.clone() };
            let before = state.subscriptions.insert(text.clone(), subscription).map(|before| before.options);
            (before, overlapped, session.keep_subscription(&text, &options))
        };
        // Subscribing again mostly changes nothing, and must not cost the other subscribers anything then.
        if group.is_none() && before != Some(options) {
            let subscriber: Arc<dyn Subscriber> = session.clone();
            self.route.subscribe(filter.filter, &subscriber, options, overlapped);
            self.note_dock(filter.filter, session);
            if filter.is_wildcard() && before.is_none() {
                self.mark_overlaps(session, filter.filter);
            }
        }
        // The session may have ended meanwhile, or new access rules have taken the subscription from it.
        if !session.state().subscriptions.contains_key(&text) {
            self.drop_subscription(session.key(), &text, group.as_ref());
        }
        let wanted = match retain_handling {
            RetainHandling::AtSubscribe => true,
            RetainHandling::AtSubscribeNew => before.is_none(),
            RetainHandling::NoAtSubscribe => false,
        };
        // Retained messages are not sent to shared subscriptions (MQTT 5, 4.8.2).
        if wanted && group.is_none() {
            ticket = ticket.max(self.send_retained(session, &client.rights, filter.filter, options));
        }
        Ok(ticket)
    }

    /// A wildcard has come or gone: the session's exact subscriptions that it matches bring two copies from now on, of
    /// which the session drops one, or one again.
    pub(super) fn mark_overlaps(&self, session: &Arc<Session>, wildcard: &str) {
        let changed: Vec<_> = {
            let mut state = session.state();
            let exact = |filter: &str, own: &Subscription| {
                own.group.is_none() && !topic::has_wildcard(filter) && topic::matches(wildcard, filter)
            };
            let affected: Vec<_> =
                state.subscriptions.iter().filter(|(filter, own)| exact(filter, own)).map(|(f, _)| f.clone()).collect();
            // Hundreds of each would be compared with each other for one small packet.
            let mut wildcards = TopicTree::default();
            if !affected.is_empty() {
                for (filter, own) in &state.subscriptions {
                    if own.group.is_none() && topic::has_wildcard(filter) {
                        wildcards.insert(filter, ());
                    }
                }
            }
            let mut changed = Vec::new();
            for filter in affected {
                let mut overlapped = false;
                wildcards.filters_matching(&filter, |()| {
                    overlapped = true;
                    false
                });
                if let Some(own) = state.subscriptions.get_mut(&filter)
                    && own.overlapped != overlapped
                {
                    own.overlapped = overlapped;
                    changed.push((filter, own.options, overlapped));
                }
            }
            state.forget_copies();
            changed
        };
        let subscriber: Arc<dyn Subscriber> = session.clone();
        for (filter, options, overlapped) in changed {
            self.route.subscribe(&filter, &subscriber, options, overlapped);
        }
    }

    fn denied_subscribe(&self, client: &Client, filter: &str) {
        static DENIED: RateLimit = RateLimit::per_second(5);
        self.metrics.auth_failure(AuthFailure::Subscribe);
        if let Some(suppressed) = DENIED.allow() {
            let (client, user) = (&client.identity.client_id[..], client.identity.username.as_deref());
            tracing::info!(client, user, filter, suppressed, "subscription denied: the access rules allow none of it");
        }
    }

    fn send_retained(&self, session: &Arc<Session>, rights: &Rights, filter: &str, options: Options) -> Ticket {
        let found = self.retained.matching(filter, self.clock.now_ms());
        if found.is_empty() {
            return Ticket::NONE;
        }
        let deliveries = found.iter().filter_map(|message| {
            if options.partial && !rights.may_read(message.topic()) {
                return None;
            }
            let mut delivery = Delivery::of(message, &[options], message.publisher() == session.key())?;
            delivery.retain = true; // MQTT-3.3.1-8
            Some(delivery)
        });
        let deliveries: Vec<_> = deliveries.collect();
        let count = deliveries.len();
        let most = (2 * self.limits.retained_messages).max(OWN_TOPICS);
        session.enqueue_retained(deliveries, most).unwrap_or_else(|limit| {
            self.metrics.dropped(Drop::QueueFull, count as u64);
            self.metrics.limit_hit(limit);
            Ticket::NONE
        })
    }

    /// Unsubscribes a session; one answer a filter, in their order, and what must be safe before they are given.
    pub(super) fn unsubscribe(
        &self,
        session: &Arc<Session>,
        filters: &[ByteString],
    ) -> (Vec<UnsubscribeAckReason>, Ticket) {
        let mut ticket = Ticket::NONE;
        let one = |filter: &ByteString| {
            if let Some(after) = self.unsubscribe_one(session, filter) {
                ticket = ticket.max(after);
                UnsubscribeAckReason::Success
            } else if Filter::parse(filter, self.topic_limits()).is_ok() {
                UnsubscribeAckReason::NoSubscriptionExisted
            } else {
                UnsubscribeAckReason::TopicFilterInvalid
            }
        };
        (filters.iter().map(one).collect(), ticket)
    }

    /// Ends one subscription, if there is one; what must be safe before that is said.
    pub(super) fn unsubscribe_one(&self, session: &Arc<Session>, filter: &ByteString) -> Option<Ticket> {
        let (removed, ticket) = {
            let mut state = session.state();
            let removed = state.subscriptions.remove(filter)?;
            (removed, session.forget_subscription(filter))
        };
        self.drop_subscription(session.key(), filter, removed.group.as_ref());
        if removed.group.is_none() && topic::has_wildcard(filter) {
            self.mark_overlaps(session, filter);
        }
        Some(ticket)
    }

    pub(super) fn drop_subscription(&self, session: u64, filter: &str, group: Option<&Arc<Group>>) {
        match group {
            Some(group) => self.leave_group(filter, group, session),
            None => {
                self.route.unsubscribe(filter, session);
                self.forget_dock(filter, session);
            }
        }
    }

    /// `shared` is the whole filter, `$share/{group}/{filter}`.
    pub(super) fn join_group(
        &self,
        name: &str,
        filter: &str,
        shared: &ByteString,
        session: &Arc<Session>,
        options: Options,
    ) -> Arc<Group> {
        match self.groups.entry((name.into(), filter.into())) {
            Entry::Occupied(group) => {
                group.get().join(session, options);
                group.get().clone()
            }
            Entry::Vacant(vacant) => {
                let group = Arc::new(Group::new(self.next_key(), shared.clone()));
                group.join(session, options);
                let subscriber: Arc<dyn Subscriber> = Arc::new(SharedSubscriber(group.clone()));
                self.route.subscribe(filter, &subscriber, options, false);
                vacant.insert(group.clone());
                group
            }
        }
    }

    /// `shared` is the whole filter, `$share/{group}/{filter}`.
    fn leave_group(&self, shared: &str, group: &Arc<Group>, session: u64) {
        let Some((name, filter)) = shared.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) else {
            return;
        };
        self.groups.remove_if(&(name.into(), filter.into()), |_, present| {
            let empty = group.leave(session) && Arc::ptr_eq(present, group);
            if empty {
                self.route.unsubscribe(filter, group.key());
            }
            empty
        });
    }
}
