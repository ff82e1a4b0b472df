//! New access rules, and the clients that were let in by the old ones.

use super::broker::Broker;
use super::link::Kick;
use super::session::Session;
use super::topic::Filter;
use crate::access::{Reading, Standing};
use crate::metrics::Drop;
use crate::route::Subscriber;
use bytestring::ByteString;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;

impl Broker {
    /// Holds every session against the access rules as they are now: who would not be let in any more is disconnected,
    /// what nobody may read any more is unsubscribed and dropped.
    pub fn recheck_all(&self) {
        // Whoever is let in meanwhile by the old rules, and is not among these sessions, sees another number when it has
        // its session.
        self.rules_version.fetch_add(1, Release);
        let sessions: Vec<_> = self.sessions.iter().map(|session| session.clone()).collect();
        for session in &sessions {
            self.recheck(session);
        }
        // Connections look for their rights in their sessions now.
        self.rules_version.fetch_add(1, Release);
    }

    /// Holds one session against the access rules as they are now.
    pub(super) fn recheck(&self, session: &Arc<Session>) {
        let identity = session.state().client.identity.clone();
        let rights = self.access.rights(&identity);
        let standing = self.access.standing(&identity);
        let (subscriptions, dropped) = {
            let mut state = session.state();
            if !Arc::ptr_eq(&state.client.identity, &identity) {
                return; // Who has just come was let in by the new rules.
            }
            state.client.rights = rights.clone();
            if standing == Standing::Gone {
                self.end_soon(session, &mut state);
            }
            if standing != Standing::Good {
                // Who must not speak any more must not speak by its will either.
                state.terms.will = None;
                session.forget_will();
                if let Some(link) = &state.link {
                    link.kick(Kick::NotAuthorized);
                }
            }
            let subscriptions: Vec<_> = state.subscriptions.iter().map(|(f, own)| (f.clone(), own.clone())).collect();
            let dropped = session.drop_unreadable(&mut state);
            session.settle(&mut state);
            (subscriptions, dropped)
        };
        self.metrics.dropped(Drop::NotAuthorized, dropped as u64);
        for (text, own) in subscriptions {
            let Ok(filter) = Filter::parse(&text, self.topic_limits()) else { continue };
            match rights.reading(filter.filter) {
                Reading::Nothing => drop(self.unsubscribe_one(session, &text)),
                reading => self.set_partial(session, &text, own.options.partial, reading == Reading::Some),
            }
        }
    }

    /// Whether each message has to be asked for may have changed.
    fn set_partial(&self, session: &Arc<Session>, text: &ByteString, before: bool, partial: bool) {
        if before == partial {
            return;
        }
        let Some((options, overlapped, group)) = session.state().subscriptions.get_mut(text).map(|own| {
            own.options.partial = partial;
            (own.options, own.overlapped, own.group.clone())
        }) else {
            return;
        };
        match group {
            Some(group) => drop(group.join(session, options)),
            None => {
                let subscriber: Arc<dyn Subscriber> = session.clone();
                self.route.subscribe(text, &subscriber, options, overlapped);
            }
        }
    }
}
