//! Messages sent to one client with QoS 1 or 2 that it has not acknowledged to the end (MQTT 5, 4.3 and 4.4).
//!
//! Packet identifiers are given out one after the other, so that a ring of slots serves for everything: look-up by
//! identifier, acknowledgements in any order, and redelivery in the order of the first sending (MQTT-4.6.0-1).

use super::delivery::Delivery;
use super::queue::TooLarge;
use crate::message::QoS;
use std::collections::VecDeque;
use std::num::NonZeroU16;

/// Packet identifiers run from 1 to 65,535.
const IDENTIFIERS: usize = 65_535;

/// What a client owes an answer to.
#[derive(Debug)]
enum Slot {
    /// PUBLISH is out: PUBACK or PUBREC is due.
    Sent(Delivery),
    /// PUBREL is out: PUBCOMP is due.
    Released,
    /// Done; waits for the slots before it to be done.
    Done,
}

/// What [`InFlight::resend_next`] asks to be sent again.
#[derive(Debug)]
pub(super) enum Resend {
    /// The PUBLISH, with DUP.
    Publish(NonZeroU16, Delivery),
    /// The PUBREL.
    Release(NonZeroU16),
}

/// What to do about a PUBREC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Send PUBREL.
    Release,
    /// The client refused the message: nothing more to do (MQTT 5, 4.3.3).
    Refused,
    /// No such message: PUBREL with 0x92.
    Unknown,
}

/// The messages in flight to one client.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    slots: VecDeque<Slot>,
    /// Identifier of the first slot, less one: 0 to 65,534.
    first: usize,
    /// Slots that are not done and have been sent over the present connection.
    outstanding: usize,
    /// Of all messages that are kept for sending them again.
    bytes: usize,
    /// After a reconnect, the slots from here up to `resend_until` are still to be sent again.
    resend_at: usize,
    resend_until: usize,
}

impl InFlight {
    /// Bytes of the messages that wait for an acknowledgement.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more may be sent to a client that takes `window` at a time, of not much more than `max_bytes`.
    pub(super) fn has_room(&self, window: usize, max_bytes: usize) -> bool {
        let bytes_fit = self.bytes < max_bytes || self.outstanding == 0;
        // A client that never acknowledges one of them must not make the ring grow with the others.
        bytes_fit
            && self.outstanding < window
            && self.slots.len() < (4 * window + 64).min(IDENTIFIERS)
            && !self.resending()
    }

    /// Notes a message as sent, under the identifier returned.
    pub(super) fn send(&mut self, delivery: Delivery) -> NonZeroU16 {
        self.bytes += delivery.message.size();
        self.slots.push_back(Slot::Sent(delivery));
        self.outstanding += 1;
        self.identifier(self.slots.len() - 1)
    }

    /// Takes a PUBACK; whether there was such a message.
    pub(super) fn acknowledge(&mut self, id: NonZeroU16) -> bool {
        match self.slot(id) {
            Some(Slot::Sent(Delivery { qos: QoS::AtLeastOnce, .. })) => self.advance(id, Slot::Done),
            _ => return false,
        }
        self.done();
        true
    }

    /// Takes a PUBREC with its reason code.
    pub(super) fn received(&mut self, id: NonZeroU16, code: u8) -> Received {
        let answer = match self.slot(id) {
            Some(Slot::Sent(Delivery { qos: QoS::ExactlyOnce, .. })) if code < 0x80 => {
                self.advance(id, Slot::Released);
                return Received::Release;
            }
            Some(Slot::Sent(Delivery { qos: QoS::ExactlyOnce, .. })) => {
                self.advance(id, Slot::Done);
                Received::Refused
            }
            Some(Slot::Released) => return Received::Release,
            _ => return Received::Unknown,
        };
        self.done();
        answer
    }

    /// Takes a PUBCOMP; whether there was such a message.
    pub(super) fn complete(&mut self, id: NonZeroU16) -> bool {
        match self.slot(id) {
            Some(Slot::Released) => self.advance(id, Slot::Done),
            _ => return false,
        }
        self.done();
        true
    }

