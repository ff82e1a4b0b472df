//! What the store keeps of a session that outlives its connection.
//!
//! Every change is put into the store where it happens, under the session's lock. Whoever must not tell its client of it
//! before it is safe gets a [`Ticket`].

use super::{Session, State};
use crate::access::{Identity, Proof, Role};
use crate::message::QoS;
use crate::mqtt::client::Client;
use crate::mqtt::delivery::{Delivery, Ids, Number};
use crate::mqtt::inflight::{InFlight, Noted};
use crate::mqtt::terms::{Terms, Will};
use crate::route::Options;
use crate::store::{self, Entry, Ticket};
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::atomic::Ordering::Relaxed;

/// A session in the store, without what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::mqtt) struct SessionRecord {
    pub(in crate::mqtt) client_id: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::mqtt) username: Option<String>,
    /// A certificate has proved the user name, not a password.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::mqtt) by_certificate: bool,
    /// The role that its listener gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::mqtt) listener_role: Option<Role>,
    /// How long it outlives its connection, in milliseconds; none is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::mqtt) expiry_ms: Option<u64>,
    /// When its connection ended, in milliseconds since the epoch; none while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::mqtt) offline_since: Option<u64>,
    /// Messages of QoS 1 and 2 that may be on their way to the client.
    pub(in crate::mqtt) window: usize,
}

impl SessionRecord {
    fn of(client: &Client, terms: &Terms, offline_since: Option<u64>) -> Self {
        let Identity { client_id, username, listener_role, proof } = &*client.identity;
        Self {
            client_id: client_id.to_string(),
            username: username.as_ref().map(ToString::to_string),
            by_certificate: *proof == Proof::Certificate,
            listener_role: *listener_role,
            expiry_ms: (terms.expiry_ms != u64::MAX).then_some(terms.expiry_ms),
            offline_since,
            window: terms.window,
        }
    }
}

/// A subscription in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::mqtt) struct SubscriptionRecord {
    qos: u8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_local: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retain_as_published: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<NonZeroU32>,
}

impl SubscriptionRecord {
    fn of(options: &Options) -> Self {
        let Options { qos, no_local, retain_as_published, id, partial: _ } = *options;
        Self { qos: qos.value(), no_local, retain_as_published, id }
    }

    /// The options; whether it may read only a part of what its filter matches is for the access rules to say.
    pub(in crate::mqtt) fn options(self) -> Options {
        let Self { qos, no_local, retain_as_published, id } = self;
        let qos = QoS::try_from(qos).unwrap_or(QoS::ExactlyOnce);
        Options { qos, no_local, retain_as_published, id, partial: false }
    }
}

impl Delivery {
    pub(in crate::mqtt) fn entry(&self) -> Entry {
        Entry {
            message: self.message.clone(),
            qos: self.qos,
            retain: self.retain,
            ids: self.ids.as_slice().into(),
            shared: self.group.as_ref().map(|group| group.filter().clone()),
        }
    }

    /// A delivery as it was kept, but for its group.
    pub(in crate::mqtt) fn kept(number: u64, entry: Entry) -> Self {
        let Entry { message, qos, retain, ids, shared: _ } = entry;
        Self { message, ids: Ids::of(&ids), group: None, number: Number::new(number), qos, retain }
    }
}

impl From<&Will> for store::Will {
    fn from(will: &Will) -> Self {
        Self { message: will.message.clone(), expiry: will.expiry, delay_ms: will.delay_ms }
    }
}

impl Session {
    /// Whether the store keeps it.
    pub(in crate::mqtt) fn is_durable(&self) -> bool {
        self.durable.load(Relaxed)
    }

    /// The session has new terms: it is kept if it outlives its connection. Once it does not, it never does again.
    pub(super) fn keep_by_terms(&self, state: &State) -> Ticket {
        if !self.is_durable() {
            return Ticket::NONE;
        }
        if state.terms.expiry_ms == 0 {
            return self.forget_all();
        }
        let will = state.terms.will.as_ref().map(store::Will::from);
        // The session first: whatever the store has of one, it has the session's own record.
        let kept = self.keep_record(state, None);
        kept.max(self.common.store.put_will(self.key, will))
    }

    /// The session itself has changed.
    pub(in crate::mqtt) fn keep_record(&self, state: &State, offline_since: Option<u64>) -> Ticket {
        if !self.is_durable() {
            return Ticket::NONE;
        }
        let record = SessionRecord::of(&state.client, &state.terms, offline_since);
        self.common.store.put_session(self.key, json(&record))
    }

    /// Its will has been published, or must not be.
    pub(in crate::mqtt) fn forget_will(&self) {
        if self.is_durable() {
            self.common.store.put_will(self.key, None);
        }
    }

    /// The session has ended.
    pub(super) fn forget_all(&self) -> Ticket {
        if !self.durable.swap(false, Relaxed) {
            return Ticket::NONE;
        }
        self.common.store.end_session(self.key)
    }

