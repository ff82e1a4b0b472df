//! A client and its session state, which outlives its connections (MQTT 5, 4.1 and 4.4).
//!
//! It is one thread's. All that it sends and receives goes into the history; what its owner may want to know at once is
//! in [`Client::news`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::common::packet::Ack;
use crate::common::{
    Answer, Connect, DISCONNECT, PINGREQ, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, V5, Version, ack,
    property, subscribe, unsubscribe,
};
use crate::fact::{Fact, Kind};
use crate::label::{Label, Name};
use crate::link::{Closed, Link};
use crate::scene::Scene;

/// A message that is on its way to the broker.
#[derive(Debug)]
struct Outgoing {
    label: Label,
    message: Publish,
    /// PUBREC came, and PUBREL is to be sent until PUBCOMP comes.
    is_released: bool,
}

/// SUBSCRIBE or UNSUBSCRIBE that is not answered.
#[derive(Clone, Debug)]
struct Asked {
    filter: Name,
    /// None to unsubscribe.
    qos: Option<u8>,
}

/// How a client deals with what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Acknowledges at once.
    Prompt,
    /// Acknowledges, and releases what it has sent, when [`Client::release`] is called.
    Holding,
    /// Never sends PUBCOMP.
    WithoutPubcomp,
}

/// What came.
#[derive(Debug)]
pub(crate) enum News {
    Acked(Label),
    Refused(Label),
    Message(Publish),
    Pong,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: Name,
    pub(crate) manner: Manner,
    /// What came since the owner last took it.
    pub(crate) news: Vec<News>,
    scene: Arc<Scene>,
    connect: Connect,
    is_persistent: bool,
    link: Option<Link>,
    number: u64,
    /// In the order in which they were first sent.
    outgoing: Vec<Outgoing>,
    /// QoS 2 packet identifiers that the broker has not released, and what came under them.
    received: HashMap<u16, Label>,
    asked: Option<Asked>,
    /// Acknowledgements that are held back.
    held: Vec<u8>,
    /// Messages that go out together, with the next [`Client::poll`].
    outbox: Vec<u8>,
}

/// The packet identifier of SUBSCRIBE and UNSUBSCRIBE, far from those of messages, which are as small as can be.
const ASKING: u16 = 60_000;

impl Client {
    /// A client whose session outlives its connections.
    pub(crate) fn persistent(scene: &Arc<Scene>, version: Version, name: &str) -> Self {
        Self::new(scene, Connect::persistent(version, name), name, true)
    }

    /// A client whose session does not.
    pub(crate) fn clean(scene: &Arc<Scene>, version: Version, name: &str) -> Self {
        Self::new(scene, Connect::new(version, name), name, false)
    }

