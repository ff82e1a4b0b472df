//! A message on its way to one client.

use super::shared::Group;
use crate::message::{Message, QoS};
use crate::route::Options;
use std::num::NonZeroU32;
use std::sync::Arc;

/// One message for one client. There may be millions of them: it is 64 bytes.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    /// The message.
    pub(super) message: Message,
    /// Identifiers of the matching subscriptions.
    pub(super) ids: Ids,
    /// The shared group that chose this session.
    pub(super) group: Option<Arc<Group>>,
    /// Place among all that its session gets.
    pub(super) number: Number,
    /// QoS of this delivery: the lower of publish and subscription.
    pub(super) qos: QoS,
    /// RETAIN flag of this delivery.
    pub(super) retain: bool,
}

/// The place of a message among all that a session gets: 48 bits, which a session never uses up, in six bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Number([u8; 6]);

impl Number {
    pub(super) fn new(number: u64) -> Self {
        let [a, b, c, d, e, f, ..] = number.to_le_bytes();
        Self([a, b, c, d, e, f])
    }

    pub(super) fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

/// Subscription identifiers (MQTT 5, 3.3.2.3.8); most have none, most others one.
#[derive(Debug, Clone)]
pub(super) enum Ids {
    /// At most one.
    Few(Option<NonZeroU32>),
    Many(Box<[NonZeroU32]>),
}

impl Delivery {
    /// A delivery without subscription.
    pub(super) fn new(message: Message, qos: QoS) -> Self {
        Self { message, ids: Ids::Few(None), group: None, number: Number::default(), qos, retain: false }
    }

    /// What `matching` subscriptions of a client ask for, all together: the highest QoS, every identifier
    /// (MQTT-3.3.4-2, MQTT-3.3.4-4). `None` if none of them wants it, because it is the client's own.
    pub(super) fn of(message: &Message, matching: &[Options], own: bool) -> Option<Self> {
        let mut wanted = matching.iter().filter(|options| !(own && options.no_local));
        let first = wanted.next()?;
        let mut qos = first.qos;
        let mut as_published = first.retain_as_published;
        let mut ids = Ids::Few(first.id);
        for options in wanted {
            qos = qos.max(options.qos);
            as_published |= options.retain_as_published;
            ids = ids.and(options.id);
        }
        let mut delivery = Self::new(message.clone(), qos.min(message.qos()));
        delivery.retain = as_published && message.retain();
        delivery.ids = ids;
        Some(delivery)
    }
}

impl Ids {
    /// These and one more.
    fn and(self, id: Option<NonZeroU32>) -> Self {
        match (self, id) {
            (ids, None) => ids,
            (Self::Few(None), id) => Self::Few(id),
            (ids, Some(id)) => Self::Many(ids.as_slice().iter().copied().chain([id]).collect()),
        }
    }

    /// These identifiers.
    pub(super) fn of(ids: &[NonZeroU32]) -> Self {
        match ids {
            [] => Self::Few(None),
            [id] => Self::Few(Some(*id)),
            many => Self::Many(many.into()),
        }
    }

    pub(super) fn as_slice(&self) -> &[NonZeroU32] {
        match self {
            Self::Few(id) => id.as_slice(),
            Self::Many(ids) => ids,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{NEVER, Parts};

    #[test]
    fn overlapping_subscriptions_give_the_highest_qos_and_all_identifiers() {
        let (retain, publisher, expires_at) = (true, 1, NEVER);
        let qos = QoS::AtLeastOnce;
        let message =
            Message::new(&Parts { qos, retain, publisher, expires_at, topic: "t", properties: &[], payload: b"" });
        let id = |id| NonZeroU32::new(id).unwrap();
        let options = |qos, id, no_local| Options {
            qos,
            no_local,
            retain_as_published: false,
            id: NonZeroU32::new(id),
            partial: false,
        };
        let matching = [
            options(QoS::AtMostOnce, 3, false),
            options(QoS::ExactlyOnce, 0, false),
            options(QoS::AtMostOnce, 9, true),
        ];
        let delivery = Delivery::of(&message, &matching, false).unwrap();
        assert_eq!((delivery.qos, delivery.ids.as_slice()), (QoS::AtLeastOnce, &[id(3), id(9)][..]));
        assert!(!delivery.retain);
        assert_eq!(Delivery::of(&message, &matching, true).unwrap().ids.as_slice(), [id(3)]);
        assert!(Delivery::of(&message, &matching[2..], true).is_none());
    }

    #[test]
    fn a_number_has_48_bits() {
        for number in [0, 1, 0x1234_5678_9abc, (1 << 48) - 1] {
            assert_eq!(Number::new(number).get(), number);
        }
    }

    #[test]
    fn a_delivery_fits_into_a_cache_line() {
        assert!(size_of::<Delivery>() <= 64);
    }
}
