//! What a connection takes out of its session.

use super::Session;
use crate::message::QoS;
use crate::metrics::Drop;
use crate::mqtt::delivery::Delivery;
use crate::mqtt::inflight::Resend;
use crate::mqtt::link::Link;
use crate::mqtt::queue::TooLarge;
use crate::store::Ticket;
use std::num::NonZeroU16;
use std::sync::Arc;

/// What a connection has to send.
#[derive(Debug)]
pub(in crate::mqtt) enum Outgoing {
    /// A PUBLISH.
    Publish {
        delivery: Delivery,
        /// For QoS 1 and 2.
        packet_id: Option<NonZeroU16>,
        dup: bool,
        /// What must be safe before it is sent.
        ticket: Ticket,
    },
    /// A PUBREL, and what must be safe before it is sent.
    Release(NonZeroU16, Ticket),
}

/// What is left after [`Session::fetch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) enum Rest {
    /// Nothing that could be sent.
    Nothing,
    /// More to fetch.
    More,
    /// A message that is larger than what is wanted now.
    TooLarge,
}

impl Session {
    /// Takes up to `most` packets, and about `most_bytes`, to send into `out`; says what is left. A message of more than
    /// `largest` bytes stays, and holds back those behind it. Who leaves anything there comes again without being woken.
    ///
    /// Nothing comes for a connection that is no longer the session's. Expired and too large messages are dropped
    /// here, where it is known that nobody will see them (MQTT-3.3.2-5, MQTT-3.1.2-25).
    pub(in crate::mqtt) fn fetch(
        &self,
        link: &Arc<Link>,
        out: &mut Vec<Outgoing>,
        most: usize,
        most_bytes: usize,
        largest: usize,
        now_ms: u64,
    ) -> Rest {
        let mut state = self.state.lock();
        let state = &mut *state;
        if !state.link.as_ref().is_some_and(|present| Arc::ptr_eq(present, link)) {
            return Rest::Nothing;
        }
        let window = state.terms.window;
        let (mut bytes, mut too_large) = (0, false);
        while out.len() < most && bytes < most_bytes {
            let Ok(resend) = state.inflight.resend_next(window, largest) else {
                too_large = true;
                break;
            };
            match resend {
                Some(Resend::Release(id, number)) => out.push(Outgoing::Release(id, self.keep_released(id, number))),
                // Its rights may have changed since it was sent.
                Some(Resend::Publish(id, delivery)) if !state.client.rights.may_read(delivery.message.topic()) => {
                    state.inflight.discard(id);
                    self.forget_delivery(&delivery);
                    self.common.metrics.dropped(Drop::NotAuthorized, 1);
                }
                // Another upload may have the slot by now: this start must not reach the dock, whatever QoS 1 and 2 promise.
                Some(Resend::Publish(id, delivery))
                    if delivery.message.is_guarded() && delivery.message.expires_at() <= now_ms =>
                {
                    state.inflight.discard(id);
                    self.forget_delivery(&delivery);
                    self.common.metrics.dropped(Drop::Expired, 1);
                }
                Some(Resend::Publish(id, delivery)) if state.terms.takes(&delivery) => {
                    bytes += delivery.message.size();
                    let ticket = self.keep_sent(id, &delivery);
                    out.push(Outgoing::Publish { delivery, packet_id: Some(id), dup: true, ticket });
                }
                Some(Resend::Publish(id, delivery)) => {
                    state.inflight.discard(id);
                    self.forget_delivery(&delivery);
                    self.common.metrics.dropped(Drop::TooLarge, 1);
                }
                None => break,
            }
        }
        // Asked after each read, mostly there is nothing: memory only for what there is.
        out.reserve(most.min(state.backlog.len() + state.queue.len()));
        while !too_large && out.len() < most && bytes < most_bytes {
            let window_open = state.inflight.has_room(window, self.common.limits.queue_bytes);
            let next = match state.backlog.pop(window_open, largest) {
                Ok(None) => state.queue.pop(window_open, largest),
                first => first,
            };
            let delivery = match next {
                Ok(Some(delivery)) => delivery,
                Ok(None) => break,
                Err(TooLarge) => {
                    too_large = true;
                    break;
                }
            };
            bytes += delivery.message.size();
            if delivery.message.expires_at() <= now_ms {
                self.forget_delivery(&delivery);
                self.common.metrics.dropped(Drop::Expired, 1);
            } else if !state.terms.takes(&delivery) {
                self.forget_delivery(&delivery);
                self.common.metrics.dropped(Drop::TooLarge, 1);
            } else if delivery.qos == QoS::AtMostOnce {
                let guarded = delivery.message.is_guarded();
                let ticket = if guarded { self.common.store.latest() } else { Ticket::NONE };
                out.push(Outgoing::Publish { delivery, packet_id: None, dup: false, ticket });
            } else {
                let id = state.inflight.send(delivery.clone());
                let ticket = self.keep_sent(id, &delivery);
                out.push(Outgoing::Publish { delivery, packet_id: Some(id), dup: false, ticket });
            }
        }
        if state.queue.len() <= self.common.limits.queue_messages / 4
            && state.queue.bytes() <= self.common.limits.queue_bytes / 4
        {
            self.gate.open();
        }
        // The next message wakes the connection. With a full window one of QoS 1 or 2 need not: the next
        // acknowledgement makes the connection fetch.
        self.settle(state);
        let rest = if too_large {
            Rest::TooLarge
        } else if out.len() >= most || bytes >= most_bytes {
            Rest::More
        } else {
            Rest::Nothing
        };
        state.awake = rest != Rest::Nothing;
        state.blocked = state.queue.has_lasting() || state.backlog.has_lasting();
        rest
    }
}
