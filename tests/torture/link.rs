//! A connection whose other end may die at any moment.
//!
//! Unlike [`Wire`](crate::common::Wire) it takes the end of the connection for a thing that happens. What the broker
//! does send is decoded as strictly.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::common::{Answer, Connack, Connect, Version, decode};
use crate::scene::DEADLINE;

/// The connection has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed;

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    version: Version,
    inbox: Vec<u8>,
}

impl Link {
    /// Connects and waits for CONNACK.
    pub(crate) fn open(address: SocketAddr, connect: &Connect) -> Result<(Self, Connack), Closed> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).map_err(|_| Closed)?;
        stream.set_nodelay(true).map_err(|_| Closed)?;
        stream.set_write_timeout(Some(DEADLINE)).map_err(|_| Closed)?;
        let mut link = Self { stream, version: connect.version, inbox: Vec::new() };
        link.send(&connect.bytes())?;
        let until = Instant::now() + DEADLINE;
        loop {
            match link.next(DEADLINE)? {
                Some(Answer::Connack(connack)) => return Ok((link, connack)),
                Some(other) => panic!("CONNACK expected, {other:?} came"),
                None => assert!(Instant::now() < until, "no CONNACK within {DEADLINE:?} to {connect:?}"),
            }
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        match self.stream.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the broker has read nothing for {DEADLINE:?}");
            }
            Err(_) => Err(Closed),
        }
    }

    /// The next packet, if one is there or comes in time. What came before the end is read before the end shows.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<Option<Answer>, Closed> {
        if let Some(answer) = self.whole_packet() {
            return Ok(Some(answer));
        }
        let patience = patience.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(patience)).map_err(|_| Closed)?;
        let mut chunk = [0; 16_384];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Closed),
            Ok(length) => {
                self.inbox.extend_from_slice(&chunk[..length]);
                Ok(self.whole_packet())
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(Closed),
            },
        }
    }

    fn whole_packet(&mut self) -> Option<Answer> {
        let (answer, length) = decode(&self.inbox, self.version)?;
        self.inbox.drain(..length);
        Some(answer)
    }
}
