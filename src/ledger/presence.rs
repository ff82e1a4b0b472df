//! Which gateways are present through which client.
//!
//! A dock's client id is its serial number by custom, not by rule. So a gateway is present through
//! the client with that id, which is a look-up by name, and through the client that last spoke as
//! the gateway, which is what stands here. 10,000 docks that reconnect at once cost two look-ups
//! each.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

/// Longest client id that presence is followed for. Longer ones are allowed by MQTT, up to 64 KiB.
const MAX_CLIENT_ID: usize = 256;

type Spoken = HashMap<Arc<str>, HashSet<Arc<str>, ahash::RandomState>, ahash::RandomState>;

/// The gateways that a client last spoke for. Only clients that speak under another name than the
/// gateway's serial number are here: bridges, and docks with an id of another kind.
///
/// Each gateway is in at most one set. It may be called with a gateway's lock held and takes no
/// other lock.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<Spoken>);

impl Presence {
    /// `client` is now the one that speaks for `gateway`. Returns the id as it is kept, if it is.
    pub(crate) fn speaks(
        &self,
        client: &str,
        gateway: &Arc<str>,
        before: Option<&Arc<str>>,
    ) -> Option<Arc<str>> {
        let mut spoken = self.0.lock();
        if let Some(before) = before {
            forget(&mut spoken, before, gateway);
        }
        if client.len() > MAX_CLIENT_ID {
            return None;
        }
        let client = match spoken.get_key_value(client) {
            Some((kept, _)) => Arc::clone(kept),
            None => Arc::from(client),
        };
        spoken
            .entry(Arc::clone(&client))
            .or_default()
            .insert(Arc::clone(gateway));
        Some(client)
    }

    /// `gateway` is forgotten.
    pub(crate) fn forget(&self, client: &Arc<str>, gateway: &Arc<str>) {
        forget(&mut self.0.lock(), client, gateway);
    }

    /// The gateways that `client` speaks for.
    pub(crate) fn of(&self, client: &str) -> Vec<Arc<str>> {
        self.0
            .lock()
            .get(client)
            .map(|gateways| gateways.iter().cloned().collect())
            .unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().values().map(HashSet::len).sum()
    }
}

fn forget(spoken: &mut Spoken, client: &Arc<str>, gateway: &Arc<str>) {
    if let Entry::Occupied(mut entry) = spoken.entry(Arc::clone(client)) {
        entry.get_mut().remove(gateway);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_present_through_the_client_that_spoke_last() {
        let presence = Presence::default();
        let gateway: Arc<str> = "SN1".into();
        let first = presence
            .speaks("bridge-1", &gateway, None)
            .expect("short enough");
        let second = presence
            .speaks("bridge-2", &gateway, Some(&first))
            .expect("short enough");
        assert!(presence.of("bridge-1").is_empty());
        assert_eq!(presence.of("bridge-2"), [Arc::clone(&gateway)]);
        presence.forget(&second, &gateway);
        assert_eq!(presence.len(), 0);
    }

    #[test]
    fn a_client_id_of_64_kib_is_not_kept() {
        let presence = Presence::default();
        assert!(
            presence
                .speaks(&"x".repeat(65_535), &"SN1".into(), None)
                .is_none()
        );
        assert_eq!(presence.len(), 0);
    }
}
