//! Through whom gateways are present.
//!
//! A dock's client id is its serial number by custom, not by rule. So a gateway is present through
//! the client with that id, which is a look-up by name and always wins, and else through the client
//! that last spoke as the gateway. Of the latter there is one record a client, which all its gateways
//! share: a bridge of 10,000 docks that reconnects costs a look-up and a step for each upload that is
//! running behind it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::rules::Now;

/// Longest client id that presence is followed for. Longer ones are allowed by MQTT, up to 64 KiB.
const MAX_CLIENT_ID: usize = 256;

/// A client that speaks for gateways under another name than theirs: a bridge, or a dock with an id
/// of another kind.
#[derive(Debug)]
pub(crate) struct Speaker {
    pub(crate) client: Arc<str>,
    /// When it left; 0 while it is here.
    left: AtomicU64,
}

impl Speaker {
    /// Since when it is gone.
    pub(crate) fn gone(&self) -> Option<Now> {
        let left = self.left.load(Ordering::Acquire);
        (left != 0).then_some(Now(left))
    }

    /// It was gone before the restart, at least since then.
    pub(crate) fn was_gone(&self, since: Now) {
        self.left.fetch_max(since.0.max(1), Ordering::AcqRel);
    }

    /// It spoke, so it is here; true if it was taken for gone.
    pub(crate) fn is_here(&self) -> bool {
        self.left.load(Ordering::Acquire) != 0 && self.left.swap(0, Ordering::AcqRel) != 0
    }
}

#[derive(Debug)]
struct Spoken {
    speaker: Arc<Speaker>,
    /// Its gateways with running uploads: those that care at once when it leaves.
    busy: HashSet<Arc<str>, ahash::RandomState>,
}

/// The clients that last spoke for a gateway. Every gateway holds the record of its own, and is busy
/// in at most that one.
///
/// It may be called with a gateway's lock held and takes no other lock.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<HashMap<Arc<str>, Spoken, ahash::RandomState>>);

impl Presence {
    /// The record of a client that speaks for a gateway; none if its id is too long.
    pub(crate) fn speaks(&self, client: &str) -> Option<Arc<Speaker>> {
        if client.len() > MAX_CLIENT_ID {
            return None;
        }
        let mut clients = self.0.lock();
        if let Some(spoken) = clients.get(client) {
            return Some(Arc::clone(&spoken.speaker));
        }
        let client: Arc<str> = Arc::from(client);
        let speaker = Arc::new(Speaker { client: Arc::clone(&client), left: AtomicU64::new(0) });
        clients.insert(client, Spoken { speaker: Arc::clone(&speaker), busy: HashSet::default() });
        Some(speaker)
    }

    /// A gateway lets go of its speaker, for whom it is not busy. The last one takes the record along.
    pub(crate) fn release(&self, speaker: Arc<Speaker>) {
        let mut clients = self.0.lock();
        // This one and the map's: records are shared out only under the lock.
        if Arc::strong_count(&speaker) <= 2 {
            clients.remove(&speaker.client);
        }
        drop(speaker);
    }

    /// An upload is running on this gateway.
    pub(crate) fn busy(&self, speaker: &Speaker, gateway: &Arc<str>) {
        if let Some(spoken) = self.0.lock().get_mut(&speaker.client) {
            spoken.busy.insert(Arc::clone(gateway));
        }
    }

    /// No upload is running on it any more.
    pub(crate) fn idle(&self, speaker: &Speaker, gateway: &Arc<str>) {
        if let Some(spoken) = self.0.lock().get_mut(&speaker.client) {
            spoken.busy.remove(gateway);
        }
    }

    /// The client left. Returns its busy gateways.
    pub(crate) fn left(&self, client: &str, now: Now) -> Vec<Arc<str>> {
        let clients = self.0.lock();
        let Some(spoken) = clients.get(client) else {
            return Vec::new();
        };
        if spoken.speaker.gone().is_none() {
            spoken.speaker.left.store(now.0.max(1), Ordering::Release);
        }
        spoken.busy.iter().cloned().collect()
    }

    /// The client came back; true if it was taken for gone. That only puts deadlines off, and they are looked at again
    /// when they come.
    pub(crate) fn back(&self, client: &str) -> bool {
        self.0.lock().get(client).is_some_and(|spoken| spoken.speaker.is_here())
    }

    /// The client's busy gateways.
    pub(crate) fn busy_behind(&self, client: &str) -> Vec<Arc<str>> {
        let clients = self.0.lock();
        clients.get(client).map(|spoken| spoken.busy.iter().cloned().collect()).unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gateways_with_uploads_are_looked_at_when_their_client_leaves() {
        let presence = Presence::default();
        let speaker = presence.speaks("bridge").expect("short enough");
        let others: Vec<_> = (0..10).map(|_| presence.speaks("bridge").expect("short enough")).collect();
        presence.busy(&speaker, &"SN1".into());
        assert_eq!(presence.left("bridge", Now(5)), [Arc::from("SN1")]);
        assert!(others.iter().all(|other| other.gone() == Some(Now(5))));
        presence.idle(&speaker, &"SN1".into());
        assert!(presence.left("bridge", Now(9)).is_empty());
        assert_eq!(speaker.gone(), Some(Now(5)), "it left only once");
        presence.back("bridge");
        assert_eq!(speaker.gone(), None);
        for other in others {
            presence.release(other);
            assert_eq!(presence.len(), 1);
        }
        presence.release(speaker);
        assert_eq!(presence.len(), 0);
    }

    #[test]
    fn a_client_id_of_64_kib_is_not_kept() {
        let presence = Presence::default();
        assert!(presence.speaks(&"x".repeat(65_535)).is_none());
        assert_eq!(presence.len(), 0);
    }
}
