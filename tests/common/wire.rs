//! A client that speaks bytes over TCP and waits for what it expects, with a deadline.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::answer::{Answer, Connack, decode};
use super::packet::{
    Ack, Connect, PINGREQ, Puback, Pubcomp, Publish, Pubrec, Pubrel, V311, Version, ack, subscribe, unsubscribe,
};
use super::property::Property;

/// How long an event may take. Generous, because many tests share few cores; it is only ever
/// waited for in full by a test that fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A TCP connection to the broker and the bytes that have come and are not yet read.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) version: Version,
    inbox: Vec<u8>,
    /// Messages that came while an acknowledgement was waited for; they are next.
    early: VecDeque<Answer>,
}

impl Wire {
    /// Opens the connection and sends nothing.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).expect("the broker accepts connections");
        stream.set_nodelay(true).expect("TCP has no-delay");
        stream.set_write_timeout(Some(DEADLINE)).expect("a deadline is not zero");
        Self { stream, version, inbox: Vec::new(), early: VecDeque::new() }
    }

    /// Sends CONNECT and returns what CONNACK says.
    #[track_caller]
    pub(crate) fn try_connect(address: SocketAddr, connect: &Connect) -> (Self, Connack) {
        let mut wire = Self::open(address, connect.version);
        wire.send(&connect.bytes());
        match wire.next() {
            Answer::Connack(connack) => (wire, connack),
            other => panic!("CONNACK expected, {other:?} came"),
        }
    }

    /// Sends CONNECT, which must be accepted; returns whether the session was present.
    #[track_caller]
    pub(crate) fn resume(address: SocketAddr, connect: &Connect) -> (Self, bool) {
        let (wire, connack) = Self::try_connect(address, connect);
        assert_eq!(connack.code, 0, "{connect:?} must be accepted");
        (wire, connack.session_present)
    }

    /// Sends CONNECT, which must be accepted.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, connect: &Connect) -> Self {
        Self::resume(address, connect).0
    }

    /// A client with a clean session.
    #[track_caller]
    pub(crate) fn clean(address: SocketAddr, version: Version, id: &str) -> Self {
        Self::connect(address, &Connect::new(version, id))
    }

    /// An MQTT 3.1.1 client with a clean session and these subscriptions.
    #[track_caller]
    pub(crate) fn subscriber(address: SocketAddr, id: &str, filters: &[(&str, u8)]) -> Self {
        let mut wire = Self::clean(address, V311, id);
        wire.subscribe(filters);
        wire
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// Sends to a broker that may close the connection before it has read all.
    pub(crate) fn send_to_closing(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    /// Sends a PUBLISH and does not wait.
    #[track_caller]
    pub(crate) fn push(&mut self, message: &Publish) {
        self.send(&message.bytes(self.version));
    }

    /// Publishes and goes through the acknowledgements of its QoS; returns PUBACK's or PUBREC's
    /// reason code.
    #[track_caller]
    pub(crate) fn publish(&mut self, message: &Publish) -> u8 {
        self.push(message);
        match message.qos {
            0 => 0,
            1 => self.expect_ack(Puback, message.pid),
            _ => {
                let code = self.expect_ack(Pubrec, message.pid);
                if code < 0x80 {
                    self.send(&ack(Pubrel, message.pid));
                    self.expect_ack(Pubcomp, message.pid);
                }
                code
            }
        }
    }

    /// Subscribes and returns SUBACK's codes.
    #[track_caller]
    pub(crate) fn try_subscribe(&mut self, properties: &[Property], filters: &[(&str, u8)]) -> Vec<u8> {
        self.send(&subscribe(self.version, 7, properties, filters));
        match self.next() {
            Answer::Suback(7, codes) => codes,
            other => panic!("SUBACK of 7 expected, {other:?} came"),
        }
    }

    /// Subscribes; each filter must be granted the QoS it asked for.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filters: &[(&str, u8)]) {
        let granted = self.try_subscribe(&[], filters);
        let wanted: Vec<u8> = filters.iter().map(|(_, options)| options & 3).collect();
        assert_eq!(granted, wanted, "SUBACK of {filters:?}");
    }

    /// Unsubscribes and returns UNSUBACK's codes (none in MQTT 3).
    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        self.send(&unsubscribe(self.version, 8, filters));
        match self.next() {
            Answer::Unsuback(8, codes) => codes,
            other => panic!("UNSUBACK of 8 expected, {other:?} came"),
        }
    }

    /// The next packet.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Answer {
        self.next_or_close().expect("a packet, but the broker closed the connection")
    }

    /// The next packet, or nothing when the broker closes the connection.
    #[track_caller]
    pub(crate) fn next_or_close(&mut self) -> Option<Answer> {
        match self.wait(DEADLINE) {
            Wait::Answer(answer) => Some(answer),
            Wait::Closed => None,
            Wait::Nothing => panic!("neither a packet nor a close within {DEADLINE:?}"),
        }
    }

    /// Waits for a packet or for the end of the connection.
    pub(crate) fn wait(&mut self, patience: Duration) -> Wait {
        match self.early.pop_front() {
            Some(answer) => Wait::Answer(answer),
            None => self.read(patience),
        }
    }

    fn read(&mut self, patience: Duration) -> Wait {
        let until = Instant::now() + patience;
        loop {
            if let Some((answer, length)) = decode(&self.inbox, self.version) {
                self.inbox.drain(..length);
                return Wait::Answer(answer);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Wait::Nothing;
            }
            self.stream.set_read_timeout(Some(left)).expect("it is not zero");
            let mut chunk = [0; 65_536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Wait::Closed,
                Ok(length) => self.inbox.extend_from_slice(&chunk[..length]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Wait::Closed,
                },
            }
        }
    }

    /// The next packet, which must be a PUBLISH.
    #[track_caller]
    pub(crate) fn expect_publish(&mut self) -> Publish {
        match self.next() {
            Answer::Publish(publish) => publish,
            other => panic!("PUBLISH expected, {other:?} came"),
        }
    }

    /// The next message, which must have this payload. At QoS 1 and 2 it is acknowledged.
    #[track_caller]
    pub(crate) fn expect_message(&mut self, payload: &str) -> Publish {
        let message = self.expect_publish();
        assert_eq!(message.text(), payload, "payload of {message:?}");
        self.complete(&message);
        message
    }

    /// Acknowledges a received message to the end.
    #[track_caller]
    pub(crate) fn complete(&mut self, message: &Publish) {
        match message.qos {
            0 => {}
            1 => self.send(&ack(Puback, message.pid)),
            _ => {
                self.send(&ack(Pubrec, message.pid));
                self.expect_ack(Pubrel, message.pid);
                self.send(&ack(Pubcomp, message.pid));
            }
        }
    }

    /// This acknowledgement, before which messages may come; returns its reason code.
    #[track_caller]
    pub(crate) fn expect_ack(&mut self, kind: Ack, pid: u16) -> u8 {
        loop {
            match self.read(DEADLINE) {
                Wait::Answer(Answer::Ack(found, found_pid, code, _)) if (found, found_pid) == (kind, pid) => {
                    return code;
                }
                Wait::Answer(message @ Answer::Publish(_)) => self.early.push_back(message),
                other => panic!("{kind:?} of {pid} expected, {other:?} came"),
            }
        }
    }

    /// Asks for PINGRESP: the connection lives and nothing else was waiting to be read.
    #[track_caller]
    pub(crate) fn expect_alive(&mut self) {
        self.send(&PINGREQ);
        assert_eq!(self.next(), Answer::Pingresp);
    }

    /// The broker closes the connection; MQTT 5 may be told why first. Returns that reason code.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) -> Option<u8> {
        let code = match self.next_or_close() {
            None => return None,
            Some(Answer::Disconnect(code, _)) => code,
            Some(other) => panic!("a close expected, {other:?} came"),
        };
        match self.next_or_close() {
            None => Some(code),
            Some(other) => panic!("a close after DISCONNECT expected, {other:?} came"),
        }
    }

    /// Ends the connection as a client should, and waits until the broker has closed it.
    #[track_caller]
    pub(crate) fn leave(mut self) {
        self.send(&super::packet::DISCONNECT);
        self.expect_closed();
    }

    /// Ends the connection without DISCONNECT.
    pub(crate) fn vanish(self) {
        drop(self);
    }
}

/// What came of waiting.
#[derive(Debug)]
pub(crate) enum Wait {
    Answer(Answer),
    Closed,
    Nothing,
}
