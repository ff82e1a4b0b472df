//! Messages that wait for one client.
//!
//! QoS 0 and the others wait apart, because a full window must not delay QoS 0 (MQTT-3.3.4-10) and QoS 0 is the first
//! to be dropped; numbers keep the order in which they came.

use super::delivery::Delivery;
use crate::message::QoS;
use std::collections::VecDeque;

/// What a waiting message costs beside its bytes.
const OVERHEAD: usize = 96;
/// An empty queue gives back its memory if it has grown beyond this many messages.
const KEEP: usize = 1024;

/// The next message is larger than what is wanted now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// A queue with its own account of messages and bytes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// QoS 0.
    fleeting: VecDeque<Delivery>,
    /// QoS 1 and 2.
    lasting: VecDeque<Delivery>,
    bytes: usize,
}

impl Queue {
    /// Number of messages.
    pub(super) fn len(&self) -> usize {
        self.fleeting.len() + self.lasting.len()
    }

    /// Bytes of all messages with what they cost beside.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message of QoS 1 or 2 waits.
    pub(super) fn has_lasting(&self) -> bool {
        !self.lasting.is_empty()
    }

    /// What a message counts for in [`Queue::bytes`].
    pub(super) fn cost(delivery: &Delivery) -> usize {
        delivery.message.size() + OVERHEAD
    }

    /// Adds a message at the end: its number is higher than that of any other.
    pub(super) fn push(&mut self, delivery: Delivery) {
        self.bytes += Self::cost(&delivery);
        let place = if delivery.qos == QoS::AtMostOnce { &mut self.fleeting } else { &mut self.lasting };
        place.push_back(delivery);
    }

    /// Takes the first message; while the window is closed, the first of QoS 0. One of more than `largest` bytes stays,
    /// and those behind it wait.
    pub(super) fn pop(&mut self, window_open: bool, largest: usize) -> Result<Option<Delivery>, TooLarge> {
        let number = |delivery: &Delivery| delivery.number.get();
        let lasting = self.lasting.front().filter(|_| window_open).map(number);
        let fleeting = self.fleeting.front().map(number);
        let place = match (lasting, fleeting) {
            (Some(lasting), Some(fleeting)) if lasting < fleeting => &mut self.lasting,
            (_, Some(_)) => &mut self.fleeting,
            (Some(_), None) => &mut self.lasting,
            (None, None) => return Ok(None),
        };
        let Some(delivery) = place.pop_front_if(|next| next.message.size() <= largest) else { return Err(TooLarge) };
        if place.is_empty() && place.capacity() > KEEP {
            *place = VecDeque::new();
        }
        self.bytes -= Self::cost(&delivery);
        Ok(Some(delivery))
    }

    /// Drops all messages of QoS 0 and says how many.
    pub(super) fn drop_fleeting(&mut self) -> usize {
        let dropped = std::mem::take(&mut self.fleeting);
        self.bytes -= dropped.iter().map(Self::cost).sum::<usize>();
        dropped.len()
    }

    /// Keeps what `keep` says, and says how many messages that were not.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Delivery) -> bool) -> usize {
        let before = self.len();
        self.fleeting.retain(&mut keep);
        self.lasting.retain(&mut keep);
        self.bytes = self.fleeting.iter().chain(&self.lasting).map(Self::cost).sum();
        before - self.len()
    }

    /// Empties the queue; gives its messages of QoS 1 and 2.
    pub(super) fn drain_lasting(&mut self) -> impl Iterator<Item = Delivery> {
        std::mem::take(self).lasting.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, NEVER, Parts};
    use crate::mqtt::delivery::Number;

    fn delivery(qos: QoS, payload: &str) -> Delivery {
        let (retain, publisher, expires_at) = (false, 1, NEVER);
        let payload = payload.as_bytes();
        let parts = Parts { qos, retain, publisher, expires_at, topic: "t", properties: &[], payload };
        Delivery::new(Message::new(&parts), qos)
    }

    fn fill(queue: &mut Queue, messages: &[(QoS, &str)]) {
        for (number, (qos, payload)) in (0..).zip(messages) {
            queue.push(Delivery { number: Number::new(number), ..delivery(*qos, payload) });
        }
    }

    fn pop(queue: &mut Queue, window_open: bool) -> Option<String> {
        let delivery = queue.pop(window_open, usize::MAX).unwrap()?;
        Some(String::from_utf8(delivery.message.payload().to_vec()).unwrap())
    }

    #[test]
    fn messages_leave_in_their_order_and_qos_0_passes_a_closed_window() {
        let mut queue = Queue::default();
        let lasting = [(QoS::AtLeastOnce, "b"), (QoS::AtMostOnce, "c"), (QoS::ExactlyOnce, "d")];
        fill(&mut queue, &[&[(QoS::AtMostOnce, "a")], &lasting[..]].concat());
        assert_eq!(pop(&mut queue, true).unwrap(), "a");
        assert_eq!(pop(&mut queue, false).unwrap(), "c");
        assert_eq!(pop(&mut queue, false), None);
        assert_eq!(pop(&mut queue, true).unwrap(), "b");
        assert_eq!(pop(&mut queue, true).unwrap(), "d");
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }

    #[test]
    fn a_message_over_the_bound_stays_and_holds_back_those_behind_it() {
        let mut queue = Queue::default();
        let large = "x".repeat(1000);
        fill(&mut queue, &[(QoS::AtLeastOnce, &large), (QoS::AtMostOnce, "a"), (QoS::AtLeastOnce, "b")]);
        let bytes = queue.bytes();
        assert_eq!(queue.pop(true, 999).unwrap_err(), TooLarge);
        assert_eq!((queue.len(), queue.bytes()), (3, bytes));
        assert_eq!(queue.pop(false, 999).unwrap().unwrap().message.payload(), b"a", "passes a closed window");
        assert_eq!(queue.pop(true, 999).unwrap_err(), TooLarge);
        assert_eq!(pop(&mut queue, true).unwrap(), large);
        assert_eq!(queue.pop(true, 999).unwrap().unwrap().message.payload(), b"b");
        assert!(matches!(queue.pop(true, 999), Ok(None)));
    }

    #[test]
    fn dropping_qos_0_keeps_the_account() {
        let mut queue = Queue::default();
        fill(&mut queue, &[(QoS::AtMostOnce, "x"), (QoS::AtLeastOnce, "x"), (QoS::AtMostOnce, "x")]);
        assert_eq!((queue.drop_fleeting(), queue.len()), (2, 1));
        assert!(pop(&mut queue, true).is_some());
        assert_eq!(queue.bytes(), 0);
    }
}
