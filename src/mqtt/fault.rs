//! What a client can do wrong, and what it is told.

use super::topic::Unusable;
use crate::metrics::{Limit, ProtocolFault};
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::v5::DisconnectReasonCode;

/// A breach of the protocol or of a limit, which ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(super) struct Fault {
    /// How it is counted.
    pub(super) kind: ProtocolFault,
    /// What an MQTT 5 client is told in DISCONNECT, or in CONNACK where that has the code.
    pub(super) code: DisconnectReasonCode,
    /// One clause for the log and for the MQTT 5 reason string.
    pub(super) why: &'static str,
    /// The limit that it is over, if it is that.
    pub(super) limit: Option<Limit>,
}

impl Fault {
    /// A packet that cannot be parsed (MQTT 5, 4.13.1: 0x81).
    #[must_use]
    pub(super) const fn malformed(why: &'static str) -> Self {
        Self { kind: ProtocolFault::Malformed, code: DisconnectReasonCode::MalformedPacket, why, limit: None }
    }

    /// A packet that can be parsed but must not be sent (0x82).
    #[must_use]
    pub(super) const fn protocol(why: &'static str) -> Self {
        Self { kind: ProtocolFault::Protocol, code: DisconnectReasonCode::ProtocolError, why, limit: None }
    }

    /// A packet over the limit (0x95).
    pub(super) const TOO_LARGE: Self = Self {
        kind: ProtocolFault::TooLarge,
        code: DisconnectReasonCode::PacketTooLarge,
        why: "the packet is larger than limits.max_packet_size",
        limit: Some(Limit::PacketSize),
    };
    /// More user properties than the limit (0x95: there is no code for their number).
    pub(super) const USER_PROPERTIES: Self = Self {
        why: "the packet has more user properties than limits.user_properties",
        limit: Some(Limit::UserProperties),
        ..Self::TOO_LARGE
    };
    /// No room for more of a large packet (0x97).
    pub(super) const UNFINISHED: Self = Self {
        kind: ProtocolFault::TooLarge,
        code: DisconnectReasonCode::QuotaExceeded,
        why: "unfinished packets of all clients take half of limits.queue_bytes_total",
        limit: Some(Limit::QueueBytesTotal),
    };
    /// A topic name that is not valid (0x90).
    pub(super) const TOPIC_NAME: Self = Self {
        kind: ProtocolFault::TopicName,
        code: DisconnectReasonCode::TopicNameInvalid,
        why: "the topic name is not valid",
        limit: None,
    };
    /// More unacknowledged QoS 1 and 2 publishes than Receive Maximum allows (0x93).
    pub(super) const RECEIVE_MAXIMUM: Self = Self {
        kind: ProtocolFault::ReceiveMaximum,
        code: DisconnectReasonCode::ReceiveMaximumExceeded,
        why: "more publishes in flight than the Receive Maximum",
        limit: Some(Limit::ReceiveMaximum),
    };
    /// A topic alias of 0 or above the maximum (0x94).
    pub(super) const TOPIC_ALIAS: Self = Self {
        kind: ProtocolFault::TopicAlias,
        code: DisconnectReasonCode::TopicAliasInvalid,
        why: "the topic alias is 0 or above the Topic Alias Maximum",
        limit: Some(Limit::TopicAliasMaximum),
    };
}

impl From<Unusable> for Fault {
    /// What is wrong with a topic name.
    fn from(unusable: Unusable) -> Self {
        let (why, limit) = match unusable {
            Unusable::Invalid => return Self::TOPIC_NAME,
            Unusable::TooLong => ("the topic name is longer than limits.topic_length", Limit::TopicLength),
            Unusable::TooDeep => ("the topic name has more levels than limits.topic_levels", Limit::TopicLevels),
        };
        Self { why, limit: Some(limit), ..Self::TOPIC_NAME }
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::MaxSizeExceeded { .. } => Self::TOO_LARGE,
            DecodeError::InvalidTopicFilter => Self::protocol("a SUBSCRIBE or UNSUBSCRIBE without a topic filter"),
            DecodeError::InvalidTopicName => Self::TOPIC_NAME,
            DecodeError::UnsupportedPacketType => Self::malformed("reserved packet type or flags"),
            DecodeError::Utf8Error => Self::malformed("a string is not UTF-8"),
            DecodeError::PacketIdRequired => Self::malformed("a packet identifier is missing or 0"),
            DecodeError::InvalidLength => Self::malformed("a length in the packet does not fit"),
            _ => Self::malformed("the packet does not follow its format"),
        }
    }
}
