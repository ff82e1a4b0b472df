//! Takes packets out of the bytes that a broker sends. Looks at fixed headers only.

use std::io;

/// The packet type of PUBLISH, which uses the low four bits of the first byte for flags.
const PUBLISH: u8 = 0x30;

/// One packet as it lies in the read buffer.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Packet type and flags.
    pub first: u8,
    /// All that follows the remaining length.
    pub body: &'a [u8],
}

impl Packet<'_> {
    /// The type: the first byte without flags.
    pub fn kind(&self) -> u8 {
        self.first & 0xf0
    }

    /// QoS of a PUBLISH.
    pub fn qos(&self) -> u8 {
        self.first >> 1 & 0x03
    }

    /// The packet identifier of an acknowledgement, or of a PUBLISH at QoS 1 or 2. None if the packet is cut short.
    pub fn identifier(&self) -> Option<[u8; 2]> {
        let at = match self.kind() {
            PUBLISH => 2 + usize::from(u16::from_be_bytes(*self.body.first_chunk()?)),
            _ => 0,
        };
        self.body.get(at..)?.first_chunk().copied()
    }
}

/// What has been read from a connection and not yet used.
#[derive(Debug)]
pub struct PacketReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl PacketReader {
    /// One that takes so many bytes with a read, and more if a packet is longer.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { buffer: vec![0; bytes], start: 0, end: 0 }
    }

    /// One that has read this.
    #[cfg(test)]
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { buffer: bytes.to_vec(), start: 0, end: bytes.len() }
    }

    /// Reads once, as much as the buffer holds.
    ///
    /// # Errors
    /// Those of `read`, and `UnexpectedEof` at the end of the stream, which nobody here expects.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0); // one packet is longer than the buffer
        }
        match read(&mut self.buffer[self.end..])? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection")),
            bytes => {
                self.end += bytes;
                Ok(())
            }
        }
    }

    /// The next complete packet, if the buffer holds one.
    ///
    /// # Errors
    /// `InvalidData` if its remaining length has more than four bytes [MQTT-2.2.3].
    #[expect(clippy::should_implement_trait, reason = "an iterator's items do not borrow from it")]
    pub fn next(&mut self) -> io::Result<Option<Packet<'_>>> {
        let bytes = &self.buffer[self.start..self.end];
        let Some((length, digits)) = variable(bytes.get(1..).unwrap_or_default()) else {
            return match bytes.len() {
                0..5 => Ok(None),
                _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a remaining length of more than four bytes")),
            };
        };
        let header = 1 + digits;
        if bytes.len() < header + length {
            return Ok(None);
        }
        let body = self.start + header..self.start + header + length;
        let first = bytes[0];
        self.start = body.end;
        Ok(Some(Packet { first, body: &self.buffer[body] }))
    }
}

/// A variable byte integer at the beginning, and how long it is.
pub(super) fn variable(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PUBLISH of 300 bytes to `t` at QoS 1, as packet 0x0102.
    fn message() -> Vec<u8> {
        let mut bytes = vec![0x32, 0xb1, 0x02, 0, 1, b't', 1, 2];
        bytes.resize(bytes.len() + 300, 7);
        bytes
    }

    #[test]
    fn packets_are_taken_when_they_are_whole() {
        let bytes = message();
        for length in 0..bytes.len() {
            assert!(PacketReader::of(&bytes[..length]).next().unwrap().is_none(), "{length} bytes of {}", bytes.len());
        }
        assert!(PacketReader::of(&[0x30, 0xff, 0xff, 0xff, 0xff]).next().is_err());
    }

    #[test]
    fn a_packet_longer_than_the_buffer_arrives() {
        let bytes = [message(), message()].concat();
        let mut unread = &bytes[..];
        let mut reader = PacketReader::with_capacity(8);
        let mut bodies = Vec::new();
        while !unread.is_empty() {
            reader.fill(|buffer| io::Read::read(&mut unread, buffer)).unwrap();
            while let Some(packet) = reader.next().unwrap() {
                assert_eq!((packet.kind(), packet.qos(), packet.identifier()), (PUBLISH, 1, Some([1, 2])));
                bodies.push(packet.body.to_vec());
            }
        }
        assert_eq!(bodies, [&message()[3..], &message()[3..]]);
        let end = reader.fill(|_| Ok(0)).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
}
