//! Bytes to packets, and messages to bytes.

use super::Subject;
use super::packet::{self, Connect, Publish};
use bytes::BytesMut;
use dockgate::config::Limits;
use dockgate::message::{Message, NEVER, Parts, QoS};
use dockgate::metrics::Version;
use dockgate::mqtt::codec;
use std::hint::black_box;
use std::num::NonZeroU16;

const TOPIC: &str = "thing/product/8UUXN000000001/osd";

fn client(version: Version) -> packet::Version {
    if version == Version::V5 { packet::V5 } else { packet::V311 }
}

fn check(bytes: Vec<u8>, version: Option<Version>) -> Subject {
    let limits = Limits::default();
    Subject::part(move || assert_eq!(codec::check(black_box(&bytes), version, &limits), Ok(Some(bytes.len()))))
}

/// A PUBLISH of a client.
pub(crate) fn read(qos: u8, version: Version, size: usize) -> Subject {
    let publish = Publish::new(TOPIC, vec![b'x'; size]).qos(qos, 7);
    check(publish.bytes(client(version)), Some(version))
}

/// CONNECT with a user name and a password.
pub(crate) fn connect(version: Version) -> Subject {
    let connect = Connect::new(client(version), "8UUXN000000001").login("8UUXN000000001", "a password of 24 letters");
    check(connect.bytes(), None)
}

/// SUBSCRIBE with the six filters of a dock.
pub(crate) fn subscribe(version: Version) -> Subject {
    let levels = ["services", "events_reply", "requests_reply", "property/set", "drc/down", "state_reply"];
    let filters = levels.map(|level| format!("thing/product/8UUXN000000001/{level}"));
    let filters: Vec<_> = filters.iter().map(|filter| (filter.as_str(), 1)).collect();
    check(packet::subscribe(client(version), 7, &[], &filters), Some(version))
}

/// A PUBLISH for a subscriber, into a buffer that has room for it.
pub(crate) fn write(qos: u8, version: Version, size: usize) -> Subject {
    let message = Message::new(&Parts {
        qos: QoS::try_from(qos).expect("0, 1 or 2"),
        retain: false,
        publisher: 1,
        expires_at: NEVER,
        topic: TOPIC,
        properties: &[],
        payload: &vec![b'x'; size],
    });
    let packet_id = if qos == 0 { None } else { NonZeroU16::new(7) };
    let mut out = BytesMut::with_capacity(2 * size);
    Subject::part(move || {
        out.clear();
        codec::write(black_box(&message), packet_id, version, 0, &mut out);
        black_box(&out);
    })
}
