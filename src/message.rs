//! One application message in one piece of memory.
//!
//! A publish is copied once, from the read buffer of the connection that received it into a [`Message`]; from
//! there on it is shared by reference count: by the routing core, by the queue of every subscriber, by the
//! retained store. The bytes carry all that routing needs, so that a message can pass through rumqttd (which
//! knows nothing of our quality of service, properties or expiry) as an opaque payload.
//!
//! ```text
//! 0      flags       bits 0-1 QoS, bit 2 RETAIN, bit 3 GUARDED
//! 1..3   topic length, 3..7 properties length (big endian)
//! 7..15  key of the publishing session, for No Local (MQTT 5, 3.8.3.1)
//! 15..23 expiry, milliseconds of the broker's clock; u64::MAX = never
//! 23..   topic | MQTT 5 properties to forward | payload
//! ```

use bytes::{BufMut, Bytes, BytesMut};
pub use rmqtt_codec::types::QoS;

const HEADER: usize = 23;
const RETAIN: u8 = 0b100;
const GUARDED: u8 = 0b1000;
/// The expiry of a message that never expires.
pub const NEVER: u64 = u64::MAX;

/// What a message is made of, borrowed from wherever it stands.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// Quality of service of the publish.
    pub qos: QoS,
    /// The RETAIN flag of the publish.
    pub retain: bool,
    /// Key of the session that published it; 0 for the broker itself.
    pub publisher: u64,
    /// When it expires, in milliseconds of [`crate::clock::Clock`]; [`NEVER`] if it doesn't.
    pub expires_at: u64,
    /// Topic name, valid and without wildcards, at most 65,535 bytes.
    pub topic: &'a str,
    /// Encoded MQTT 5 properties that a subscriber shall see, without length, topic alias and expiry.
    pub properties: &'a [u8],
    /// Application payload.
    pub payload: &'a [u8],
}

/// An immutable application message; cloning it copies a pointer.
#[derive(Clone)]
pub struct Message(Bytes);

impl Message {
    /// Writes the message to the end of `arena` and splits it off: several messages that arrived in one read
    /// share one allocation. [`Message::detached`] gives a copy that pins nothing else.
    #[must_use]
    pub fn build_in(arena: &mut BytesMut, parts: &Parts<'_>) -> Self {
        Self::build(arena, parts, 0)
    }

    /// The same for a message that [is guarded](Message::is_guarded).
    #[must_use]
    pub fn build_guarded_in(arena: &mut BytesMut, parts: &Parts<'_>) -> Self {
        Self::build(arena, parts, GUARDED)
    }

    fn build(arena: &mut BytesMut, parts: &Parts<'_>, guarded: u8) -> Self {
        arena.reserve(Self::size_of(parts));
        let retain = if parts.retain { RETAIN } else { 0 };
        arena.put_u8(parts.qos.value() | retain | guarded);
        arena.put_u16(u16::try_from(parts.topic.len()).expect("topics are at most 65,535 bytes on the wire"));
        arena.put_u32(u32::try_from(parts.properties.len()).expect("packets are at most 256 MiB"));
        arena.put_u64(parts.publisher);
        arena.put_u64(parts.expires_at);
        arena.put_slice(parts.topic.as_bytes());
        arena.put_slice(parts.properties);
        arena.put_slice(parts.payload);
        Self(arena.split().freeze())
    }

    /// A message in an allocation of its own.
    #[must_use]
    pub fn new(parts: &Parts<'_>) -> Self {
        Self::build_in(&mut BytesMut::with_capacity(Self::size_of(parts)), parts)
    }

    /// The most by which a message is larger than the PUBLISH that it came in.
    pub const OVERHEAD: usize = HEADER;

    /// Bytes that [`Message::build_in`] will write.
    #[must_use]
    pub fn size_of(parts: &Parts<'_>) -> usize {
        HEADER + parts.topic.len() + parts.properties.len() + parts.payload.len()
    }

