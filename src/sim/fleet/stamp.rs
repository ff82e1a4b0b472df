//! The measuring mark that a simulated message carries, in the place of its tid or bid.
//!
//! The Cloud API has no field for a sequence number, and its timestamp counts milliseconds of a clock that lags.
//! But a tid is a text that the sender makes up and everybody else only repeats, so that is where the mark is: 128
//! bits in the shape of a UUID, as every tid has in DJI's samples. A reply repeats it, too, which times commands.

use std::fmt::Write as _;

use memchr::memmem;

/// Who sent what, as which message of its kind, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    /// The run, so that the messages of others are not taken for ours.
    pub(super) run: u16,
    /// What it is: the number of a [`Stream`](super::stream::Stream).
    pub(super) stream: u8,
    /// Which dock or backend sent it. 24 bits.
    pub(super) sender: u32,
    /// Counts the sender's messages of this stream from 0.
    pub(super) sequence: u32,
    /// When it was sent, in microseconds since the run began. 48 bits.
    pub(super) micros: u64,
}

/// The characters of a UUID.
pub(super) const TEXT: usize = 36;

/// Where a UUID has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Stamp {
    /// All of it, for who looks things up by it.
    pub(super) fn key(self) -> u128 {
        u128::from(self.run) << 112
            | u128::from(self.stream) << 104
            | u128::from(self.sender & 0x00ff_ffff) << 80
            | u128::from(self.sequence) << 48
            | u128::from(self.micros & 0xffff_ffff_ffff)
    }

    /// As a UUID.
    pub(super) fn text(self) -> [u8; TEXT] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut rest = self.key();
        let mut text = [b'-'; TEXT];
        for at in (0..TEXT).rev().filter(|at| !HYPHENS.contains(at)) {
            text[at] = DIGITS[usize::from((rest & 15) as u8)];
            rest >>= 4;
        }
        text
    }

    /// As a UUID, for the fields of a message.
    pub(super) fn to_text(self) -> String {
        let mut text = String::with_capacity(TEXT);
        for byte in self.text() {
            // Writing to a String cannot fail.
            let _ = text.write_char(char::from(byte));
        }
        text
    }

    /// Reads it back.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text: &[u8; TEXT] = text.first_chunk()?;
        let mut bits = 0_u128;
        for (at, byte) in text.iter().enumerate() {
            if HYPHENS.contains(&at) {
                if *byte != b'-' {
                    return None;
                }
            } else {
                bits = bits << 4 | u128::from(char::from(*byte).to_digit(16)?);
            }
        }
        // Each is cut to the bits that it has.
        Some(Self {
            run: (bits >> 112) as u16,
            stream: (bits >> 104) as u8,
            sender: (bits >> 80) as u32 & 0x00ff_ffff,
            sequence: (bits >> 48) as u32,
            micros: bits as u64 & 0xffff_ffff_ffff,
        })
    }

    /// The mark in the tid of a message, which is found without reading the rest of it.
    pub(super) fn of_tid(payload: &[u8]) -> Option<Self> {
        Self::after(payload, br#""tid":""#)
    }

    /// The mark in the bid of a message.
    pub(super) fn of_bid(payload: &[u8]) -> Option<Self> {
        Self::after(payload, br#""bid":""#)
    }

    fn after(payload: &[u8], key: &[u8]) -> Option<Self> {
        let at = memmem::find(payload, key)? + key.len();
        Self::read(&payload[at..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp =
        Stamp { run: 0xbeef, stream: 5, sender: 0x00ab_cdef, sequence: u32::MAX, micros: 0x1234_5678_9abc };

    #[test]
    fn a_stamp_has_the_shape_of_a_uuid_and_is_read_back() {
        assert_eq!(STAMP.to_text(), "beef05ab-cdef-ffff-ffff-123456789abc");
        assert_eq!(Stamp::read(&STAMP.text()), Some(STAMP));
    }

    #[test]
    fn it_is_found_in_a_message_by_its_key() {
        let message = format!(r#"{{"bid":"b","tid":"{}","data":{{}}}}"#, STAMP.to_text());
        assert_eq!(Stamp::of_tid(message.as_bytes()), Some(STAMP));
        assert_eq!(Stamp::of_bid(message.as_bytes()), None);
    }

    #[test]
    fn what_is_no_stamp_is_none() {
        for text in ["", "beef", "beef05ab-cdef-ffff-ffff-12345678zzzz", "beef05ab_cdef-ffff-ffff-123456789abc"] {
            assert_eq!(Stamp::read(text.as_bytes()), None, "{text}");
        }
    }
}