    /// A subscription has come or changed.
    pub(in crate::mqtt) fn keep_subscription(&self, filter: &ByteString, options: &Options) -> Ticket {
        if !self.is_durable() {
            return Ticket::NONE;
        }
        self.common.store.subscribe(self.key, filter, json(&SubscriptionRecord::of(options)))
    }

    /// A subscription has gone.
    pub(in crate::mqtt) fn forget_subscription(&self, filter: &str) -> Ticket {
        if !self.is_durable() {
            return Ticket::NONE;
        }
        self.common.store.unsubscribe(self.key, filter)
    }

    /// A message waits.
    pub(super) fn keep_message(&self, delivery: &Delivery) -> Ticket {
        if delivery.qos == QoS::AtMostOnce || !self.is_durable() {
            return Ticket::NONE;
        }
        self.common.store.put_message(self.key, delivery.number.get(), delivery.entry())
    }

    /// A message is on its way. Of QoS 2 it must not be before this is safe: sent again under another identifier after a
    /// crash it would be taken for another message.
    pub(super) fn keep_sent(&self, id: NonZeroU16, delivery: &Delivery) -> Ticket {
        let mut ticket = Ticket::NONE;
        if delivery.qos == QoS::ExactlyOnce && self.is_durable() {
            ticket = self.common.store.sent(self.key, delivery.number.get(), id);
        }
        if delivery.message.is_guarded() { ticket.max(self.common.store.latest()) } else { ticket }
    }

    /// The connection has gone: the identifiers of what it leaves behind unacknowledged are noted, so that it is sent again
    /// under the same ones (MQTT-4.4.0-1). As long as it stands they would cost more than they are worth.
    pub(super) fn keep_unacknowledged(&self, state: &State) {
        if self.is_durable() {
            for (id, delivery) in state.inflight.unacknowledged() {
                self.common.store.sent(self.key, delivery.number.get(), id);
            }
        }
    }

    /// The client has a message of QoS 2. PUBREL must not be sent before this is safe: after it the client takes the
    /// message, sent again, for a new one.
    pub(super) fn keep_released(&self, id: NonZeroU16, number: Number) -> Ticket {
        if self.is_durable() { self.common.store.released(self.key, number.get(), id) } else { Ticket::NONE }
    }

    /// Nothing of a message is needed any more.
    pub(super) fn forget_message(&self, number: Number) {
        if self.is_durable() {
            self.common.store.done(self.key, number.get());
        }
    }

    /// The same for a message that may be of QoS 0.
    pub(super) fn forget_delivery(&self, delivery: &Delivery) {
        if delivery.qos != QoS::AtMostOnce {
            self.forget_message(delivery.number);
        }
    }

    /// The client has sent a message of QoS 2. PUBREC must not be sent before this is safe, together with what became of
    /// the message.
    pub(super) fn keep_received(&self, id: NonZeroU16) -> Ticket {
        if self.is_durable() { self.common.store.received(self.key, id) } else { Ticket::NONE }
    }

    /// The client has released it. PUBCOMP must not be sent before this is safe: after it the client uses the identifier
    /// for another message, which would be taken for this one.
    pub(super) fn forget_received(&self, id: NonZeroU16) -> Ticket {
        if self.is_durable() { self.common.store.unreceived(self.key, id) } else { Ticket::NONE }
    }
}

impl Session {
    /// Takes up what waited for the client before a restart, by number. If the broker ended while the client was connected,
    /// the first messages may have been sent: they are sent again as such.
    pub(in crate::mqtt) fn restore(
        &self,
        state: &mut State,
        queued: Vec<Delivery>,
        noted: Vec<(NonZeroU16, Noted)>,
        received: &[NonZeroU16],
        was_connected: bool,
    ) {
        let number = |noted: &Noted| match noted {
            Noted::Sent(delivery) => delivery.number,
            Noted::Released(number) => *number,
        };
        let numbers = queued.iter().map(|delivery| delivery.number).chain(noted.iter().map(|(_, noted)| number(noted)));
        state.number = numbers.map(Number::get).max().unwrap_or(0);
        let may_be_sent = if was_connected { state.terms.window.saturating_sub(noted.len()) } else { 0 };
        let mut queued = queued.into_iter().peekable();
        let mut sent = Vec::new();
        // Of QoS 2 it is noted before it is sent.
        while sent.len() < may_be_sent
            && let Some(delivery) = queued.next_if(|delivery| delivery.qos == QoS::AtLeastOnce)
        {
            sent.push(delivery);
        }
        state.inflight = InFlight::restored(noted, sent);
        queued.for_each(|delivery| state.queue.push(delivery));
        state.received = received.iter().map(|id| id.get()).collect();
        self.settle(state);
    }
}

fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("text, numbers and flags always serialise")
}
