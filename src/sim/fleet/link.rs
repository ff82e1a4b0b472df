//! A connection of a simulated client: one socket, what has come and is not yet read, what is to go.
//!
//! A fleet has thousands of these in one process, each in one task that also does the client's work, so this is not
//! the client library that the demo uses: no second task, no channel between them, no copy of a message that is
//! thrown away at once, and an idle connection keeps no buffer.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use thiserror::Error;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time;

use super::packet::{self, ConnAck, Connect, Malformed, Packet, Version};
use super::stream::Stream;

/// How long a connection or a subscription may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the broker may take to close a connection that was ended.
const GOODBYE: Duration = Duration::from_secs(2);
/// Bytes that may wait for the socket: as much as a dock in flight sends in a minute. More is withheld.
const OUTBOX: usize = 512 * 1024;
/// Room for what is read at once.
const READ: usize = 16 * 1024;
/// Room for the acknowledgement of a subscription and the like.
const READ_SMALL: usize = 1024;

/// Why there is no connection, or no longer one.
#[derive(Debug, Error)]
pub(super) enum LinkError {
    /// The operating system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The broker's CONNACK has a reason not to.
    #[error("CONNACK {0:#04x}")]
    Refused(u8),
    /// The broker refuses a subscription.
    #[error("SUBACK {0:#04x}")]
    Unsubscribed(u8),
    /// The broker says why it ends the connection.
    #[error("DISCONNECT {0:#04x}")]
    Disconnected(u8),
    #[error("closed by the broker")]
    Closed,
    #[error("no {0} in time")]
    Silent(&'static str),
    #[error("another packet in the place of {0}")]
    Unexpected(&'static str),
}

/// What a client learns from the broker, acknowledgements apart.
#[derive(Debug)]
pub(super) enum Heard<'a> {
    Message {
        topic: &'a str,
        payload: &'a [u8],
    },
    /// The broker acknowledged a message and says that it did not take it.
    Denied {
        stream: Stream,
        code: u8,
    },
}

/// A connection that has been accepted.
#[derive(Debug)]
pub(super) struct Link {
    socket: TcpStream,
    input: BytesMut,
    /// How much to make room for, which is what made the last read full.
    room: usize,
    pub(super) out: Out,
}

/// What goes to the broker.
#[derive(Debug)]
pub(super) struct Out {
    version: Version,
    buffer: BytesMut,
    next_pid: u16,
    receive_maximum: usize,
    /// What waits for its acknowledgement. It comes in order, so the first is nearly always the one.
    in_flight: VecDeque<Flight>,
    awaits_pong: bool,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    pid: u16,
    stream: Stream,
}

/// A message that was not sent, because too much waits already.
#[derive(Debug)]
pub(super) struct Withheld;

impl Link {
    /// Connects, waits for the CONNACK, and subscribes. Also says which keep-alive the broker wants, in seconds.
    pub(super) async fn open(
        address: SocketAddr,
        version: Version,
        who: &Connect<'_>,
        filters: &[String],
    ) -> Result<(Self, u16), LinkError> {
        let opened = time::timeout(PATIENCE, TcpStream::connect(address)).await;
        let socket = opened.map_err(|_| LinkError::Silent("connection"))??;
        socket.set_nodelay(true)?;
        let out = Out {
            version,
            buffer: BytesMut::new(),
            next_pid: 0,
            receive_maximum: usize::from(u16::MAX),
            in_flight: VecDeque::new(),
            awaits_pong: false,
        };
        let mut link = Self { socket, input: BytesMut::new(), room: READ_SMALL, out };
        packet::connect(&mut link.out.buffer, version, who);
        let ack = link.first(|packet| match packet {
            Packet::ConnAck(ack) => Some(ack),
            _ => None,
        });
        let ack: ConnAck = time::timeout(PATIENCE, ack).await.map_err(|_| LinkError::Silent("CONNACK"))??;
        if ack.code != 0 {
            return Err(LinkError::Refused(ack.code));
        }
        link.out.receive_maximum = usize::from(ack.receive_maximum);
        let pid = link.out.pid();
        packet::subscribe(&mut link.out.buffer, version, pid, filters);
        let codes = link.first(|packet| match packet {
            Packet::SubAck { codes } if codes.len() == filters.len() => Some(codes.to_vec()),
            _ => None,
        });
        let codes = time::timeout(PATIENCE, codes).await.map_err(|_| LinkError::Silent("SUBACK"))??;
        if let Some(code) = codes.into_iter().find(|code| *code != 1) {
            return Err(LinkError::Unsubscribed(code));
        }
        Ok((link, ack.keep_alive.unwrap_or(who.keep_alive)))
    }

