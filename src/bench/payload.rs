//! What messages carry: bytes, or JSON that the upload guard reads; and in them a mark that says whose message it is and
//! which one, so that whoever gets it sees what is missing.

use memchr::memmem;
use serde_json::json;

use super::upload;
use crate::cloud_api::Event;

/// The smallest payload: a mark.
pub const SMALLEST: usize = 8;
/// Stands in JSON where a mark goes, in hexadecimal digits.
pub(super) const PLACE: &str = "@@@@@@@@@@@@@@@@";

/// A payload, but for its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) bytes: Vec<u8>,
    pub(super) mark: Mark,
}

/// Where in a payload its mark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Eight bytes at the beginning.
    Binary,
    /// Sixteen hexadecimal digits.
    Text { at: usize },
}

impl Form {
    /// So many bytes.
    pub(super) fn plain(length: usize) -> Self {
        Self { bytes: vec![b'x'; length.max(SMALLEST)], mark: Mark::Binary }
    }

    /// An event of a dock that has nothing to do with uploads, of so many bytes or as many as progress has.
    pub(super) fn of_other_event(gateway: &str, length: usize) -> Self {
        let event = |padding: usize| Event {
            bid: "bench".to_owned(),
            data: json!({ "list": [], "text": "x".repeat(padding) }),
            method: "hms".to_owned(),
            need_reply: 0,
            tid: PLACE.to_owned(),
            timestamp: 0,
            gateway: gateway.to_owned(),
        };
        let length = length.max(upload::progress(gateway, "in_progress").len());
        let shortest = crate::cloud_api::encode(&event(0)).len();
        Self::of_json(crate::cloud_api::encode(&event(length.saturating_sub(shortest))))
    }

    /// Progress of a dock's upload, of so many bytes at least.
    pub(super) fn of_progress(gateway: &str, length: usize) -> Self {
        let mut bytes = upload::progress(gateway, "in_progress");
        // White space behind a value is JSON, too.
        bytes.resize(bytes.len().max(length), b' ');
        Self::of_json(bytes)
    }

    fn of_json(bytes: Vec<u8>) -> Self {
        let at = memmem::find(&bytes, PLACE.as_bytes()).expect("there is a place for the mark");
        Self { bytes, mark: Mark::Text { at } }
    }
}

impl Mark {
    /// Puts the number of the publisher and that of its message into a payload.
    pub(super) fn write(self, payload: &mut [u8], publisher: u32, sequence: u32) {
        let mark = u64::from(publisher) << 32 | u64::from(sequence);
        match self {
            Self::Binary => payload[..8].copy_from_slice(&mark.to_be_bytes()),
            Self::Text { at } => {
                for (digit, byte) in payload[at..at + PLACE.len()].iter_mut().enumerate() {
                    *byte = b"0123456789abcdef"[(mark >> (60 - 4 * digit) & 0xf) as usize];
                }
            }
        }
    }

    /// The number of the publisher and that of its message.
    pub(super) fn read(self, payload: &[u8]) -> Option<(u32, u32)> {
        let mark = match self {
            Self::Binary => u64::from_be_bytes(*payload.first_chunk::<8>()?),
            Self::Text { at } => {
                let digits = payload.get(at..at + PLACE.len())?;
                digits
                    .iter()
                    .try_fold(0, |mark, digit| Some(mark << 4 | u64::from(char::from(*digit).to_digit(16)?)))?
            }
        };
        Some(((mark >> 32) as u32, mark as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for form in
            [Form::plain(0), Form::plain(20), Form::of_other_event("8UUXN1", 300), Form::of_progress("8UUXN1", 0)]
        {
            let mut payload = form.bytes.clone();
            for (publisher, sequence) in [(0, 0), (1, 2), (u32::MAX, 0x0123_abcd)] {
                form.mark.write(&mut payload, publisher, sequence);
                assert_eq!(form.mark.read(&payload), Some((publisher, sequence)));
            }
            assert_eq!(form.mark.read(&payload[..4]), None);
        }
    }

    #[test]
    fn events_are_as_long_as_they_should_be_and_json() {
        let shortest = Form::of_progress("8UUXN1", 0).bytes.len();
        for length in [0, 256, shortest + 1, 4096] {
            for form in [Form::of_other_event("8UUXN1", length), Form::of_progress("8UUXN1", length)] {
                assert_eq!(form.bytes.len(), length.max(shortest));
                let event: serde_json::Value = serde_json::from_slice(&form.bytes).unwrap();
                assert_eq!((&event["tid"], &event["gateway"]), (&json!(PLACE), &json!("8UUXN1")));
            }
        }
    }
}
