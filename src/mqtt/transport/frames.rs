//! WebSocket frames (RFC 6455, 5) as a stream of bytes, without a socket.
//!
//! tungstenite gathers whole messages, and keeps the memory of the largest for as long as the connection lives. MQTT does
//! not care for messages (MQTT-6.0.0-2): here payloads are unmasked where they were read, and nothing is gathered
//! but a header that is not whole and what a control frame says. Headers are still tungstenite's to read and write.

use std::io::Cursor;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The longest header of a frame from a client: two bytes, eight of length, four of mask (5.2).
const HEADER_MAX: usize = 14;
/// The longest payload of a control frame (5.5).
const CONTROL_MAX: usize = 125;

/// What ends the stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client has sent Close.
    Closed,
    /// The client has broken the protocol. It is to be told how.
    Broken(CloseCode, &'static str),
}

/// What has been read of a WebSocket.
#[derive(Debug)]
pub(super) struct Reader {
    /// The largest payload of a frame.
    most: u64,
    header: [u8; HEADER_MAX],
    /// Bytes of a header that is not whole.
    header_length: usize,
    /// The frame whose payload comes next.
    frame: Option<Open>,
    /// A message has begun, and its last frame has not come.
    in_message: bool,
    control: Vec<u8>,
    /// What the last ping said that is not answered yet: only that one has to be (5.5.3).
    pub(super) ping: Option<Vec<u8>>,
    /// Nothing that comes after it is read.
    pub(super) end: Option<End>,
}

#[derive(Debug)]
struct Open {
    opcode: OpCode,
    mask: [u8; 4],
    left: u64,
}

impl Reader {
    /// For a client whose frames may hold `most` bytes.
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            header: [0; HEADER_MAX],
            header_length: 0,
            frame: None,
            in_message: false,
            control: Vec::new(),
            ping: None,
            end: None,
        }
    }

    /// Takes bytes off the wire and leaves the payload of binary frames at their front. Says how long that is.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> usize {
        let (mut from, mut to) = (0_usize, 0_usize);
        while self.end.is_none() {
            if let Some(frame) = &mut self.frame {
                let left = usize::try_from(frame.left).unwrap_or(usize::MAX);
                let payload = from..bytes.len().min(from.saturating_add(left));
                let length = payload.len();
                unmask(&mut bytes[payload.clone()], &mut frame.mask);
                from = payload.end;
                frame.left -= length as u64;
                if let OpCode::Control(_) = frame.opcode {
                    self.control.extend_from_slice(&bytes[payload]);
                } else {
                    bytes.copy_within(payload, to);
                    to += length;
                }
                if frame.left > 0 {
                    break;
                }
                self.finish();
            } else if from < bytes.len() {
                from += self.take_header(&bytes[from..]);
            } else {
                break;
            }
        }
        to
    }

    /// Adds to the header and opens the frame if that was all of it. Says how many bytes were its.
    fn take_header(&mut self, bytes: &[u8]) -> usize {
        let before = self.header_length;
        let whole = before + bytes.len().min(HEADER_MAX - before);
        self.header[before..whole].copy_from_slice(&bytes[..whole - before]);
        let mut cursor = Cursor::new(&self.header[..whole]);
        let parsed = FrameHeader::parse(&mut cursor);
        let end = usize::try_from(cursor.position()).unwrap_or(whole);
        self.header_length = 0;
        match parsed {
            Ok(Some((header, length))) => {
                self.open(&header, length);
                return end - before;
            }
            Ok(None) => self.header_length = whole,
            Err(_) => self.break_off(CloseCode::Protocol, "this is no frame"),
        }
        whole - before
    }

    fn open(&mut self, header: &FrameHeader, length: u64) {
        let Some(mask) = header.mask else {
            return self.break_off(CloseCode::Protocol, "a client masks its frames"); // 5.1
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return self.break_off(CloseCode::Protocol, "no extension was agreed on"); // 5.2
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final || length > CONTROL_MAX as u64 => {
                return self.break_off(CloseCode::Protocol, "a control frame is short and whole"); // 5.5
            }
            OpCode::Control(_) => {}
            OpCode::Data(Data::Text) => {
                return self.break_off(CloseCode::Unsupported, "MQTT comes in binary frames"); // MQTT-6.0.0-1
            }
            OpCode::Data(data) if self.in_message != (data == Data::Continue) => {
                return self.break_off(CloseCode::Protocol, "a message begins within or without another"); // 5.4
            }
            OpCode::Data(_) if length > self.most => {
                return self.break_off(CloseCode::Size, "the frame is too large");
            }
            OpCode::Data(_) => self.in_message = !header.is_final,
        }
        self.frame = Some(Open { opcode: header.opcode, mask, left: length });
    }

    /// The frame's payload is all there.
    fn finish(&mut self) {
        let Some(frame) = self.frame.take() else { return };
        let said = std::mem::take(&mut self.control);
        match frame.opcode {
            OpCode::Control(Control::Ping) => self.ping = Some(said),
            OpCode::Control(Control::Close) => self.end = Some(End::Closed),
            _ => {}
        }
    }

    fn break_off(&mut self, code: CloseCode, why: &'static str) {
        self.end = Some(End::Broken(code, why));
    }
}

