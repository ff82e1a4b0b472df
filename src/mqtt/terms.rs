//! What a client and the broker have agreed on with CONNECT and CONNACK.

use super::aliases::Alias;
use super::delivery::Delivery;
use super::encode::{PublishHeader, publish_size};
use crate::message::{Message, QoS};
use crate::metrics::Version;
use std::num::NonZeroU16;

/// What CONNECT says of the client's abilities and wishes.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// Protocol version.
    pub(super) version: Version,
    /// How long the session outlives the connection, in milliseconds; 0 ends it with the connection.
    pub(super) expiry_ms: u64,
    /// Messages of QoS 1 and 2 that may be on their way to the client.
    pub(super) window: usize,
    /// Largest packet that the client takes; 0 is no limit.
    pub(super) max_packet_size: usize,
    /// Topic aliases that the client takes; 0 is none.
    pub(super) topic_alias_max: u16,
    /// The will.
    pub(super) will: Option<Will>,
}

/// A will, ready to be published.
#[derive(Debug, Clone)]
pub(super) struct Will {
    /// The message; its expiry counts from the publishing.
    pub(super) message: Message,
    /// Message Expiry Interval in seconds.
    pub(super) expiry: Option<u32>,
    /// Key of the session that it belongs to: it is the client's own message (No Local), and comes after its others.
    pub(super) publisher: u64,
    /// Will Delay Interval in milliseconds.
    pub(super) delay_ms: u64,
}

impl Terms {
    /// Whether the client takes a packet of this size.
    pub(super) fn takes(&self, delivery: &Delivery) -> bool {
        if self.max_packet_size == 0 {
            return true;
        }
        let header = PublishHeader {
            qos: delivery.qos,
            packet_id: (delivery.qos != QoS::AtMostOnce).then_some(NonZeroU16::MIN),
            dup: false,
            retain: false,
            subscription_ids: delivery.ids.as_slice(),
            // The largest form that it may take.
            alias: if self.topic_alias_max > 0 { Alias::Defines(1) } else { Alias::None },
        };
        publish_size(&delivery.message, &header, self.version) <= self.max_packet_size
    }
}
