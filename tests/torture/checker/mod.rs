//! Whether a history is one that a broker which forgets nothing can have caused.
//!
//! The checker takes the facts one by one. What must never happen it notices at once; what must happen in the end
//! (every acknowledged message received) is [`Checker::due`] until it has. What may be lost is left out: whatever was
//! not acknowledged, and whatever clean sessions receive.

mod flaw;
mod messages;
mod retained;
mod sessions;
#[cfg(test)]
mod tests;
mod uploads;

pub(crate) use flaw::Flaw;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::fact::{Fact, Kind};
use crate::label::{Label, Name};
use messages::{Message, Order, Target};
use retained::Topic;
use sessions::Session;
use uploads::Gateway;

/// The state of the check.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// What is wrong.
    pub(crate) flaws: Vec<Flaw>,
    /// How many facts it has seen.
    now: usize,
    sessions: HashMap<Name, Session>,
    messages: HashMap<Label, Message>,
    /// Who has yet to receive what.
    due: BTreeMap<Label, BTreeSet<Target>>,
    /// What its publisher has not completed.
    open: BTreeSet<Label>,
    order: Order,
    retained: HashMap<Name, Topic>,
    gateways: HashMap<Name, Gateway>,
}

impl Checker {
    /// Takes the next fact.
    pub(crate) fn see(&mut self, fact: &Fact) {
        match fact {
            Fact::Listening(_) | Fact::Killed(_) => {}
            Fact::Connected { session, persistent, present } => self.connected(session, *persistent, *present),
            Fact::Asked { session, filter, .. } => self.asked(session, filter),
            Fact::Granted { session, filter, qos } => self.granted(session, filter, *qos),
            Fact::Leaving { session, filter } => self.leaving(session, filter),
            Fact::Left { session, filter } => self.left(session, filter),
            Fact::Sent { label, topic, qos, kind } => self.sent(label, topic, *qos, kind),
            Fact::Acked(label) => self.acked(label),
            Fact::Completed(label) if self.is_conflict(label) => {}
            Fact::Completed(label) | Fact::Tried(label) => {
                self.open.remove(label);
            }
            Fact::Refused(label, code) => self.refused(label, *code),
            Fact::Received { session, label, topic, qos } => self.received(session, label, topic, *qos),
            Fact::Swapped { session, first, second } => {
                self.flaws.push(Flaw::Swapped {
                    session: session.clone(),
                    first: first.clone(),
                    label: second.clone(),
                });
            }
            Fact::Garbled { session, what } => {
                self.flaws.push(Flaw::Garbled { session: session.clone(), what: what.clone() });
            }
            Fact::Retained { topic, began, found } => self.saw_retained(topic, *began, found.as_ref()),
            Fact::Gateway { gateway, began, running, ended } => self.saw_gateway(gateway, *began, running, ended),
        }
        self.now += 1;
    }

    /// Whether all that was begun has come to its end, and all that has to be received has been.
    pub(crate) fn is_settled(&self) -> bool {
        self.due.is_empty() && self.open.is_empty() && self.unanswered().is_empty()
    }

    /// Nothing more will come: what is due is lost.
    pub(crate) fn finish(&mut self) {
        for (label, targets) in std::mem::take(&mut self.due) {
            let lost =
                targets.into_iter().map(|target| Flaw::Lost { label: label.clone(), target: target.to_string() });
            self.flaws.extend(lost);
        }
        let unanswered = self.unanswered();
        self.flaws.extend(unanswered);
        self.flaws.extend(std::mem::take(&mut self.open).into_iter().map(Flaw::Unfinished));
    }

    fn sent(&mut self, label: &Label, topic: &Name, qos: u8, kind: &Kind) {
        self.messages.insert(label.clone(), Message::new(topic, qos, kind, self.now));
        match kind {
            Kind::Plain | Kind::Conflict { .. } => {}
            Kind::Retained { deletes } => {
                self.retained.entry(topic.clone()).or_default().sent(label.number, *deletes);
            }
            Kind::Upload { gateway, step } => {
                self.gateways.entry(gateway.clone()).or_default().sent(label, step);
            }
        }
        self.open.insert(label.clone());
    }

    fn acked(&mut self, label: &Label) {
        let Some(message) = self.messages.get_mut(label) else { return };
        let (topic, qos, kind, now) = (message.topic.clone(), message.qos, message.kind.clone(), self.now);
        match &kind {
            Kind::Conflict { told: false } => return,
            Kind::Conflict { told: true } => return self.flaws.push(Flaw::Passed(label.clone())),
            Kind::Plain => {}
            Kind::Retained { .. } => self.retained.entry(topic).or_default().acked(label.number, now),
            Kind::Upload { gateway, .. } => self.gateways.entry(gateway.clone()).or_default().acked(label, now),
        }
        if qos == 2 {
            self.is_durable(&label.publisher);
        }
        self.becomes_due(label);
    }

    fn refused(&mut self, label: &Label, code: u8) {
        self.open.remove(label);
        if !self.is_conflict(label) || code != 0x97 {
            self.flaws.push(Flaw::Refused(label.clone(), code));
        }
    }

    fn is_conflict(&self, label: &Label) -> bool {
        self.messages.get(label).is_some_and(|message| matches!(message.kind, Kind::Conflict { .. }))
    }
}