    /// The next packet, which must be the one.
    async fn first<T>(&mut self, is_it: impl Fn(Packet<'_>) -> Option<T>) -> Result<T, LinkError> {
        loop {
            if let Some((packet, length)) = packet::decode(&self.input, self.out.version)? {
                let found = is_it(packet).ok_or(LinkError::Unexpected("an acknowledgement"))?;
                self.input.advance(length);
                return Ok(found);
            }
            self.turn().await?;
        }
    }

    /// Waits until the socket has something or takes something, and does both as far as it goes. Nothing is lost
    /// if this is dropped half-way.
    pub(super) async fn turn(&mut self) -> Result<(), LinkError> {
        let interest =
            if self.out.buffer.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let ready = self.socket.ready(interest).await?;
        if ready.is_readable() || ready.is_read_closed() || ready.is_error() {
            self.read()?;
        }
        self.write()
    }

    fn read(&mut self) -> Result<(), LinkError> {
        self.input.reserve(self.room);
        match self.socket.try_read_buf(&mut self.input) {
            Ok(0) => Err(LinkError::Closed),
            Ok(count) => {
                if count >= self.room {
                    self.room = (self.room * 4).min(READ * 16);
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes as much as the socket takes now.
    pub(super) fn write(&mut self) -> Result<(), LinkError> {
        while !self.out.buffer.is_empty() {
            match self.socket.try_write(&self.out.buffer) {
                Ok(count) => self.out.buffer.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        // An idle client has no use for what it needed in its last burst.
        self.out.buffer = BytesMut::new();
        Ok(())
    }

    /// Goes through what has come, and acknowledges it.
    pub(super) fn hear(&mut self, mut hear: impl FnMut(Heard<'_>, &mut Out)) -> Result<(), LinkError> {
        let Self { input, out, .. } = self;
        let mut used = 0;
        while let Some((packet, length)) = packet::decode(&input[used..], out.version)? {
            used += length;
            match packet {
                Packet::Publish { topic, payload, acknowledge } => {
                    if let Some(pid) = acknowledge {
                        packet::puback(&mut out.buffer, pid);
                    }
                    hear(Heard::Message { topic, payload }, out);
                }
                Packet::PubAck { pid, code } => {
                    let flight = out.land(pid).ok_or(LinkError::Unexpected("a PUBACK that is due"))?;
                    if code >= 0x80 {
                        hear(Heard::Denied { stream: flight.stream, code }, out);
                    }
                }
                Packet::PubRec { pid, code } if code < 0x80 => packet::pubrel(&mut out.buffer, pid),
                Packet::PubRec { pid, code } => {
                    let flight = out.land(pid).ok_or(LinkError::Unexpected("a PUBREC that is due"))?;
                    hear(Heard::Denied { stream: flight.stream, code }, out);
                }
                Packet::PubComp { pid } => {
                    out.land(pid).ok_or(LinkError::Unexpected("a PUBCOMP that is due"))?;
                }
                Packet::PingResp => out.awaits_pong = false,
                Packet::Disconnect { code } => return Err(LinkError::Disconnected(code)),
                Packet::ConnAck(_) | Packet::SubAck { .. } => {
                    return Err(LinkError::Unexpected("a message or its acknowledgement"));
                }
            }
        }
        input.advance(used);
        if input.is_empty() {
            *input = BytesMut::new();
        }
        Ok(())
    }

    /// Sends a DISCONNECT and waits until the broker has closed the connection, as the other way round what it still
    /// sends would reset it and the DISCONNECT might never be read.
    pub(super) async fn leave(mut self) {
        packet::disconnect(&mut self.out.buffer);
        let closed = async {
            while self.turn().await.is_ok() {
                self.input.clear();
            }
        };
        // Who leaves does not care how long the broker takes.
        let _ = time::timeout(GOODBYE, closed).await;
    }
}

impl Out {
    /// Sends a message whose payload of `length` bytes `fill` writes.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        (stream, qos): (Stream, u8),
        length: usize,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Withheld> {
        if self.buffer.len() > OUTBOX || (qos > 0 && self.in_flight.len() >= self.receive_maximum) {
            return Err(Withheld);
        }
        let mut pid = 0;
        if qos > 0 {
            pid = self.pid();
            self.in_flight.push_back(Flight { pid, stream });
        }
        packet::publish(&mut self.buffer, self.version, topic, qos, pid, length);
        let begin = self.buffer.len();
        fill(&mut self.buffer);
        debug_assert_eq!(self.buffer.len() - begin, length);
        Ok(())
    }

    /// Asks whether the broker is there; false if it has not answered the last time.
    pub(super) fn ping(&mut self) -> bool {
        packet::pingreq(&mut self.buffer);
        !std::mem::replace(&mut self.awaits_pong, true)
    }

    /// Whether all has gone to the socket, and what needs an acknowledgement has it.
    pub(super) fn is_settled(&self) -> bool {
        self.buffer.is_empty() && self.in_flight.is_empty()
    }

    /// Whether there is something to write.
    pub(super) fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The streams of the messages that are not acknowledged.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = Stream> {
        self.in_flight.iter().map(|flight| flight.stream)
    }

    fn land(&mut self, pid: u16) -> Option<Flight> {
        let at = self.in_flight.iter().position(|flight| flight.pid == pid)?;
        self.in_flight.remove(at)
    }

    /// The next packet identifier that is not in use.
    fn pid(&mut self) -> u16 {
        loop {
            self.next_pid = self.next_pid.checked_add(1).unwrap_or(1);
            // Identifiers are given out in a circle, so one still in use is a very old one at the front.
            if self.in_flight.front().is_none_or(|oldest| oldest.pid != self.next_pid) {
                return self.next_pid;
            }
        }
    }
}
