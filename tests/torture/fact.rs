//! What happened, as the clients saw it, in one order.
//!
//! A client records what it is about to send before it sends it, and what came after it came. So, if one fact stands
//! before another, the first happened before the second ended: that is all the checker relies on.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::label::{Label, Name};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A life of the broker began: it listens.
    Listening(usize),
    /// It was killed, for the n-th time.
    Killed(usize),
    /// CONNACK accepted a client.
    Connected { session: Name, persistent: bool, present: bool },
    /// SUBSCRIBE is sent.
    Asked { session: Name, filter: Name, qos: u8 },
    /// SUBACK came.
    Granted { session: Name, filter: Name, qos: u8 },
    /// UNSUBSCRIBE is sent.
    Leaving { session: Name, filter: Name },
    /// UNSUBACK came.
    Left { session: Name, filter: Name },
    /// PUBLISH is sent for the first time.
    Sent { label: Label, topic: Name, qos: u8, kind: Kind },
    /// PUBACK or PUBREC came: the broker has taken it over.
    Acked(Label),
    /// PUBACK or PUBCOMP came: nothing is left to do for its publisher.
    Completed(Label),
    /// PUBACK or PUBREC came with a code that says no.
    Refused(Label, u8),
    /// A persistent session received it; not again under a packet identifier that it has not released.
    Received { session: Name, label: Label, topic: Name, qos: u8 },
    /// A QoS 2 packet identifier that was not released came with another message.
    Swapped { session: Name, first: Label, second: Label },
    /// What came is not what anybody sent.
    Garbled { session: Name, what: String },
    /// A subscriber that asked when the history had `began` facts found this retained on a topic.
    Retained { topic: Name, began: usize, found: Option<Label> },
    /// The API, asked when the history had `began` facts, showed this of a gateway: each upload's bid, and its state or
    /// its outcome.
    Gateway { gateway: Name, began: usize, running: Vec<(String, String)>, ended: Vec<(String, String)> },
    /// A conflicting start was answered, or the connection ended before.
    Tried(Label),
}

/// What a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// For its subscribers.
    Plain,
    /// To be retained; or, empty, to retain nothing on its topic any more.
    Retained { deletes: bool },
    /// A step of a gateway's upload.
    Upload { gateway: Name, step: Step },
    /// A start while an upload runs. `told` if its PUBACK says so (MQTT 5).
    Conflict { told: bool },
}

/// A step of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The backend starts it, under this bid.
    Start(String),
    /// The dock answers 0.
    Accept,
    /// The dock reports progress.
    Advance,
    /// The backend asks for a cancel.
    AskCancel,
    /// The dock accepts it.
    Cancel,
    /// It is over, with this outcome.
    End(&'static str),
}

/// A fact and when it was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    pub(crate) fact: Fact,
}

/// All facts.
#[derive(Debug)]
pub(crate) struct History {
    began: Instant,
    entries: Mutex<Vec<Entry>>,
    ambush: Mutex<Option<Ambush>>,
}

/// Somebody waits for a fact of some kind.
#[derive(Debug)]
struct Ambush {
    prey: Prey,
    tell: Sender<()>,
}

/// What the broker has just promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prey {
    /// That a step of an upload counts.
    Upload,
    /// That a retained message is kept.
    Retained,
    /// That a subscription is kept, or is no more.
    Subscription,
    /// That it has a message.
    Message,
    /// That a packet identifier is free again.
    Completed,
}

impl Prey {
    pub(crate) const ALL: [Prey; 5] =
        [Prey::Upload, Prey::Retained, Prey::Subscription, Prey::Message, Prey::Completed];

    fn is(self, fact: &Fact) -> bool {
        let by = |label: &Label, names: &[&str]| names.iter().any(|name| label.publisher.starts_with(name));
        match (self, fact) {
            // Gateways have names that begin with a digit.
            (Prey::Upload, Fact::Acked(label)) => by(label, &["backend-", "4", "7", "8"]),
            (Prey::Retained, Fact::Acked(label)) => by(label, &["retain-"]),
            (Prey::Message, Fact::Acked(label)) => by(label, &["publish-"]),
            (Prey::Completed, Fact::Completed(label)) => by(label, &["publish-q2", "publish-mixed"]),
            (Prey::Subscription, Fact::Granted { session, .. } | Fact::Left { session, .. }) => {
                **session != *"inspector"
            }
            _ => false,
        }
    }
}

impl History {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), entries: Mutex::default(), ambush: Mutex::default() }
    }

    pub(crate) fn record(&self, fact: Fact) {
        let mut ambush = self.ambush.lock().expect("nobody panics with it");
        if let Some(caught) = ambush.take_if(|ambush| ambush.prey.is(&fact)) {
            caught.tell.send(()).ok();
        }
        drop(ambush);
        let mut entries = self.entries.lock().expect("nobody panics with it");
        entries.push(Entry { at: self.began.elapsed(), fact });
    }

    /// Tells of the next fact of a kind, as soon as it is recorded.
    pub(crate) fn ambush(&self, prey: Prey) -> Receiver<()> {
        let (tell, told) = channel();
        *self.ambush.lock().expect("nobody panics with it") = Some(Ambush { prey, tell });
        told
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.lock().expect("nobody panics with it").len()
    }

    /// Copies of all facts from the n-th on.
    pub(crate) fn since(&self, n: usize) -> Vec<Entry> {
        self.entries.lock().expect("nobody panics with it")[n..].to_vec()
    }
}
