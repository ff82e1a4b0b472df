//! SUBSCRIBE and UNSUBSCRIBE.

use super::broker::Broker;
use super::delivery::Delivery;
use super::session::{Session, Subscription};
use super::shared::{Group, SharedSubscriber};
use super::topic::{self, Filter};
use super::wire::Subscribe;
use crate::message::QoS;
use crate::metrics::ProtocolFault;
use crate::route::{Options, Subscriber};
use bytestring::ByteString;
use dashmap::mapref::entry::Entry;
use rmqtt_codec::v5::{RetainHandling, SubscribeAckReason, UnsubscribeAckReason};
use std::sync::Arc;

impl Broker {
    /// Subscribes a session; one answer a filter, in their order.
    pub(super) fn subscribe(&self, session: &Arc<Session>, packet: &Subscribe) -> Vec<SubscribeAckReason> {
        let one = |(filter, asked): &(ByteString, rmqtt_codec::v5::SubscriptionOptions)| {
            let options = Options {
                qos: asked.qos,
                no_local: asked.no_local,
                retain_as_published: asked.retain_as_published,
                id: packet.id,
            };
            match self.subscribe_one(session, filter, options, asked.retain_handling) {
                Ok(QoS::AtMostOnce) => SubscribeAckReason::GrantedQos0,
                Ok(QoS::AtLeastOnce) => SubscribeAckReason::GrantedQos1,
                Ok(QoS::ExactlyOnce) => SubscribeAckReason::GrantedQos2,
                Err(reason) => reason,
            }
        };
        packet.filters.iter().map(one).collect()
    }

    fn subscribe_one(
        &self,
        session: &Arc<Session>,
        text: &ByteString,
        options: Options,
        retain_handling: RetainHandling,
    ) -> Result<QoS, SubscribeAckReason> {
        let Some(filter) = Filter::parse(text, self.topic_limits()) else {
            self.metrics.protocol_error(ProtocolFault::TopicFilter);
            return Err(SubscribeAckReason::TopicFilterInvalid);
        };
        if filter.is_wildcard() && self.route.wildcard_filters() >= self.limits.wildcard_filters {
            return Err(SubscribeAckReason::QuotaExceeded);
        }
        // An own copy: what came is a slice of the whole packet.
        let text: ByteString = text.to_string().into();
        let group = filter.group.map(|name| self.join_group(name, filter.filter, session, options));
        let (new, overlapped) = {
            let mut state = session.state();
            let room = state.subscriptions.len() < self.limits.subscriptions_per_session;
            let new = !state.subscriptions.contains_key(&text);
            if state.ended || (new && !room) {
                drop(state);
                if let Some(group) = &group {
                    self.leave_group(&text, group, session.key());
                }
                return Err(SubscribeAckReason::QuotaExceeded);
            }
            state.subscriptions.insert(text.clone(), Subscription { options, group: group.clone() });
            (new, !filter.is_wildcard() && state.wildcard_matches(filter.filter))
        };
        if group.is_none() {
            let subscriber: Arc<dyn Subscriber> = session.clone();
            self.route.subscribe(filter.filter, &subscriber, options, overlapped);
            if filter.is_wildcard() {
                self.mark_overlaps(session, filter.filter);
            }
        }
        if session.state().ended {
            self.drop_subscription(session.key(), &text, group.as_ref());
        }
        let wanted = match retain_handling {
            RetainHandling::AtSubscribe => true,
            RetainHandling::AtSubscribeNew => new,
            RetainHandling::NoAtSubscribe => false,
        };
        // Retained messages are not sent to shared subscriptions (MQTT 5, 4.8.2).
        if wanted && group.is_none() && !self.send_retained(session, filter.filter, options) {
            return Err(SubscribeAckReason::QuotaExceeded);
        }
        Ok(options.qos)
    }

    /// A new wildcard: the session's exact subscriptions that it matches get two copies from now on, of which the
    /// session drops one.
    fn mark_overlaps(&self, session: &Arc<Session>, wildcard: &str) {
        let exact: Vec<_> = {
            let state = session.state();
            let own = state.subscriptions.iter().filter(|(filter, own)| {
                own.group.is_none() && !topic::has_wildcard(filter) && topic::matches(wildcard, filter)
            });
            own.map(|(filter, own)| (filter.clone(), own.options)).collect()
        };
        let subscriber: Arc<dyn Subscriber> = session.clone();
        for (filter, options) in exact {
            self.route.subscribe(&filter, &subscriber, options, true);
        }
    }

    fn send_retained(&self, session: &Arc<Session>, filter: &str, options: Options) -> bool {
        let found = self.retained.matching(filter, self.clock.now_ms());
        if found.is_empty() {
            return true;
        }
        let deliveries = found.iter().filter_map(|message| {
            let mut delivery = Delivery::of(message, &[options], message.publisher() == session.key())?;
            delivery.retain = true; // MQTT-3.3.1-8
            Some(delivery)
        });
        session.enqueue_retained(deliveries.collect(), 2 * self.limits.retained_messages)
    }

    /// Unsubscribes a session; one answer a filter, in their order.
    pub(super) fn unsubscribe(&self, session: &Arc<Session>, filters: &[ByteString]) -> Vec<UnsubscribeAckReason> {
        let one = |filter: &ByteString| {
            let Some(removed) = session.state().subscriptions.remove(filter) else {
                return if Filter::parse(filter, self.topic_limits()).is_some() {
                    UnsubscribeAckReason::NoSubscriptionExisted
                } else {
                    UnsubscribeAckReason::TopicFilterInvalid
                };
            };
            self.drop_subscription(session.key(), filter, removed.group.as_ref());
            UnsubscribeAckReason::Success
        };
        filters.iter().map(one).collect()
    }

    pub(super) fn drop_subscription(&self, session: u64, filter: &str, group: Option<&Arc<Group>>) {
        match group {
            Some(group) => self.leave_group(filter, group, session),
            None => self.route.unsubscribe(filter, session),
        }
    }

    fn join_group(&self, name: &str, filter: &str, session: &Arc<Session>, options: Options) -> Arc<Group> {
        match self.groups.entry((name.into(), filter.into())) {
            Entry::Occupied(group) => {
                group.get().join(session, options);
                group.get().clone()
            }
            Entry::Vacant(vacant) => {
                let group = Arc::new(Group::new(self.next_key()));
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
