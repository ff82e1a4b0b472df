//! What deliverers put into a session.

use super::{Session, State};
use crate::message::{Message, QoS};
use crate::metrics::{Drop, Limit};
use crate::mqtt::delivery::Delivery;
use crate::mqtt::queue::Queue;
use crate::route::{Delivered, Options, Pressure, Subscriber, Via};
use crate::store::Ticket;

/// What the queue of a subscriber that publishers wait for may hold beyond its bounds: as much as was on its way when it
/// got half full (the lanes of the routing core).
const ON_THE_WAY: usize = 16 << 20;
/// A message smaller than this may share its memory with others of its batch.
const SHARED_MEMORY: usize = 4 << 10;

/// What becomes of a message that a session gets now, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mqtt) enum Readiness {
    /// It is sent.
    Ready,
    /// It is dropped, though the client is there.
    Full,
    /// It waits for the client.
    Away,
    /// It is dropped.
    AwayAndFull,
}

impl Session {
    /// Queues one delivery, and adds to `delivered` what follows from that. What is `promised` to its publisher already is
    /// not refused for a disk that fails.
    fn enqueue(&self, state: &mut State, mut delivery: Delivery, promised: bool, delivered: &mut Delivered) {
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
        if !online && !promised && self.is_durable() && self.common.store.is_failing() {
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
    pub(super) fn no_room(&self, state: &State, cost: usize) -> Option<Limit> {
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

    /// Queues a message that a shared group chose this session for; one that another member leaves is `promised`.
    ///
    /// # Errors
    /// The delivery, if the session has ended meanwhile.
    pub(in crate::mqtt) fn deliver_shared(&self, delivery: Delivery, promised: bool) -> Result<Delivered, Delivery> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(delivery);
        }
        let mut delivered = Delivered::default();
        self.enqueue(&mut state, delivery, promised, &mut delivered);
        self.settle(&mut state);
        Ok(delivered)
    }

    /// Whether it is one for a shared group to give a message to.
    pub(in crate::mqtt) fn readiness(&self) -> Readiness {
        let state = self.state.lock();
        let limits = &self.common.limits;
        let is_full = state.queue.len() >= limits.queue_messages || state.queue.bytes() >= limits.queue_bytes;
        match (state.link.is_some(), is_full) {
            (true, false) => Readiness::Ready,
            (true, true) => Readiness::Full,
            (false, false) => Readiness::Away,
            (false, true) => Readiness::AwayAndFull,
        }
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
            } else if !state.may_take(matching, message) {
                // What its filter matches, and its rights do not.
            } else if let Some(delivery) = Delivery::of(message, matching, message.publisher() == self.key) {
                self.enqueue(state, delivery, false, &mut delivered);
            }
        }
        self.settle(state);
        delivered
    }
}
