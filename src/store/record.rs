//! What is kept, as the rooms see it. Records in JSON are their rooms' own; the store does not look into them.

use crate::message::{Message, QoS};
use bytestring::ByteString;
use smallvec::SmallVec;
use std::num::{NonZeroU16, NonZeroU32};

/// A message that waits for a session, with what is decided about its delivery.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The message.
    pub message: Message,
    /// QoS of the delivery: 1 or 2.
    pub qos: QoS,
    /// RETAIN flag of the delivery.
    pub retain: bool,
    /// Identifiers of the matching subscriptions.
    pub ids: SmallVec<[NonZeroU32; 1]>,
    /// The shared subscription that chose the session, as it was subscribed to: `$share/{group}/{filter}`.
    pub shared: Option<ByteString>,
}

/// A will that is still to be published.
#[derive(Debug, Clone)]
pub struct Will {
    /// The message.
    pub message: Message,
    /// Message Expiry Interval in seconds.
    pub expiry: Option<u32>,
    /// Will Delay Interval in milliseconds.
    pub delay_ms: u64,
}

/// A session as it was left.
#[derive(Debug)]
pub struct SavedSession {
    /// Its number.
    pub session: u64,
    /// Its record, JSON.
    pub record: Vec<u8>,
    /// Its will.
    pub will: Option<Will>,
    /// Records of its subscriptions, JSON, by filter; shared ones with their `$share/{group}/`.
    pub subscriptions: Vec<(String, Vec<u8>)>,
    /// What waits for the client, by number, ascending.
    pub messages: Vec<(u64, SavedMessage)>,
    /// Identifiers of QoS 2 messages from the client that it has not released.
    pub received: Vec<NonZeroU16>,
}

/// What is left of a message for a client.
#[derive(Debug, Clone)]
pub enum SavedMessage {
    /// It waits to be sent, or has been sent with QoS 1 under an identifier that was not noted.
    Queued(Entry),
    /// It was sent under this identifier.
    Sent(NonZeroU16, Entry),
    /// The client has it; PUBREL is to be sent until PUBCOMP comes.
    Released(NonZeroU16),
}
