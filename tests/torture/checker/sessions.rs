//! Sessions and their subscriptions.

use std::collections::BTreeMap;

use super::{Checker, Flaw};
use crate::label::Name;

/// What is known of a client's session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) persistent: bool,
    began: bool,
    /// Something was acknowledged to it that cannot be kept without it.
    durable: bool,
    /// By filter, as it was subscribed to.
    pub(crate) subscriptions: BTreeMap<Name, Subscription>,
    /// Whether it ever unsubscribed.
    pub(crate) changes: bool,
}

/// What is known of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// SUBSCRIBE or UNSUBSCRIBE is on its way: it may hold or not.
    Unknown,
    /// Granted with this QoS when the history had so many facts.
    Held { qos: u8, since: usize },
    /// Ended when the history had so many facts.
    Left { since: usize },
}

impl Subscription {
    /// The QoS, if it holds now and did when the history had so many facts.
    pub(crate) fn held_since(self, sent: usize) -> Option<u8> {
        match self {
            Subscription::Held { qos, since } if since <= sent => Some(qos),
            _ => None,
        }
    }

    /// Whether a message that was sent then may come by it.
    pub(crate) fn may_bring(self, sent: usize) -> bool {
        !matches!(self, Subscription::Left { since } if since <= sent)
    }
}

impl Checker {
    pub(super) fn connected(&mut self, name: &Name, persistent: bool, present: bool) {
        let session = self.sessions.entry(name.clone()).or_default();
        session.persistent = persistent;
        if present && (!session.began || !persistent) {
            self.flaws.push(Flaw::SessionInvented(name.clone()));
        }
        if !present && session.durable {
            self.flaws.push(Flaw::SessionLost(name.clone()));
        }
        session.began = true;
        if !present {
            session.durable = false;
            // Said once: what follows from it need not be.
            session.subscriptions.clear();
        }
    }

    pub(super) fn is_durable(&mut self, session: &Name) {
        let session = self.sessions.entry(session.clone()).or_default();
        session.durable = session.persistent;
    }

    pub(super) fn asked(&mut self, session: &Name, filter: &Name) {
        let session = self.sessions.entry(session.clone()).or_default();
        session.subscriptions.insert(filter.clone(), Subscription::Unknown);
    }

    /// What persistent sessions asked for and were not answered.
    pub(super) fn unanswered(&self) -> Vec<Flaw> {
        let persistent = self.sessions.iter().filter(|(_, session)| session.persistent);
        let unknown = persistent.flat_map(|(name, session)| {
            let unknown = session.subscriptions.iter().filter(|(_, held)| **held == Subscription::Unknown);
            unknown.map(|(filter, _)| Flaw::Unanswered { session: name.clone(), filter: filter.clone() })
        });
        unknown.collect()
    }

    pub(super) fn granted(&mut self, name: &Name, filter: &Name, qos: u8) {
        self.is_durable(name);
        let session = self.sessions.entry(name.clone()).or_default();
        session.subscriptions.insert(filter.clone(), Subscription::Held { qos, since: self.now });
        if qos > 2 {
            self.flaws.push(Flaw::WrongGrant { session: name.clone(), filter: filter.clone(), qos });
        }
    }

    pub(super) fn leaving(&mut self, session: &Name, filter: &Name) {
        self.asked(session, filter);
        self.sessions.entry(session.clone()).or_default().changes = true;
    }

    pub(super) fn left(&mut self, session: &Name, filter: &Name) {
        self.is_durable(session);
        let session = self.sessions.entry(session.clone()).or_default();
        session.subscriptions.insert(filter.clone(), Subscription::Left { since: self.now });
    }
}

/// Group and filter of a shared subscription; else the filter alone.
pub(crate) fn shared(filter: &str) -> (Option<&str>, &str) {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    shared.map_or((None, filter), |(group, filter)| (Some(group), filter))
}

/// Whether a topic filter, without its group, matches (4.7.1).
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}