    /// A new connection: everything is to be sent again (MQTT-4.4.0-1).
    pub(super) fn reconnected(&mut self) {
        self.outstanding = 0;
        self.resend_at = 0;
        self.resend_until = self.slots.len();
    }

    /// The next to send again, while the window has room. A message of more than `largest` bytes waits, as do those behind it.
    pub(super) fn resend_next(&mut self, window: usize, largest: usize) -> Result<Option<Resend>, TooLarge> {
        while self.resending() && self.outstanding < window {
            let (at, id) = (self.resend_at, self.identifier(self.resend_at));
            let resend = match &self.slots[at] {
                Slot::Sent(delivery) if delivery.message.size() > largest => return Err(TooLarge),
                Slot::Sent(delivery) => Resend::Publish(id, delivery.clone()),
                Slot::Released => Resend::Release(id),
                Slot::Done => {
                    self.resend_at += 1;
                    continue;
                }
            };
            self.resend_at += 1;
            self.outstanding += 1;
            return Ok(Some(resend));
        }
        Ok(None)
    }

    /// Forgets a message that cannot be sent after all.
    pub(super) fn discard(&mut self, id: NonZeroU16) {
        self.advance(id, Slot::Done);
        self.done();
    }

    /// Takes out what another client may get instead: not QoS 2, of which this one may have taken delivery already
    /// (MQTT-4.8.2-5).
    pub(super) fn take_unacknowledged(&mut self) -> impl Iterator<Item = Delivery> {
        std::mem::take(self).slots.into_iter().filter_map(|slot| match slot {
            Slot::Sent(delivery) if delivery.qos != QoS::ExactlyOnce => Some(delivery),
            _ => None,
        })
    }

    fn advance(&mut self, id: NonZeroU16, next: Slot) {
        let Some(slot) = self.slot(id) else { return };
        if let Slot::Sent(delivery) = std::mem::replace(slot, next) {
            self.bytes -= delivery.message.size();
        }
    }

    fn resending(&self) -> bool {
        self.resend_at < self.resend_until
    }

    /// A slot sent over the present connection became [`Slot::Done`].
    fn done(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        while matches!(self.slots.front(), Some(Slot::Done)) {
            self.slots.pop_front();
            self.first = (self.first + 1) % IDENTIFIERS;
            self.resend_at = self.resend_at.saturating_sub(1);
            self.resend_until = self.resend_until.saturating_sub(1);
        }
        if self.slots.is_empty() && self.slots.capacity() > 64 {
            self.slots = VecDeque::new();
        }
    }

    fn identifier(&self, at: usize) -> NonZeroU16 {
        let id = (self.first + at) % IDENTIFIERS + 1;
        u16::try_from(id).ok().and_then(NonZeroU16::new).expect("from 1 to 65,535")
    }

