//! The client of the benches that look at sessions: a connection, and what it has read but not yet used.

pub(crate) mod packet;

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use dockgate::bench::{PacketReader, Version};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use packet::{CONNACK, Connect, SUBACK};

/// Left to itself, Linux lets each publisher run megabytes ahead of the broker.
const SEND_BUFFER: u32 = 64 * 1024;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) reader: PacketReader,
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
        let mut client = Self { stream, reader: PacketReader::with_capacity(read_buffer), version: who.version };
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

    /// Waits for bytes, as [`fill`].
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        fill(&mut self.reader, &self.stream).await
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
            self.fill().await.with_context(|| format!("waiting for a packet of {kind:#04x}"))?;
        }
    }
}

/// Waits for bytes. Losing the future loses nothing. An end of stream is an error.
pub(crate) async fn fill(reader: &mut PacketReader, stream: &TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match reader.fill(|buffer| stream.try_read(buffer)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            filled => return filled,
        }
    }
}