/// Unmasks, and turns the mask for what comes next (5.3).
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let mut words = bytes.chunks_exact_mut(4);
    for word in &mut words {
        for (byte, mask) in word.iter_mut().zip(*mask) {
            *byte ^= mask;
        }
    }
    let rest = words.into_remainder();
    for (byte, mask) in rest.iter_mut().zip(*mask) {
        *byte ^= mask;
    }
    mask.rotate_left(rest.len());
}

/// Appends a whole frame to what is to be sent.
pub(super) fn write(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    out.reserve(HEADER_MAX + payload.len());
    // Writing to memory cannot fail.
    let _ = header.format(payload.len() as u64, out);
    out.extend_from_slice(payload);
}

/// Appends Close.
pub(super) fn write_close(out: &mut Vec<u8>, code: CloseCode, why: &str) {
    let mut payload = u16::from(code).to_be_bytes().to_vec();
    payload.extend_from_slice(why.as_bytes());
    write(out, OpCode::Control(Control::Close), &payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BINARY: OpCode = OpCode::Data(Data::Binary);
    const MORE: OpCode = OpCode::Data(Data::Continue);
    const PING: OpCode = OpCode::Control(Control::Ping);
    const CLOSE: OpCode = OpCode::Control(Control::Close);

    /// A frame as a client sends it.
    fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let mask = [0xa1, 0x07, 0x00, 0x3c];
        let header = FrameHeader { opcode, is_final, mask: Some(mask), ..FrameHeader::default() };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// What comes of bytes that arrive in pieces of these lengths.
    fn read(reader: &mut Reader, mut bytes: &[u8], pieces: &[usize]) -> Vec<u8> {
        let mut pieces = pieces.iter().cycle();
        let mut out = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(*pieces.next().unwrap()));
            let mut piece = piece.to_vec();
            let length = reader.read(&mut piece);
            out.extend_from_slice(&piece[..length]);
            bytes = rest;
        }
        out
    }

    proptest! {
        #[test]
        fn payloads_come_out_whole_however_they_are_framed_and_arrive(
            payloads in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), any::<bool>()), 0..8),
            pieces in proptest::collection::vec(1_usize..400, 1..6),
        ) {
            let (mut bytes, mut wanted, mut in_message) = (Vec::new(), Vec::new(), false);
            for (payload, is_final) in &payloads {
                bytes.extend(frame(if in_message { MORE } else { BINARY }, *is_final, payload));
                // Control frames may come between the frames of a message (5.4).
                bytes.extend(frame(PING, true, b"ping"));
                wanted.extend_from_slice(payload);
                in_message = !is_final;
            }
            let mut reader = Reader::new(1000);
            prop_assert_eq!(read(&mut reader, &bytes, &pieces), wanted);
            prop_assert_eq!(reader.end, None);
            prop_assert_eq!(reader.ping.is_some(), !payloads.is_empty());
        }

        #[test]
        fn no_bytes_do_harm(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            pieces in proptest::collection::vec(1_usize..40, 1..6),
        ) {
            let mut reader = Reader::new(1000);
            let out = read(&mut reader, &bytes, &pieces);
            prop_assert!(out.len() <= bytes.len());
            prop_assert!(reader.control.len() <= CONTROL_MAX);
        }
    }

    #[test]
    fn what_came_before_the_end_counts_and_what_comes_after_does_not() {
        let mut bytes = frame(BINARY, true, b"last words");
        bytes.extend(frame(CLOSE, true, &[0x03, 0xe8]));
        bytes.extend(frame(BINARY, true, b"one more thing"));
        let mut reader = Reader::new(1000);
        assert_eq!(read(&mut reader, &bytes, &[1000]), b"last words");
        assert_eq!(reader.end, Some(End::Closed));
    }

    #[test]
    fn the_last_ping_is_the_one_to_answer() {
        let mut reader = Reader::new(1000);
        let bytes = [frame(PING, true, b"one"), frame(PING, true, b"two")].concat();
        assert_eq!(read(&mut reader, &bytes, &[1000]), b"");
        assert_eq!(reader.ping.as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn frames_that_break_the_protocol_end_it_with_the_code_for_it() {
        let huge = [&[0x82, 0xff][..], &(1_u64 << 63).to_be_bytes(), &[0; 4]].concat();
        for (bytes, code) in [
            (frame(OpCode::Data(Data::Text), true, b"hello"), CloseCode::Unsupported),
            (vec![0x82, 0x01, 0x00], CloseCode::Protocol), // not masked
            (vec![0xc2, 0x80, 0, 0, 0, 0], CloseCode::Protocol), // reserved bit
            (vec![0x83, 0x80, 0, 0, 0, 0], CloseCode::Protocol), // unknown opcode
            (frame(MORE, true, b""), CloseCode::Protocol),
            ([frame(BINARY, false, b""), frame(BINARY, true, b"")].concat(), CloseCode::Protocol),
            (frame(PING, false, b""), CloseCode::Protocol),
            (frame(PING, true, &[0; 126]), CloseCode::Protocol),
            (frame(BINARY, true, &[0; 1001]), CloseCode::Size),
            (huge, CloseCode::Size),
        ] {
            for piece in [1, 1000] {
                let mut reader = Reader::new(1000);
                assert_eq!(read(&mut reader, &bytes, &[piece]), b"", "{bytes:02x?}");
                assert!(matches!(reader.end, Some(End::Broken(found, _)) if found == code), "{:?}", reader.end);
            }
        }
    }
}