    /// The slot of an identifier, if it has been sent over the present connection.
    fn slot(&mut self, id: NonZeroU16) -> Option<&mut Slot> {
        let at = (usize::from(id.get()) - 1 + IDENTIFIERS - self.first) % IDENTIFIERS;
        (at < self.resend_at || !self.resending()).then(|| self.slots.get_mut(at)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, NEVER, Parts};

    fn delivery(qos: QoS) -> Delivery {
        let (retain, publisher, expires_at) = (false, 1, NEVER);
        let parts = Parts { qos, retain, publisher, expires_at, topic: "t", properties: &[], payload: b"p" };
        Delivery::new(Message::new(&parts), qos)
    }

    fn id(id: u16) -> NonZeroU16 {
        NonZeroU16::new(id).unwrap()
    }

    #[test]
    fn acknowledgements_come_in_any_order() {
        let mut inflight = InFlight::default();
        let ids: Vec<_> = (0..5).map(|_| inflight.send(delivery(QoS::AtLeastOnce))).collect();
        for id in [ids[3], ids[0], ids[4], ids[1], ids[2]] {
            assert!(inflight.acknowledge(id));
            assert!(!inflight.acknowledge(id), "only once");
        }
        assert!(inflight.slots.is_empty() && inflight.outstanding == 0);
    }

    #[test]
    fn identifiers_wrap_around_without_zero() {
        let mut inflight = InFlight::default();
        let mut last = 0;
        for _ in 0..200_000 {
            let id = inflight.send(delivery(QoS::AtLeastOnce));
            assert_eq!(id.get(), if last == 65_535 { 1 } else { last + 1 });
            last = id.get();
            assert!(inflight.acknowledge(id));
        }
    }

    #[test]
    fn the_window_closes_and_a_stuck_message_does_not_make_the_ring_grow() {
        let mut inflight = InFlight::default();
        let stuck = inflight.send(delivery(QoS::AtLeastOnce));
        let mut sent = 0;
        while inflight.has_room(2, usize::MAX) {
            let id = inflight.send(delivery(QoS::AtLeastOnce));
            assert!(inflight.acknowledge(id));
            sent += 1;
        }
        assert!((1..100).contains(&sent));
        assert!(inflight.acknowledge(stuck) && inflight.has_room(2, usize::MAX));
    }

    #[test]
    fn the_window_is_bounded_in_bytes_too_but_one_message_always_fits() {
        let mut inflight = InFlight::default();
        assert!(inflight.has_room(10, 1));
        let id = inflight.send(delivery(QoS::ExactlyOnce));
        assert!(!inflight.has_room(10, 1));
        inflight.received(id, 0);
        assert!(inflight.has_room(10, 1), "released, the message is not kept any more");
    }

    #[test]
    fn qos_2_goes_through_its_four_steps_and_refusal_ends_it() {
        let mut inflight = InFlight::default();
        let (a, b) = (inflight.send(delivery(QoS::ExactlyOnce)), inflight.send(delivery(QoS::ExactlyOnce)));
        assert!(!inflight.acknowledge(a), "PUBACK is not for QoS 2");
        assert!(!inflight.complete(a), "PUBCOMP before PUBREC");
        assert_eq!(inflight.received(a, 0), Received::Release);
        assert_eq!(inflight.received(a, 0), Received::Release, "a repeated PUBREC");
        assert!(inflight.complete(a));
        assert_eq!(inflight.received(b, 0x97), Received::Refused);
        assert_eq!(inflight.received(b, 0), Received::Unknown);
        assert!(inflight.slots.is_empty());
    }

    #[test]
    fn after_a_reconnect_all_is_sent_again_in_order_within_the_window() {
        let mut inflight = InFlight::default();
        let ids: Vec<_> = (0..4).map(|_| inflight.send(delivery(QoS::ExactlyOnce))).collect();
        inflight.received(ids[1], 0);
        inflight.reconnected();
        assert!(!inflight.has_room(10, usize::MAX), "nothing new before the old");
        assert!(matches!(inflight.resend_next(2, usize::MAX).unwrap(), Some(Resend::Publish(id, _)) if id == ids[0]));
        assert!(matches!(inflight.resend_next(2, usize::MAX).unwrap(), Some(Resend::Release(id)) if id == ids[1]));
        assert!(inflight.resend_next(2, usize::MAX).unwrap().is_none(), "the window is full");
        assert!(inflight.complete(ids[1]));
        assert!(matches!(inflight.resend_next(2, usize::MAX).unwrap(), Some(Resend::Publish(id, _)) if id == ids[2]));
        assert_eq!(inflight.received(ids[0], 0), Received::Release);
        assert!(inflight.complete(ids[0]));
        assert!(matches!(inflight.resend_next(2, usize::MAX).unwrap(), Some(Resend::Publish(id, _)) if id == ids[3]));
        assert!(inflight.resend_next(2, usize::MAX).unwrap().is_none());
        assert_eq!(inflight.received(id(77), 0), Received::Unknown);
    }
}
