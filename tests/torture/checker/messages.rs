//! Who has to receive which message, how often, in which order.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::sessions::{Subscription, matches, shared};
use super::{Checker, Flaw};
use crate::fact::Kind;
use crate::label::{Label, Name};

/// A message that was sent.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: Name,
    pub(crate) qos: u8,
    pub(crate) kind: Kind,
    sent: usize,
    /// How often it came to a session.
    came: HashMap<Name, usize>,
    /// Which shared subscriptions it came by.
    shared: BTreeSet<Name>,
}

/// Who has to receive a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Session(Name),
    /// Any member of a shared subscription.
    Shared(Name),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Session(name) | Target::Shared(name) => f.write_str(name),
        }
    }
}

/// The last number that came to a session, of one publisher, on one topic, with one QoS.
pub(crate) type Order = HashMap<(Name, Name, Name, u8), u64>;

impl Message {
    pub(super) fn new(topic: &Name, qos: u8, kind: &Kind, sent: usize) -> Self {
        let (topic, kind) = (topic.clone(), kind.clone());
        Self { topic, qos, kind, sent, came: HashMap::new(), shared: BTreeSet::new() }
    }
}

impl Checker {
    /// An acknowledged message has to reach every persistent session with a subscription that was acknowledged before
    /// the message was sent and has held since.
    pub(super) fn becomes_due(&mut self, label: &Label) {
        let Some(message) = self.messages.get(label) else { return };
        if matches!(message.kind, Kind::Retained { deletes: true } | Kind::Conflict { .. }) {
            return;
        }
        let mut targets = BTreeSet::new();
        for (name, session) in self.sessions.iter().filter(|(_, session)| session.persistent) {
            for (text, subscription) in &session.subscriptions {
                let (group, filter) = shared(text);
                if subscription.held_since(message.sent).is_none() || !matches(filter, &message.topic) {
                    continue;
                }
                if group.is_some() && !message.shared.contains(text) {
                    targets.insert(Target::Shared(text.clone()));
                } else if group.is_none() && !message.came.contains_key(name) {
                    targets.insert(Target::Session(name.clone()));
                }
            }
        }
        if !targets.is_empty() {
            self.due.insert(label.clone(), targets);
        }
    }

    pub(super) fn received(&mut self, name: &Name, label: &Label, topic: &Name, qos: u8) {
        let Some(message) = self.messages.get_mut(label) else {
            let what = format!("nobody sent {label}");
            return self.flaws.push(Flaw::Garbled { session: name.clone(), what });
        };
        if let Kind::Conflict { .. } = message.kind {
            // The broker's answer goes to those who listen for the dock's.
            if !topic.ends_with("/services_reply") {
                self.flaws.push(Flaw::Passed(label.clone()));
            }
            return;
        }
        let session = name.clone();
        if message.topic != *topic {
            return self.flaws.push(Flaw::WrongTopic { label: label.clone(), session, topic: topic.clone() });
        }
        let known = self.sessions.entry(name.clone()).or_default();
        let by = |(text, subscription): (&Name, &Subscription)| {
            let (group, filter) = shared(text);
            let is_by = matches(filter, topic) && subscription.may_bring(message.sent);
            is_by.then(|| (group.map(|_| text.clone()), *subscription))
        };
        let by: Vec<(Option<Name>, Subscription)> = known.subscriptions.iter().filter_map(by).collect();
        if by.is_empty() {
            return self.flaws.push(Flaw::Uninvited { label: label.clone(), session });
        }
        let held = by.iter().filter_map(|(_, subscription)| subscription.held_since(message.sent)).max();
        if let Some(granted) = held.filter(|_| !known.changes) {
            let wanted = granted.min(message.qos);
            if qos != wanted {
                let flaw = Flaw::WrongQos { label: label.clone(), session: session.clone(), came: qos, wanted };
                self.flaws.push(flaw);
            }
        }
        // A session of these tests has one shared subscription, or none.
        let group = by.iter().find_map(|(group, _)| group.clone());
        let times = message.came.entry(session.clone()).or_default();
        *times += 1;
        let is_first = *times == 1;
        let is_new = match &group {
            Some(group) => message.shared.insert(group.clone()),
            None => is_first,
        };
        if qos == 2 && !is_new {
            let target = group.as_ref().map_or_else(|| session.to_string(), |group| format!("{session} of {group}"));
            self.flaws.push(Flaw::Doubled { label: label.clone(), target });
        }
        // The members of a group may take over from each other what was not sent yet, late.
        if is_first && group.is_none() {
            let key = (session.clone(), label.publisher.clone(), topic.clone(), qos);
            let last = self.order.entry(key).or_insert(label.number);
            if *last > label.number {
                self.flaws.push(Flaw::Disordered { label: label.clone(), session: session.clone(), after: *last });
            }
            *last = label.number.max(*last);
        }
        if let Some(due) = self.due.get_mut(label) {
            due.remove(&group.map_or(Target::Session(session), Target::Shared));
            if due.is_empty() {
                self.due.remove(label);
            }
        }
    }
}