    /// Takes back a message that passed through the routing core as bytes.
    ///
    /// Only bytes from [`Message::into_bytes`] belong here; they never leave the process.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        let message = Self(bytes);
        let whole =
            message.0.len() >= HEADER && message.0.len() >= HEADER + message.topic_len() + message.properties_len();
        whole.then_some(message)
    }

    /// Takes back a message that was kept on a disk, where bytes may have rotted.
    ///
    /// None if these are no bytes that a message of a client could have.
    #[must_use]
    pub fn from_storage(bytes: Bytes) -> Option<Self> {
        let message = Self::from_bytes(bytes)?;
        let topic = std::str::from_utf8(message.topic_bytes()).ok()?;
        // A topic name is not empty and has neither wildcards nor U+0000 (MQTT 4.7.3).
        let is_topic = !topic.is_empty() && !topic.contains(['+', '#', '\0']);
        let is_known = message.0[0] & !(RETAIN | 0b11) == 0 && message.0[0] & 0b11 != 0b11;
        (is_topic && is_known).then_some(message)
    }

    /// The bytes to keep on a disk.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to hand to the routing core.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// A copy in an allocation of its own, for places where a message stays long: it keeps no neighbours alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Quality of service of the publish.
    #[must_use]
    pub fn qos(&self) -> QoS {
        match self.0[0] & 0b11 {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        }
    }

    /// RETAIN flag of the publish.
    #[must_use]
    pub fn retain(&self) -> bool {
        self.0[0] & RETAIN != 0
    }

    /// Whether it must not reach anybody before what the hook noted of it is safe: a start of an upload, which after a
    /// crash would be unknown while the dock is at it.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.0[0] & GUARDED != 0
    }

    /// Key of the publishing session; 0 for the broker itself.
    #[must_use]
    pub fn publisher(&self) -> u64 {
        u64::from_be_bytes(self.array(7))
    }

    /// When it expires, in milliseconds of the broker's clock; [`NEVER`] if it doesn't.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        u64::from_be_bytes(self.array(15))
    }

    /// Topic name as bytes of UTF-8.
    #[must_use]
    pub fn topic_bytes(&self) -> &[u8] {
        &self.0[HEADER..HEADER + self.topic_len()]
    }

    /// Topic name.
    #[must_use]
    pub fn topic(&self) -> &str {
        std::str::from_utf8(self.topic_bytes()).expect("built from a &str")
    }

    /// Encoded MQTT 5 properties, without their length.
    #[must_use]
    pub fn properties(&self) -> &[u8] {
        let start = HEADER + self.topic_len();
        &self.0[start..start + self.properties_len()]
    }

    /// Application payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0[HEADER + self.topic_len() + self.properties_len()..]
    }

    /// Bytes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Whether both are the very same publish (not merely equal): copies of one message share their memory.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.as_ptr(), other.0.as_ptr()) && self.0.len() == other.0.len()
    }

    fn topic_len(&self) -> usize {
        usize::from(u16::from_be_bytes(self.array(1)))
    }

    fn properties_len(&self) -> usize {
        u32::from_be_bytes(self.array(3)) as usize
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..at + N].try_into().expect("N bytes")
    }
}

impl std::fmt::Debug for Parts<'_> {
    /// Never prints the payload: it may hold credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("topic", &self.topic)
            .field("qos", &self.qos.value())
            .field("retain", &self.retain)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Message {
    /// Never prints the payload: it may hold credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("qos", &self.qos().value())
            .field("retain", &self.retain())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts<'static> {
        Parts {
            qos: QoS::ExactlyOnce,
            retain: true,
            publisher: 7,
            expires_at: 99,
            topic: "温度/1",
            properties: &[1, 1],
            payload: b"secret",
        }
    }

    #[test]
    fn a_message_gives_back_what_it_was_made_of() {
        let message = Message::from_bytes(Message::new(&parts()).into_bytes()).unwrap();
        assert_eq!((message.qos(), message.retain(), message.publisher()), (QoS::ExactlyOnce, true, 7));
        assert_eq!((message.topic(), message.expires_at()), ("温度/1", 99));
        assert_eq!((message.properties(), message.payload()), (&[1u8, 1][..], &b"secret"[..]));
    }

    #[test]
    fn messages_of_one_arena_are_apart_and_copies_are_the_same_publish() {
        let mut arena = BytesMut::with_capacity(4096);
        let (a, b) = (Message::build_in(&mut arena, &parts()), Message::build_in(&mut arena, &parts()));
        assert!(a.is_same(&a.clone()) && !a.is_same(&b) && !a.is_same(&a.detached()));
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        assert!(Message::from_bytes(Bytes::from_static(b"short")).is_none());
        assert!(Message::from_bytes(Bytes::from_static(&[0xff; 40])).is_none());
    }

    #[test]
    fn debug_output_never_shows_the_payload() {
        assert!(!format!("{:?}", Message::new(&parts())).contains("secret"));
    }
}
