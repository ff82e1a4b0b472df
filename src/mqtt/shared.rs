//! Shared subscriptions: `$share/{group}/{filter}` (MQTT 5, 4.8.2; here for MQTT 3 clients too, as in other brokers).
//!
//! A group is one subscriber to its filter, and passes each message to one of its members. Two filters of one group
//! name are two groups.

use super::delivery::Delivery;
use super::session::{Readiness, Session};
use crate::message::Message;
use crate::route::{Delivered, Options, Pressure, Subscriber, Via};
use bytestring::ByteString;
use parking_lot::Mutex;
use std::sync::Arc;

/// The sessions that share one subscription.
#[derive(Debug)]
pub(super) struct Group {
    key: u64,
    /// As it is subscribed to: `$share/{group}/{filter}`.
    filter: ByteString,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<(Arc<Session>, Options)>,
    next: usize,
}

impl Group {
    pub(super) fn new(key: u64, filter: ByteString) -> Self {
        Self { key, filter, members: Mutex::default() }
    }

    /// As it is subscribed to: `$share/{group}/{filter}`.
    pub(super) fn filter(&self) -> &ByteString {
        &self.filter
    }

    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// Adds a member, or changes its options; whether it is new.
    pub(super) fn join(&self, session: &Arc<Session>, options: Options) -> bool {
        let mut members = self.members.lock();
        if let Some((_, present)) = members.list.iter_mut().find(|(member, _)| member.key() == session.key()) {
            *present = options;
            return false;
        }
        members.list.push((session.clone(), options));
        true
    }

    /// Removes a member; whether the group is empty now.
    pub(super) fn leave(&self, session: u64) -> bool {
        let mut members = self.members.lock();
        members.list.retain(|(member, _)| member.key() != session);
        members.list.is_empty()
    }

    /// The next member in turn of those who may read the message: one that is connected and has room; else one that is
    /// connected; else any.
    fn choose(&self, message: &Message) -> Option<(Arc<Session>, Options)> {
        let mut members = self.members.lock();
        let count = members.list.len();
        let may_take = |at: &usize| {
            let (session, options) = &members.list[*at];
            !options.partial || session.state().may_take(&[*options], message)
        };
        let in_turn = (0..count).map(|n| (members.next + n) % count).filter(may_take);
        let mut best = None;
        for at in in_turn {
            let readiness = members.list[at].0.readiness();
            if best.is_none_or(|(other, _)| readiness < other) {
                best = Some((readiness, at));
            }
            // Mostly the first: the others need not be asked.
            if readiness == Readiness::Ready {
                break;
            }
        }
        let (_, chosen) = best?;
        members.next = (chosen + 1) % count;
        Some(members.list[chosen].clone())
    }

    /// Gives a message to the next member. If another one has had it, it is `promised` to its publisher.
    pub(super) fn pass(self: &Arc<Self>, message: &Message, promised: bool) -> Delivered {
        while let Some((session, options)) = self.choose(message) {
            // No Local is not for groups (MQTT-3.8.3-4).
            let Some(mut delivery) = Delivery::of(message, &[options], false) else { break };
            delivery.group = Some(self.clone());
            match session.deliver_shared(delivery, promised) {
                Ok(delivered) => return delivered,
                // It has ended since it was chosen.
                Err(_) => drop(self.leave(session.key())),
            }
        }
        Delivered::default()
    }
}

/// A group as the route sees it.
#[derive(Debug)]
pub(super) struct SharedSubscriber(pub(super) Arc<Group>);

impl Subscriber for SharedSubscriber {
    fn key(&self) -> u64 {
        self.0.key
    }

    /// A member that is behind is passed over as long as there is another.
    fn pressure(&self, _: bool) -> Option<Pressure> {
        None
    }

    /// Any of its members may be one that the store keeps.
    fn is_direct(&self) -> bool {
        true
    }

    fn deliver(&self, messages: &[Message], _: &[Options], _: Via) -> Delivered {
        messages.iter().fold(Delivered::default(), |all, message| all.and(self.0.pass(message, false)))
    }
}
