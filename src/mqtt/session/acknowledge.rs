//! The exchanges of QoS 1 and 2 with the client, both ways.

use super::Session;
use crate::mqtt::inflight::Received;
use crate::mqtt::link::Link;
use crate::store::Ticket;
use ahash::AHashSet;
use std::num::NonZeroU16;
use std::sync::Arc;

impl Session {
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

    /// Forgets a QoS 2 publish that came over `link` and is refused. If the client has another connection by now, it may
    /// have sent it again: then that one says what becomes of it.
    pub(in crate::mqtt) fn refuse(&self, link: &Arc<Link>, id: NonZeroU16) {
        let mut state = self.state.lock();
        if state.link.as_ref().is_some_and(|present| Arc::ptr_eq(present, link)) {
            state.received.remove(&id.get());
            self.forget_received(id);
        }
    }
}
