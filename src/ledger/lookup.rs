//! Looking for gateways and uploads from outside: one lock after the other, so that nobody has to wait for the looking.

use std::sync::Arc;

use super::gateway::Gateway;
use super::remembered::Ended;
use super::rules::Now;
use super::status::Outcome;
use super::table::Ledger;
use super::upload::Upload;
use super::view::{GatewayView, UploadView, ended_view, gateway_view, upload_view};

/// Which uploads to show. By default all.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Those that are running.
    pub running: bool,
    /// Those that have ended and are remembered.
    pub ended: bool,
    /// Only this gateway's.
    pub gateway: Option<&'a str>,
    /// Only those that ended so; empty is any, running ones too.
    pub outcomes: &'a [Outcome],
    /// Only those that ended, or are for the time being, with this code.
    pub code: Option<i64>,
    /// Only those with a smaller id.
    pub before: u64,
    /// At most so many.
    pub limit: usize,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        let (outcomes, code) = (&[][..], None);
        Wanted { running: true, ended: true, gateway: None, outcomes, code, before: u64::MAX, limit: usize::MAX }
    }
}

/// What there was of it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The uploads, up to the limit.
    pub uploads: Vec<UploadView>,
    /// How many there are without the limit.
    pub matching: usize,
}

impl Ledger {
    /// Every gateway by serial number, without history and listed files.
    #[must_use]
    pub fn gateways(&self, now: Now) -> Vec<GatewayView> {
        let mut views = Vec::new();
        self.for_each(|gateway, state| views.push(gateway_view(gateway, state, false, now)));
        views.sort_unstable_by(|a: &GatewayView, b| a.gateway.cmp(&b.gateway));
        views
    }

    /// Every gateway, and whether a client that speaks for it is there.
    #[must_use]
    pub fn presences(&self) -> Vec<(Arc<str>, bool)> {
        let mut presences = Vec::new();
        self.for_each(|gateway, state| presences.push((Arc::clone(gateway), state.is_present())));
        presences
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.gateways.iter().map(|entry| Arc::clone(entry.key())).collect()
    }

    /// Looks at one gateway after the other, so that none has to wait for the looking at many.
    fn for_each(&self, mut look: impl FnMut(&Arc<str>, &Gateway)) {
        for gateway in self.names() {
            if let Some(state) = self.gateways.get(&gateway) {
                look(&gateway, &state);
            }
        }
    }

    /// One gateway with all that is known of it.
    #[must_use]
    pub fn gateway(&self, gateway: &str, now: Now) -> Option<GatewayView> {
        let entry = self.gateways.get(gateway)?;
        Some(gateway_view(gateway, &entry, true, now))
    }

    /// The uploads that are wanted, the last started first. Only those that are shown are copied.
    #[must_use]
    pub fn uploads(&self, wanted: &Wanted<'_>, now: Now) -> Found {
        let mut ids: Vec<(u64, Arc<str>)> = Vec::new();
        let mut collect = |gateway: &Arc<str>, state: &Gateway| {
            let running = state.running.iter().filter(|upload| wanted.takes_running(upload)).map(|upload| upload.id);
            let ended = state.history.iter().filter(|ended| wanted.takes_ended(ended)).map(|ended| ended.upload.id);
            let ids_here = running.chain(ended).filter(|id| *id < wanted.before);
            ids.extend(ids_here.map(|id| (id, Arc::clone(gateway))));
        };
        match wanted.gateway {
            None => self.for_each(&mut collect),
            Some(gateway) => {
                if let Some(entry) = self.gateways.get(gateway) {
                    collect(entry.key(), &entry);
                }
            }
        }
        ids.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        let matching = ids.len();
        ids.truncate(wanted.limit);
        // What is forgotten meanwhile is left out, and what ended meanwhile is shown as ended.
        let uploads = ids.iter().filter_map(|(id, gateway)| self.upload_of(gateway, *id, now));
        Found { uploads: uploads.collect(), matching }
    }

    /// The upload with this id, running or ended, wherever it is.
    #[must_use]
    pub fn upload(&self, id: u64, now: Now) -> Option<UploadView> {
        self.names().iter().find_map(|gateway| self.upload_of(gateway, id, now))
    }

    /// The upload with this id, running or ended, of a gateway.
    #[must_use]
    pub fn upload_of(&self, gateway: &str, id: u64, now: Now) -> Option<UploadView> {
        let state = self.gateways.get(gateway)?;
        match state.running.iter().find(|upload| upload.id == id) {
            Some(upload) => Some(upload_view(gateway, upload, upload.state.as_str(), now)),
            None => Some(ended_view(gateway, state.history.iter().find(|ended| ended.upload.id == id)?, now)),
        }
    }

    /// The running upload of a gateway that was started with this tid, if it runs.
    #[must_use]
    pub fn started_as(&self, gateway: &str, tid: &str, now: Now) -> Option<UploadView> {
        let state = self.gateways.get(gateway)?;
        let upload = state.running.iter().find(|upload| upload.aliases.iter().any(|alias| *alias.tid == *tid))?;
        Some(upload_view(gateway, upload, upload.state.as_str(), now))
    }

    /// The upload that ended at this place in the order of endings, while it is remembered.
    #[must_use]
    pub fn ended_at(&self, gateway: &str, place: u64, now: Now) -> Option<UploadView> {
        let state = self.gateways.get(gateway)?;
        let ended = state.history.iter().rev().find(|ended| ended.place == place)?;
        Some(ended_view(gateway, ended, now))
    }

    /// A gateway without history, refusals and listed files.
    #[must_use]
    pub fn gateway_in_short(&self, gateway: &str, now: Now) -> Option<GatewayView> {
        let entry = self.gateways.get(gateway)?;
        Some(gateway_view(gateway, &entry, false, now))
    }
}

impl Wanted<'_> {
    fn takes_running(&self, upload: &Upload) -> bool {
        self.running && self.outcomes.is_empty() && self.code.is_none_or(|code| upload.result == Some(code))
    }

    fn takes_ended(&self, ended: &Ended) -> bool {
        self.ended
            && (self.outcomes.is_empty() || self.outcomes.contains(&ended.outcome))
            && self.code.is_none_or(|code| ended.code == Some(code))
    }
}
