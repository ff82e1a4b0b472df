//! A client that costs as little as a client can: most of what is counted is the broker's.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Room for all that a subscriber gets at a time.
const BUFFER: usize = 256 << 10;

const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;

/// The far end of a connection.
pub(super) struct Client {
    stream: DuplexStream,
    buffer: Box<[u8]>,
    filled: usize,
    acknowledgements: Vec<u8>,
}

impl Client {
    pub(super) fn new(stream: DuplexStream) -> Self {
        Self { stream, buffer: vec![0; BUFFER].into(), filled: 0, acknowledgements: Vec::with_capacity(BUFFER) }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the broker reads");
    }

    /// Takes this answer, and no other.
    pub(super) async fn expect(&mut self, answer: &[u8]) {
        let taken = &mut self.buffer[..answer.len()];
        self.stream.read_exact(taken).await.expect("the broker answers");
        assert_eq!(taken, answer);
    }

    /// Takes so many PUBACKs.
    pub(super) async fn take_acknowledgements(&mut self, count: usize) {
        self.take(PUBACK, count).await;
    }

    /// Takes so many messages, and acknowledges those that want it.
    pub(super) async fn take_messages(&mut self, count: usize) {
        self.take(PUBLISH, count).await;
        if !self.acknowledgements.is_empty() {
            self.stream.write_all(&self.acknowledgements).await.expect("the broker reads");
            self.acknowledgements.clear();
        }
    }

    async fn take(&mut self, kind: u8, count: usize) {
        let mut left = count;
        while left > 0 {
            let read = self.stream.read(&mut self.buffer[self.filled..]).await.expect("memory is read");
            assert!(read > 0, "the broker has closed the connection");
            self.filled += read;
            let mut at = 0;
            while let Some((packet, length)) = first_packet(&self.buffer[at..self.filled]) {
                assert_eq!(packet[0] >> 4, kind, "the broker has sent something else");
                if packet[0] & 0b0110 != 0 && kind == PUBLISH {
                    let topic = usize::from(u16::from_be_bytes([packet[length], packet[length + 1]]));
                    let id = length + 2 + topic;
                    self.acknowledgements.extend_from_slice(&[PUBACK << 4, 2, packet[id], packet[id + 1]]);
                }
                at += packet.len();
                left -= 1;
            }
            self.buffer.copy_within(at..self.filled, 0);
            self.filled -= at;
        }
    }
}

/// The first packet, if it is whole, and the length of its fixed header.
fn first_packet(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (mut remaining, mut header) = (0, 1);
    loop {
        let byte = *bytes.get(header)?;
        remaining |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            return Some((bytes.get(..header + remaining)?, header));
        }
    }
}
