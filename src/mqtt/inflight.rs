//! Messages sent to one client with QoS 1 or 2 that it has not acknowledged to the end (MQTT 5, 4.3 and 4.4).
//!
//! Packet identifiers are given out one after the other, so that a ring of slots serves for everything: look-up by
//! identifier, acknowledgements in any order, and redelivery in the order of the first sending (MQTT-4.6.0-1).

use super::delivery::{Delivery, Number};
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
    Released(Number),
    /// Done; waits for the slots before it to be done.
    Done,
}

/// What [`InFlight::resend_next`] asks to be sent again.
#[derive(Debug)]
pub(super) enum Resend {
    /// The PUBLISH, with DUP.
    Publish(NonZeroU16, Delivery),
    /// The PUBREL.
    Release(NonZeroU16, Number),
}

/// What was noted of a message in flight.
#[derive(Debug)]
pub(super) enum Noted {
    /// PUBLISH was sent.
    Sent(Delivery),
    /// PUBREL was sent, or was to be.
    Released(Number),
}

/// What to do about a PUBREC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Send PUBREL.
    Release(Number),
    /// The client refused the message: nothing more to do (MQTT 5, 4.3.3).
    Refused(Number),
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

    /// Takes a PUBACK; the message, if there was such a one.
    pub(super) fn acknowledge(&mut self, id: NonZeroU16) -> Option<Number> {
        let Some(Slot::Sent(Delivery { qos: QoS::AtLeastOnce, number, .. })) = self.slot(id) else { return None };
        let number = *number;
        self.advance(id, Slot::Done);
        self.done();
        Some(number)
    }

    /// Takes a PUBREC with its reason code.
    pub(super) fn received(&mut self, id: NonZeroU16, code: u8) -> Received {
        let number = match self.slot(id) {
            Some(Slot::Sent(Delivery { qos: QoS::ExactlyOnce, number, .. })) => *number,
            Some(Slot::Released(number)) => return Received::Release(*number),
            _ => return Received::Unknown,
        };
        if code < 0x80 {
            self.advance(id, Slot::Released(number));
            return Received::Release(number);
        }
        self.advance(id, Slot::Done);
        self.done();
        Received::Refused(number)
    }

    /// Takes a PUBCOMP; the message, if there was such a one.
    pub(super) fn complete(&mut self, id: NonZeroU16) -> Option<Number> {
        let Some(Slot::Released(number)) = self.slot(id) else { return None };
        let number = *number;
        self.advance(id, Slot::Done);
        self.done();
        Some(number)
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
                Slot::Released(number) => Resend::Release(id, *number),
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

    /// Takes up what was in flight when the broker ended: the messages with their packet identifiers, and those that may
    /// have been sent under identifiers that nobody noted.
    pub(super) fn restored(mut noted: Vec<(NonZeroU16, Noted)>, unnoted: Vec<Delivery>) -> Self {
        let mut inflight = Self::default();
        noted.sort_unstable_by_key(|(id, _)| *id);
        // Identifiers go round: they begin after the widest gap.
        let gap = |at: usize| {
            let (id, before) = (noted[at].0.get(), noted[(at + noted.len() - 1) % noted.len()].0.get());
            (usize::from(id) + IDENTIFIERS - usize::from(before) - 1) % IDENTIFIERS
        };
        if let Some(first) = (0..noted.len()).max_by_key(|&at| gap(at)) {
            noted.rotate_left(first);
            inflight.first = usize::from(noted[0].0.get()) - 1;
        }
        for (id, noted) in noted {
            while inflight.identifier(inflight.slots.len()) != id {
                inflight.slots.push_back(Slot::Done);
            }
            match noted {
                Noted::Released(number) => inflight.slots.push_back(Slot::Released(number)),
                Noted::Sent(delivery) => drop(inflight.send(delivery)),
            }
        }
        for delivery in unnoted {
            inflight.send(delivery);
        }
        inflight.reconnected();
        inflight
    }

    /// The messages that wait for PUBACK, with their packet identifiers.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = (NonZeroU16, &Delivery)> {
        let sent = self.slots.iter().enumerate().filter_map(|(at, slot)| match slot {
            Slot::Sent(delivery) if delivery.qos != QoS::ExactlyOnce => Some((at, delivery)),
            _ => None,
        });
        sent.map(|(at, delivery)| (self.identifier(at), delivery))
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
            assert!(inflight.acknowledge(id).is_some());
            assert!(inflight.acknowledge(id).is_none(), "only once");
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
            assert!(inflight.acknowledge(id).is_some());
        }
    }

    #[test]
    fn the_window_closes_and_a_stuck_message_does_not_make_the_ring_grow() {
        let mut inflight = InFlight::default();
        let stuck = inflight.send(delivery(QoS::AtLeastOnce));
        let mut sent = 0;
        while inflight.has_room(2, usize::MAX) {
            let id = inflight.send(delivery(QoS::AtLeastOnce));
            assert!(inflight.acknowledge(id).is_some());
            sent += 1;
        }
        assert!((1..100).contains(&sent));
        assert!(inflight.acknowledge(stuck).is_some() && inflight.has_room(2, usize::MAX));
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
        assert!(inflight.acknowledge(a).is_none(), "PUBACK is not for QoS 2");
        assert!(inflight.complete(a).is_none(), "PUBCOMP before PUBREC");
        let release = Received::Release(Number::default());
        assert_eq!(inflight.received(a, 0), release);
        assert_eq!(inflight.received(a, 0), release, "a repeated PUBREC");
        assert!(inflight.complete(a).is_some());
        assert_eq!(inflight.received(b, 0x97), Received::Refused(Number::default()));
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
        assert!(matches!(inflight.resend_next(2, usize::MAX).unwrap(), Some(Resend::Release(id, _)) if id == ids[1]));
        assert!(inflight.resend_next(2, usize::MAX).unwrap().is_none(), "the window is full");
        assert!(inflight.complete(ids[1]).is_some());
        assert!(matches!(inflight.resend_next(2, usize::MAX).unwrap(), Some(Resend::Publish(id, _)) if id == ids[2]));
        assert_eq!(inflight.received(ids[0], 0), Received::Release(Number::default()));
        assert!(inflight.complete(ids[0]).is_some());
        assert!(matches!(inflight.resend_next(2, usize::MAX).unwrap(), Some(Resend::Publish(id, _)) if id == ids[3]));
        assert!(inflight.resend_next(2, usize::MAX).unwrap().is_none());
        assert_eq!(inflight.received(id(77), 0), Received::Unknown);
    }

    #[test]
    fn what_was_noted_is_sent_again_under_the_same_identifiers_also_around_the_last_one() {
        for first in [1_u16, 9, 65_533] {
            let ids: Vec<_> =
                (0..6).map(|n| id((u32::from(first) - 1 + n * 3).rem_euclid(65_535) as u16 + 1)).collect();
            let noted = |n: usize| match n % 2 {
                0 => Noted::Sent(delivery(QoS::ExactlyOnce)),
                _ => Noted::Released(Number::new(n as u64)),
            };
            // In any order: they come by their numbers.
            let order = [3, 0, 5, 1, 4, 2];
            let saved = order.map(|n| (ids[n], noted(n)));
            let mut inflight = InFlight::restored(saved.into(), vec![delivery(QoS::AtLeastOnce)]);
            for (n, wanted) in ids.iter().enumerate() {
                match inflight.resend_next(100, usize::MAX).unwrap() {
                    Some(Resend::Publish(id, _)) => assert_eq!((n % 2, id), (0, *wanted)),
                    Some(Resend::Release(id, number)) => assert_eq!((number.get(), id), (n as u64, *wanted)),
                    None => panic!("{n} is not sent again"),
                }
            }
            let Some(Resend::Publish(unnoted, _)) = inflight.resend_next(100, usize::MAX).unwrap() else { panic!() };
            assert_eq!(unnoted.get() % 65_535, (ids[5].get() + 1) % 65_535);
            assert!(inflight.acknowledge(unnoted).is_some());
            assert_eq!(inflight.received(ids[0], 0), Received::Release(Number::default()));
            assert_eq!(inflight.complete(ids[1]), Some(Number::new(1)));
            assert!(inflight.complete(id(ids[1].get() % 65_535 + 1)).is_none(), "none in a gap");
        }
    }
}