    fn new(scene: &Arc<Scene>, connect: Connect, name: &str, is_persistent: bool) -> Self {
        Self {
            name: name.into(),
            manner: Manner::Prompt,
            news: Vec::new(),
            scene: Arc::clone(scene),
            connect,
            is_persistent,
            link: None,
            number: 0,
            outgoing: Vec::new(),
            received: HashMap::new(),
            asked: None,
            held: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// With a property of MQTT 5 in its CONNECT.
    pub(crate) fn property(mut self, property: Property) -> Self {
        self.connect = self.connect.property(property);
        self
    }

    pub(crate) fn version(&self) -> Version {
        self.connect.version
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// How many of its messages are not completed.
    pub(crate) fn open(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether SUBACK or UNSUBACK is waited for.
    pub(crate) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// The label of its next message.
    pub(crate) fn next_label(&self) -> Label {
        Label { publisher: Arc::clone(&self.name), number: self.number + 1 }
    }

    /// Connects, if the broker is there, and goes on where the session stands.
    pub(crate) fn connect(&mut self) -> bool {
        if self.link.is_some() {
            return true;
        }
        let Some(life) = self.scene.life() else { return false };
        let Ok((link, connack)) = Link::open(life.mqtt, &self.connect) else { return false };
        assert_eq!(connack.code, 0, "CONNACK to {}", self.name);
        let present = connack.session_present;
        self.scene.record(Fact::Connected { session: Arc::clone(&self.name), persistent: self.is_persistent, present });
        self.link = Some(link);
        self.held.clear();
        self.outbox.clear();
        if !present {
            self.received.clear();
            // The broker knows nothing of them; what was released had been taken over.
            let released = self.outgoing.extract_if(.., |outgoing| outgoing.is_released);
            released.for_each(|outgoing| self.scene.record(Fact::Completed(outgoing.label)));
        }
        let mut bytes = Vec::new();
        for outgoing in &mut self.outgoing {
            if outgoing.is_released {
                bytes.extend(ack(Pubrel, outgoing.message.pid));
            } else {
                outgoing.message.dup = present;
                bytes.extend(outgoing.message.bytes(self.connect.version));
            }
        }
        if let Some(asked) = self.asked.clone() {
            bytes.extend(self.asking(&asked));
        }
        self.send(&bytes);
        self.link.is_some()
    }

    /// Ends the connection, as a client should or without a word.
    pub(crate) fn disconnect(&mut self, with_a_word: bool) {
        self.flush();
        if with_a_word {
            self.send(&DISCONNECT);
        }
        self.link = None;
    }

    /// Publishes with the next label, and with it as the payload unless there is another one.
    pub(crate) fn publish(&mut self, topic: &str, qos: u8, kind: Kind, payload: Option<Vec<u8>>) -> Label {
        let label = self.next_label();
        self.number += 1;
        let in_use = |pid: u16| self.outgoing.iter().any(|outgoing| outgoing.message.pid == pid);
        // The smallest that is free: the more often one is used again, the sooner shows what was not cleared away.
        let pid = (1..).find(|pid| !in_use(*pid)).expect("few are in use");
        let mut message = Publish::new(topic, payload.unwrap_or_else(|| label.payload())).qos(qos, pid);
        message.retain = matches!(kind, Kind::Retained { .. });
        if self.connect.version == V5 {
            let correlation = crate::common::Value::Bytes(label.to_string().into_bytes());
            message = message.property((property::CORRELATION, correlation));
        }
        self.scene.record(Fact::Sent { label: label.clone(), topic: topic.into(), qos, kind });
        self.outbox.extend(message.bytes(self.connect.version));
        self.outgoing.push(Outgoing { label: label.clone(), message, is_released: false });
        label
    }

    /// Forgets a message that was not acknowledged: it is not sent again.
    pub(crate) fn give_up(&mut self, label: &Label) {
        self.outgoing.retain(|outgoing| outgoing.label != *label);
    }

    /// Asks for a subscription, over and over until it is answered.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) {
        self.ask(Asked { filter: filter.into(), qos: Some(qos) });
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        self.ask(Asked { filter: filter.into(), qos: None });
    }

    fn ask(&mut self, asked: Asked) {
        assert!(self.asked.is_none(), "one at a time");
        let (session, filter) = (Arc::clone(&self.name), Arc::clone(&asked.filter));
        self.scene.record(match asked.qos {
            Some(qos) => Fact::Asked { session, filter, qos },
            None => Fact::Leaving { session, filter },
        });
        let bytes = self.asking(&asked);
        self.asked = Some(asked);
        self.send(&bytes);
    }

    fn asking(&self, asked: &Asked) -> Vec<u8> {
        match asked.qos {
            Some(qos) => subscribe(self.connect.version, ASKING, &[], &[(&asked.filter, qos)]),
            None => unsubscribe(self.connect.version, ASKING, &[&asked.filter]),
        }
    }

    /// Asks for PINGRESP.
    pub(crate) fn ping(&mut self) {
        self.send(&PINGREQ);
    }

    /// Sends the acknowledgements that were held back.
    pub(crate) fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.send(&held);
    }

    fn send(&mut self, bytes: &[u8]) {
        let Some(link) = &mut self.link else { return };
        if !bytes.is_empty() && link.send(bytes).is_err() {
            // What the broker still said is to be read; then the end shows.
            while let Ok(Some(answer)) = self.link.as_mut().map_or(Err(Closed), |link| link.next(Duration::ZERO)) {
                self.take(answer);
            }
            self.link = None;
        }
    }

    fn flush(&mut self) {
        let outbox = std::mem::take(&mut self.outbox);
        self.send(&outbox);
    }

    /// Sends what is to be sent; takes what comes within this time, and what came with it.
    pub(crate) fn poll(&mut self, patience: Duration) {
        self.flush();
        let mut patience = patience;
        loop {
            match self.link.as_mut().map(|link| link.next(patience)) {
                None => return std::thread::sleep(patience.min(Duration::from_millis(5))),
                Some(Ok(None)) => return,
                Some(Err(Closed)) => {
                    self.link = None;
                    return;
                }
                Some(Ok(Some(answer))) => self.take(answer),
            }
            if self.link.is_none() {
                return;
            }
            patience = Duration::ZERO;
        }
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Publish(message) => self.take_message(message),
            Answer::Ack(Puback, pid, code, _) => self.acknowledged(Puback, pid, code),
            Answer::Ack(Pubrec, pid, code, _) => self.acknowledged(Pubrec, pid, code),
            Answer::Ack(Pubcomp, pid, ..) => {
                let is_meant = |outgoing: &Outgoing| outgoing.is_released && outgoing.message.pid == pid;
                if let Some(at) = self.outgoing.iter().position(is_meant) {
                    self.scene.record(Fact::Completed(self.outgoing.remove(at).label));
                }
            }
            Answer::Ack(Pubrel, pid, ..) => {
                self.received.remove(&pid);
                if self.manner != Manner::WithoutPubcomp {
                    self.answer(Pubcomp, pid);
                }
            }
            Answer::Suback(ASKING, codes) => self.granted(Some(codes[0])),
            Answer::Unsuback(ASKING, _) => self.granted(None),
            Answer::Pingresp => self.news.push(News::Pong),
            Answer::Disconnect(code, properties) => {
                panic!("the broker disconnected {} with {code:#04x}, {properties:?}", self.name);
            }
            other => panic!("{other:?} came to {}", self.name),
        }
    }

    fn take_message(&mut self, message: Publish) {
        let session = Arc::clone(&self.name);
        let label = match Label::of(&message) {
            Ok(label) => label,
            Err(what) => {
                // A message to be retained, where the owner looks for those, may have been deleted since.
                let is_deletion = message.payload.is_empty() && !self.is_persistent;
                if !is_deletion {
                    self.scene.record(Fact::Garbled { session, what });
                }
                return self.confirm(&message);
            }
        };
        if message.qos == 2 {
            match self.received.get(&message.pid) {
                None => {}
                Some(first) => {
                    if *first != label {
                        let first = first.clone();
                        self.scene.record(Fact::Swapped { session, first, second: label });
                    }
                    return self.answer(Pubrec, message.pid);
                }
            }
            self.received.insert(message.pid, label.clone());
        }
        if self.is_persistent {
            let topic = message.topic.as_str().into();
            self.scene.record(Fact::Received { session, label, topic, qos: message.qos });
        }
        self.confirm(&message);
        self.news.push(News::Message(message));
    }

    fn confirm(&mut self, message: &Publish) {
        match message.qos {
            0 => {}
            1 => self.answer(Puback, message.pid),
            _ => self.answer(Pubrec, message.pid),
        }
    }

    fn answer(&mut self, kind: Ack, pid: u16) {
        if self.manner == Manner::Holding {
            self.held.extend(ack(kind, pid));
        } else {
            self.send(&ack(kind, pid));
        }
    }

    fn acknowledged(&mut self, kind: Ack, pid: u16, code: u8) {
        let qos = if kind == Puback { 1 } else { 2 };
        let found =
            self.outgoing.iter().position(|outgoing| (outgoing.message.pid, outgoing.message.qos) == (pid, qos));
        // The answer to a message that was given up.
        let Some(at) = found else { return };
        let label = self.outgoing[at].label.clone();
        if code >= 0x80 {
            self.outgoing.remove(at);
            self.scene.record(Fact::Refused(label.clone(), code));
            return self.news.push(News::Refused(label));
        }
        if !self.outgoing[at].is_released {
            self.scene.record(Fact::Acked(label.clone()));
            self.news.push(News::Acked(label.clone()));
        }
        if kind == Puback {
            self.outgoing.remove(at);
            self.scene.record(Fact::Completed(label));
        } else {
            self.outgoing[at].is_released = true;
            self.answer(Pubrel, pid);
        }
    }

    fn granted(&mut self, code: Option<u8>) {
        let Some(Asked { filter, .. }) = self.asked.take() else {
            panic!("{} is answered what it did not ask", self.name)
        };
        let session = Arc::clone(&self.name);
        self.scene.record(match code {
            Some(qos) => Fact::Granted { session, filter, qos },
            None => Fact::Left { session, filter },
        });
    }
}
