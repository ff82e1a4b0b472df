//! The client of the benches that look at sessions: a connection, and what it has read but not yet used.

pub(crate) mod packet;

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use packet::{CONNACK, Connect, Packet, SUBACK, Version};

/// Left to itself, Linux lets each publisher run megabytes ahead of the broker.
const SEND_BUFFER: u32 = 64 * 1024;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) reader: Reader,
    pub(crate) version: Version,
}

impl Client {
    /// Connects and waits for the CONNACK; says whether the broker had a session of the client. `read_buffer` is what
    /// one read can take.
    pub(crate) async fn open(
        address: SocketAddr,
        who: &Connect<'_>,
        read_buffer: usize,
    ) -> anyhow::Result<(Self, bool)> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let name = who.client_id;
        let socket = socket.context("no socket; is `ulimit -n` above the number of clients?")?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let stream =
            socket.connect(address).await.with_context(|| format!("client {name} cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, reader: Reader::with_capacity(read_buffer), version: who.version };
        client.send(&packet::connect(who)).await?;
        let connack = client.expect(CONNACK).await.with_context(|| format!("client {name}"))?;
        match connack.as_slice() {
            [flags, 0, ..] => Ok((client, flags & 0x01 != 0)),
            other => bail!("client {name} was refused: CONNACK {other:02x?}"),
        }
    }

    /// The same in MQTT 3.1.1, with a session that ends with the connection.
    pub(crate) async fn open_clean(address: SocketAddr, client_id: &str, read_buffer: usize) -> anyhow::Result<Self> {
        Ok(Self::open(address, &Connect::plain(client_id, true), read_buffer).await?.0)
    }

    /// Subscribes and waits until every filter is granted. For a client to which nothing comes yet.
    pub(crate) async fn subscribe(&mut self, filters: &[String], qos: u8) -> anyhow::Result<()> {
        self.send(&packet::subscribe(self.version, 1, filters, qos)).await?;
        let suback = self.expect(SUBACK).await?;
        let refused = suback.iter().rev().take(filters.len()).filter(|code| **code != qos).count();
        if refused > 0 {
            bail!("{refused} of the {} filters {:?}... were not granted at QoS {qos}", filters.len(), filters[0]);
        }
        Ok(())
    }

    /// Writes packets.
    pub(crate) async fn send(&mut self, packets: &[u8]) -> io::Result<()> {
        self.stream.write_all(packets).await
    }

    /// The body of the next packet, which has to be of this kind.
    async fn expect(&mut self, kind: u8) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(packet) = self.reader.next()? {
                if packet.kind() == kind {
                    return Ok(packet.body.to_vec());
                }
                bail!("got a packet of type {:#04x} instead of {kind:#04x}", packet.first);
            }
            self.reader.fill(&self.stream).await.with_context(|| format!("waiting for a packet of {kind:#04x}"))?;
        }
    }
}

/// Takes packets out of a socket's bytes.
#[derive(Debug)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Reader {
    fn with_capacity(bytes: usize) -> Self {
        Self { buffer: vec![0; bytes], start: 0, end: 0 }
    }

    /// Waits for bytes and takes as many as the buffer holds. Losing the future loses nothing. An end of stream is an
    /// error.
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
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection")),
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
                let what = "the broker sent a remaining length of more than four bytes";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
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
