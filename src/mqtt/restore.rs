//! Sessions and retained messages as they were before a restart.

use super::broker::Broker;
use super::client::Client;
use super::delivery::{Delivery, Number};
use super::inflight::Noted;
use super::session::{Session, SessionRecord, State, Subscription, SubscriptionRecord};
use super::terms::{Terms, Will};
use super::topic::{self, Filter};
use crate::access::{Identity, Reading};
use crate::message::{Message, NEVER};
use crate::metrics::Version;
use crate::route::Subscriber;
use crate::store::{Entry, SavedMessage, SavedSession};
use bytestring::ByteString;
use std::sync::Arc;

/// What a restart brought back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Sessions.
    pub sessions: usize,
    /// Their subscriptions.
    pub subscriptions: usize,
    /// Messages that wait for them, or are on their way to them.
    pub messages: usize,
    /// Retained messages.
    pub retained: usize,
}

/// A record that cannot be used, though the store could read it.
#[derive(Debug, thiserror::Error)]
#[error("the store's record of {what} cannot be used: {source}")]
pub struct Unusable {
    what: String,
    source: serde_json::Error,
}

impl Broker {
    /// Takes up the sessions and retained messages of the store. To be called once, before anybody connects.
    ///
    /// Sessions that were connected when the broker ended are without a connection from now on: their expiry and the delay
    /// of their wills begin now. Who may not connect any more by the present rules has none.
    ///
    /// # Errors
    /// [`Unusable`]: a record is not what this version writes.
    pub fn restore(
        self: &Arc<Self>,
        sessions: Vec<SavedSession>,
        retained: Vec<Message>,
    ) -> Result<Restored, Unusable> {
        let now = self.clock.now_ms();
        let mut restored = Restored { retained: retained.len(), ..Restored::default() };
        self.retained.restore(retained, now);
        for saved in sessions {
            restored.sessions += 1;
            restored.subscriptions += saved.subscriptions.len();
            restored.messages += saved.messages.len();
            let session = self.restore_session(saved, now)?;
            self.recheck(&session);
        }
        Ok(restored)
    }

    fn restore_session(&self, saved: SavedSession, now: u64) -> Result<Arc<Session>, Unusable> {
        let SavedSession { session: key, record, will, subscriptions, messages, received } = saved;
        let unusable = |what: String| move |source| Unusable { what, source };
        let record: SessionRecord = serde_json::from_slice(&record).map_err(unusable(format!("session {key}")))?;
        let client = self.client_of(&record);
        let will = will.map(|will| Will {
            message: will.message,
            expiry: will.expiry,
            publisher: key,
            delay_ms: will.delay_ms,
        });
        let terms = Terms {
            // The next CONNECT says which.
            version: Version::V5,
            expiry_ms: record.expiry_ms.unwrap_or(NEVER),
            window: record.window,
            max_packet_size: 0,
            topic_alias_max: 0,
            will,
        };
        let session = Arc::new(Session::new(key, self.common.clone(), client, terms));
        self.owners.add(&session.state().client.identity.username);
        for (filter, record) in subscriptions {
            let what = || format!("the subscription of {:?} to {filter:?}", session.client_id());
            let record: SubscriptionRecord = serde_json::from_slice(&record).map_err(unusable(what()))?;
            self.restore_subscription(&session, filter.into(), record);
        }
        {
            let mut state = session.state();
            let group = |state: &State, entry: &Entry| {
                state.subscriptions.get(entry.shared.as_ref()?).and_then(|subscription| subscription.group.clone())
            };
            let (mut queued, mut noted) = (Vec::new(), Vec::new());
            for (number, message) in messages {
                match message {
                    SavedMessage::Released(id) => noted.push((id, Noted::Released(Number::new(number)))),
                    SavedMessage::Queued(entry) => {
                        let group = group(&state, &entry);
                        queued.push(Delivery { group, ..Delivery::kept(number, entry) });
                    }
                    SavedMessage::Sent(id, entry) => {
                        let group = group(&state, &entry);
                        noted.push((id, Noted::Sent(Delivery { group, ..Delivery::kept(number, entry) })));
                    }
                }
            }
            session.restore(&mut state, queued, noted, &received, record.offline_since.is_none());
            self.await_client(&session, &mut state, record.offline_since.unwrap_or(now).min(now));
            if record.offline_since.is_none() {
                session.keep_record(&state, Some(now));
            }
        }
        self.sessions.insert(session.client_id().clone(), session.clone());
        Ok(session)
    }

    fn client_of(&self, record: &SessionRecord) -> Client {
        let username: Option<ByteString> = record.username.as_deref().map(Into::into);
        let proof = self.access.proof_of(username.as_deref(), record.by_certificate);
        let identity = Identity {
            client_id: record.client_id.as_str().into(),
            username,
            listener_role: record.listener_role,
            proof,
        };
        let rights = self.access.rights(&identity);
        Client::new(identity, rights, self.limits.clone())
    }

    fn restore_subscription(&self, session: &Arc<Session>, text: ByteString, record: SubscriptionRecord) {
        // Limits may have been lowered; what was granted stays, unless it is no filter at all by them.
        let Ok(filter) = Filter::parse(&text, self.topic_limits()) else {
            session.forget_subscription(&text);
            return;
        };
        let mut options = record.options();
        let rights = session.state().client.rights.clone();
        options.partial = rights.reading(filter.filter) != Reading::All;
        let group = filter.group.map(|name| self.join_group(name, filter.filter, &text, session, options));
        let is_shared = group.is_some();
        let subscription = Subscription { options, overlapped: false, group };
        let overlapped = {
            let mut state = session.state();
            let overlapped = !is_shared && !filter.is_wildcard() && state.wildcard_matches(filter.filter);
            state.subscriptions.insert(text.clone(), Subscription { overlapped, ..subscription });
            overlapped
        };
        if !is_shared {
            let subscriber: Arc<dyn Subscriber> = session.clone();
            self.route.subscribe(filter.filter, &subscriber, options, overlapped);
            self.note_dock(filter.filter, session);
            if topic::has_wildcard(filter.filter) {
                self.mark_overlaps(session, filter.filter);
            }
        }
    }
}
