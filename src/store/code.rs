//! How what the store itself writes stands in a row. All numbers are big endian.
//!
//! ```text
//! message  flags (bits 0-1 QoS, bit 2 RETAIN, bit 3 shared) | ids: count u16, each u32 | shared: length u16, text | bytes
//! will     flags (bit 0: it expires) | expiry u32 | delay u64 | bytes
//! ```
//!
//! `bytes` are those of [`Message`]. What is read is checked: a row that has rotted is an error and nothing else.

use super::record::{Entry, Will};
use crate::message::{Message, QoS};
use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;
use std::num::NonZeroU32;

/// First half of a flight's row: sent under the identifier in the second.
pub(super) const SENT: u8 = 1;
/// Or released.
pub(super) const RELEASED: u8 = 2;

const RETAIN: u8 = 0b100;
const SHARED: u8 = 0b1000;
const KNOWN: u8 = 0b1111;
const EXPIRES: u8 = 1;

pub(super) fn encode_entry<'a>(entry: &Entry, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    let Entry { message, qos, retain, ids, shared } = entry;
    buffer.clear();
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    buffer.push(qos.value() | flag(*retain, RETAIN) | flag(shared.is_some(), SHARED));
    // A filter matches at most once for each subscription of the session, of which there are fewer.
    let count = ids.len().min(usize::from(u16::MAX));
    buffer.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    for id in &ids[..count] {
        buffer.extend_from_slice(&id.get().to_be_bytes());
    }
    if let Some(shared) = shared {
        // Filters are at most 65,535 bytes on the wire.
        let length = u16::try_from(shared.len()).unwrap_or(u16::MAX);
        buffer.extend_from_slice(&length.to_be_bytes());
        buffer.extend_from_slice(&shared.as_bytes()[..usize::from(length)]);
    }
    buffer.extend_from_slice(message.as_bytes());
    buffer
}

/// None if these bytes are none that [`encode_entry`] writes.
pub(super) fn decode_entry(bytes: &[u8]) -> Option<Entry> {
    let mut rest = bytes;
    let [flags] = *take(&mut rest)?;
    let qos = QoS::try_from(flags & 0b11).ok().filter(|qos| *qos != QoS::AtMostOnce)?;
    if flags & !KNOWN != 0 {
        return None;
    }
    let mut ids = SmallVec::new();
    for _ in 0..u16::from_be_bytes(*take(&mut rest)?) {
        ids.push(NonZeroU32::new(u32::from_be_bytes(*take(&mut rest)?))?);
    }
    let mut shared = None;
    if flags & SHARED != 0 {
        let length = usize::from(u16::from_be_bytes(*take(&mut rest)?));
        let (text, after) = rest.split_at_checked(length)?;
        shared = Some(ByteString::from(std::str::from_utf8(text).ok()?));
        rest = after;
    }
    Some(Entry { message: decode_message(rest)?, qos, retain: flags & RETAIN != 0, ids, shared })
}

pub(super) fn encode_will<'a>(will: &Will, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    buffer.clear();
    buffer.push(if will.expiry.is_some() { EXPIRES } else { 0 });
    buffer.extend_from_slice(&will.expiry.unwrap_or_default().to_be_bytes());
    buffer.extend_from_slice(&will.delay_ms.to_be_bytes());
    buffer.extend_from_slice(will.message.as_bytes());
    buffer
}

/// None if these bytes are none that [`encode_will`] writes.
pub(super) fn decode_will(bytes: &[u8]) -> Option<Will> {
    let mut rest = bytes;
    let [flags] = *take(&mut rest)?;
    if flags & !EXPIRES != 0 {
        return None;
    }
    let expiry = u32::from_be_bytes(*take(&mut rest)?);
    let delay_ms = u64::from_be_bytes(*take(&mut rest)?);
    Some(Will { message: decode_message(rest)?, expiry: (flags & EXPIRES != 0).then_some(expiry), delay_ms })
}

/// None if these bytes are no message.
pub(super) fn decode_message(bytes: &[u8]) -> Option<Message> {
    Message::from_storage(Bytes::copy_from_slice(bytes))
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{NEVER, Parts};

    fn message(topic: &str) -> Message {
        let properties = &[1, 1];
        let (qos, expires_at) = (QoS::ExactlyOnce, NEVER);
        Message::new(&Parts { qos, retain: false, publisher: 9, expires_at, topic, properties, payload: b"payload" })
    }

    fn entry() -> Entry {
        let id = |id| NonZeroU32::new(id).unwrap();
        Entry {
            message: message("a/b"),
            qos: QoS::AtLeastOnce,
            retain: true,
            ids: SmallVec::from_iter([id(1), id(268_435_455)]),
            shared: Some(ByteString::from("$share/g/a/+")),
        }
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let mut buffer = vec![7; 3];
        for entry in [entry(), Entry { ids: SmallVec::new(), shared: None, retain: false, ..entry() }] {
            let back = decode_entry(encode_entry(&entry, &mut buffer)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{entry:?}"));
            assert_eq!(back.message.as_bytes(), entry.message.as_bytes());
        }
    }

    #[test]
    fn a_will_comes_back_as_it_was() {
        for expiry in [None, Some(0), Some(u32::MAX)] {
            let will = Will { message: message("w"), expiry, delay_ms: u64::MAX };
            let back = decode_will(encode_will(&will, &mut Vec::new())).unwrap();
            assert_eq!(format!("{back:?}"), format!("{will:?}"));
        }
    }

    #[test]
    fn rows_that_were_cut_or_changed_are_refused_or_read_but_never_a_panic() {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let entry = encode_entry(&entry(), &mut first);
        let will = encode_will(&Will { message: message("w"), expiry: None, delay_ms: 1 }, &mut second);
        let header = entry.len() - message("a/b").payload().len();
        for end in 0..header {
            assert!(decode_entry(&entry[..end]).is_none(), "{end}");
        }
        for place in 0..entry.len().max(will.len()) {
            for bit in 0..8 {
                let flip = |row: &[u8]| {
                    let mut row = row.to_vec();
                    if let Some(byte) = row.get_mut(place) {
                        *byte ^= 1 << bit;
                    }
                    row
                };
                let _ = decode_entry(&flip(entry)).map(|entry| format!("{entry:?}"));
                let _ = decode_will(&flip(will)).map(|will| format!("{will:?}"));
            }
        }
    }

    #[test]
    fn what_no_broker_would_write_is_refused() {
        let mut buffer = Vec::new();
        for qos in [0, 3] {
            let mut row = encode_entry(&entry(), &mut buffer).to_vec();
            row[0] = row[0] & !0b11 | qos;
            assert!(decode_entry(&row).is_none(), "QoS {qos}");
        }
        for topic in ["", "a/#", "a/+/b", "a\0b"] {
            assert!(decode_message(message(topic).as_bytes()).is_none(), "{topic:?}");
        }
    }
}
