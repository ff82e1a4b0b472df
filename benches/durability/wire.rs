//! The few bytes of MQTT 3.1.1 that a load needs, written and read by hand: a codec would cost the generator
//! more than some brokers spend on routing, and the generator shares the machine with them.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// First byte of a CONNACK.
pub(crate) const CONNACK: u8 = 0x20;
/// First byte of a SUBACK.
pub(crate) const SUBACK: u8 = 0x90;
/// First byte of a PUBACK.
pub(crate) const PUBACK: u8 = 0x40;
/// The packet type of PUBLISH, which uses the low four bits of the first byte for flags.
pub(crate) const PUBLISH: u8 = 0x30;

/// Long enough that no run sends a PINGREQ, and not 0, which rumqttd takes for "at once".
const KEEP_ALIVE_SECONDS: u16 = 600;

/// Left to itself, Linux lets each publisher run megabytes ahead of the broker, and a run would mostly measure how long
/// the broker takes to empty the kernel's buffers.
const SEND_BUFFER: u32 = 64 * 1024;

/// A CONNECT without credentials.
fn connect_packet(client_id: &str, clean: bool) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, "MQTT");
    body.push(4); // protocol level of 3.1.1
    body.push(if clean { 0x02 } else { 0 }); // the flag Clean Session
    body.extend_from_slice(&KEEP_ALIVE_SECONDS.to_be_bytes());
    push_text(&mut body, client_id);
    packet(0x10, &body)
}

/// A SUBSCRIBE to all `filters` at one QoS.
fn subscribe_packet(filters: &[String], qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1]; // packet identifier 1
    for filter in filters {
        push_text(&mut body, filter);
        body.push(qos);
    }
    packet(0x82, &body)
}

/// A packet of this first byte and body.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    push_remaining_length(&mut bytes, body.len());
    bytes.extend_from_slice(body);
    bytes
}

/// A length of two bytes, and the text.
pub(crate) fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("the bench's own names are short");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn push_remaining_length(bytes: &mut Vec<u8>, mut length: usize) {
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        if length == 0 {
            bytes.push(digit);
            return;
        }
        bytes.push(digit | 0x80);
    }
}

/// One packet as it lies in the read buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) first: u8,
    pub(crate) body: &'a [u8],
}

impl Packet<'_> {
    pub(crate) fn is_publish(&self) -> bool {
        self.first & 0xf0 == PUBLISH
    }

    /// QoS of a PUBLISH.
    pub(crate) fn qos(&self) -> u8 {
        self.first >> 1 & 0x03
    }

    /// Length of a PUBLISH's topic.
    pub(crate) fn topic_bytes(&self) -> Option<usize> {
        let length = self.body.first_chunk::<2>()?;
        Some(usize::from(u16::from_be_bytes(*length)))
    }

    /// The packet identifier of a PUBLISH at QoS 1.
    pub(crate) fn identifier(&self) -> Option<[u8; 2]> {
        let after_topic = self.body.get(2 + self.topic_bytes()?..)?;
        after_topic.first_chunk::<2>().copied()
    }
}

/// Takes packets out of a socket's bytes, looking at fixed headers only.
#[derive(Debug)]
pub(crate) struct PacketReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl PacketReader {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { buffer: vec![0; bytes], start: 0, end: 0 }
    }

    /// Waits for bytes and takes as many as the buffer holds. An end of stream is an error: nothing here expects one.
    pub(crate) async fn fill(&mut self, stream: &TcpStream) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0); // one packet is longer than the buffer
        }
        loop {
            stream.readable().await?;
            match stream.try_read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection"));
                }
                Ok(bytes) => {
                    self.end += bytes;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next complete packet, if the buffer holds one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Packet<'_>>> {
        let bytes = &self.buffer[self.start..self.end];
        let mut length = 0;
        let mut header = 1;
        loop {
            let Some(&digit) = bytes.get(header) else {
                return Ok(None);
            };
            length |= usize::from(digit & 0x7f) << (7 * (header - 1));
            header += 1;
            if digit & 0x80 == 0 {
                break;
            }
            if header > 4 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the broker sent a remaining length of more than four bytes",
                ));
            }
        }
        if bytes.len() < header + length {
            return Ok(None);
        }
        let body = self.start + header..self.start + header + length;
        let first = bytes[0];
        self.start = body.end;
        Ok(Some(Packet { first, body: &self.buffer[body] }))
    }
}

/// A connected client and what it has read but not yet used.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) reader: PacketReader,
}

impl Client {
    /// Connects with a clean session and waits for the CONNACK. `read_buffer` is what one read can take.
    pub(crate) async fn connect(address: SocketAddr, client_id: &str, read_buffer: usize) -> anyhow::Result<Self> {
        let (client, _) = Self::open(address, client_id, true, read_buffer).await?;
        Ok(client)
    }

    /// The same with or without a clean session; says whether the broker had a session of the client.
    pub(crate) async fn open(
        address: SocketAddr,
        client_id: &str,
        clean: bool,
        read_buffer: usize,
    ) -> anyhow::Result<(Self, bool)> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket.context("no socket; is `ulimit -n` above the number of clients?")?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let stream =
            socket.connect(address).await.with_context(|| format!("client {client_id} cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, reader: PacketReader::with_capacity(read_buffer) };
        client.stream.write_all(&connect_packet(client_id, clean)).await?;
        let connack = client.expect(CONNACK, client_id).await?;
        match connack.as_slice() {
            [flags, 0] => Ok((client, flags & 0x01 != 0)),
            other => bail!("client {client_id} was refused: CONNACK {other:02x?}"),
        }
    }

    /// Subscribes and waits until every filter is granted.
    pub(crate) async fn subscribe(&mut self, filters: &[String], qos: u8) -> anyhow::Result<()> {
        self.stream.write_all(&subscribe_packet(filters, qos)).await?;
        let suback = self.expect(SUBACK, "subscriber").await?;
        if suback.len() != 2 + filters.len() || suback[2..].iter().any(|code| *code != qos) {
            bail!("SUBACK {suback:02x?} to {filters:?} at QoS {qos}");
        }
        Ok(())
    }

    async fn expect(&mut self, first: u8, who: &str) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(packet) = self.reader.next()? {
                if packet.first == first {
                    return Ok(packet.body.to_vec());
                }
                bail!("{who} got a packet of type {:#04x} instead of {first:#04x}", packet.first);
            }
            self.reader.fill(&self.stream).await.with_context(|| format!("{who} waits for {first:#04x}"))?;
        }
    }
}
