//! What can be seen of the ledger from outside: copies, with ages instead of moments.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::codes::meaning;
use super::event::ListedFile;
use super::gateway::{Ended, Gateway, Listed, RefusedStart};
use super::rules::Now;
use super::status::{Outcome, State};
use super::table::Ledger;
use super::upload::{File, Upload};

/// A gateway. All ages are in milliseconds.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct GatewayView {
    /// The serial number, from the topic.
    pub gateway: String,
    /// Whether the client that speaks for it is there; false if none is known.
    pub present: bool,
    /// How long it has been gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_ms: Option<u64>,
    /// Since the last message about it.
    pub age_ms: u64,
    /// Starts refused, in all.
    pub refused: u64,
    /// The last starts that were refused, or would have been, the last first. Only where one gateway is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusals: Option<Vec<RefusalView>>,
    /// What is running: at most one upload in a slot.
    pub running: Vec<UploadView>,
    /// How many ended uploads are remembered.
    pub ended: usize,
    /// Ended uploads, the last first. Only where one gateway is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<UploadView>>,
    /// The last list of each module.
    pub listed: Vec<ListedView>,
}

/// A start that found its slot taken.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RefusalView {
    /// Since then.
    pub age_ms: u64,
    /// The client that sent it.
    pub client: String,
    /// Its business.
    pub bid: String,
    /// The state of the upload that had the slot: `pending`, `active` or `cancelling`.
    pub state: &'static str,
    /// It was let through, because the policy is `observe`.
    pub would: bool,
}

/// An upload.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UploadView {
    /// Unique, ascending; over restarts too, where the ledger outlives them.
    pub id: u64,
    /// The gateway's serial number.
    pub gateway: String,
    /// `pending`, `active`, `cancelling` or `ended`.
    pub state: &'static str,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The code it ended with; while it runs, the one of its last progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// What that code means, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
    /// The slots it takes while it runs: `aircraft`, `dock` or `both`.
    pub slots: &'static str,
    /// Its start was not seen.
    pub adopted: bool,
    /// Since its start.
    pub age_ms: u64,
    /// Since the dock last gave a sign of it.
    pub heard_ms: u64,
    /// Since its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// `output.status` as last written; empty if the last event had none.
    pub status: String,
    /// How often the same start came again.
    pub retries: u64,
    /// The names it was started under.
    pub aliases: Vec<AliasView>,
    /// One a module.
    pub files: Vec<FileView>,
}

/// One sending of a start.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AliasView {
    /// The transaction.
    pub tid: String,
    /// The business.
    pub bid: String,
    /// The dock's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<i64>,
    /// What the answer means, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
}

/// One module's archive.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FileView {
    /// `"0"` aircraft, `"3"` dock.
    pub module: String,
    /// The device's serial number; empty if it was never said.
    pub device_sn: String,
    /// The object key.
    pub key: String,
    /// The fingerprint.
    pub fingerprint: String,
    /// The status as last written.
    pub status: String,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The dock accepted a cancel of it.
    pub cancelling: bool,
    /// Bytes.
    pub size: Option<i64>,
    /// 0 to 100, of the current step.
    pub progress: Option<i64>,
    /// From 1.
    pub current_step: Option<i64>,
    /// How many steps there are; some docks do not say.
    pub total_step: Option<i64>,
    /// 0 to 100 over all steps, where the dock says how many there are.
    pub overall: Option<f64>,
    /// As reported; its unit is not published.
    pub upload_rate: Option<f64>,
    /// By the device's clock, in ms since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<i64>,
    /// Not 0 is a fault of this file.
    pub result: Option<i64>,
    /// What the result means, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
}

/// The last list of one module.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListedView {
    /// `"0"` aircraft, `"3"` dock.
    pub module: String,
    /// The device's serial number: for the dock's module the gateway's, where the reply leaves it blank.
    pub device_sn: String,
    /// The module's own result.
    pub result: Option<i64>,
    /// What it means, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
    /// How many files the dock named.
    pub offered: usize,
    /// Since the reply.
    pub age_ms: u64,
    /// The files, up to `max_listed_files`. Only where one gateway is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<ListedFile>>,
}

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

    /// Looks at one gateway after the other, so that none has to wait for the looking at many.
    fn for_each(&self, mut look: impl FnMut(&Arc<str>, &Gateway)) {
        let gateways: Vec<Arc<str>> = self.gateways.iter().map(|entry| Arc::clone(entry.key())).collect();
        for gateway in gateways {
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
        let holder = self.gateways.iter().find(|entry| {
            let mut all = entry.running.iter().chain(entry.history.iter().map(|ended| &ended.upload));
            all.any(|upload| upload.id == id)
        });
        // Its lock must be gone before it is taken again.
        let gateway = holder.map(|entry| Arc::clone(entry.key()))?;
        self.upload_of(&gateway, id, now)
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

fn gateway_view(gateway: &str, state: &Gateway, in_full: bool, now: Now) -> GatewayView {
    let history = || state.history.iter().rev().map(|ended| ended_view(gateway, ended, now)).collect();
    GatewayView {
        gateway: gateway.to_owned(),
        present: state.is_present(),
        gone_ms: state.gone().map(|at| now.since(at)),
        age_ms: now.since(state.touched),
        refused: state.refused,
        refusals: in_full.then(|| state.refusals.iter().rev().map(|refused| refusal_view(refused, now)).collect()),
        running: uploads_of(gateway, state, now).collect(),
        ended: state.history.len(),
        history: in_full.then(history),
        listed: state.listed.iter().map(|listed| listed_view(gateway, listed, in_full, now)).collect(),
    }
}

fn refusal_view(refused: &RefusedStart, now: Now) -> RefusalView {
    RefusalView {
        age_ms: now.since(refused.at),
        client: refused.client.to_string(),
        bid: refused.bid.to_string(),
        state: refused.state.as_str(),
        would: refused.let_through,
    }
}

fn uploads_of(gateway: &str, state: &Gateway, now: Now) -> impl Iterator<Item = UploadView> {
    state.running.iter().map(move |upload| upload_view(gateway, upload, upload.state.as_str(), now))
}

fn ended_view(gateway: &str, ended: &Ended, now: Now) -> UploadView {
    UploadView {
        outcome: Some(ended.outcome),
        code: ended.code,
        meaning: ended.code.and_then(meaning),
        ended_ms: Some(now.since(ended.at)),
        ..upload_view(gateway, &ended.upload, "ended", now)
    }
}

fn upload_view(gateway: &str, upload: &Upload, state: &'static str, now: Now) -> UploadView {
    let aliases = upload.aliases.iter().map(|alias| AliasView {
        tid: alias.tid.to_string(),
        bid: alias.bid.to_string(),
        result: alias.result,
        meaning: alias.result.and_then(meaning),
    });
    UploadView {
        id: upload.id,
        gateway: gateway.to_owned(),
        state,
        outcome: None,
        code: upload.result,
        meaning: upload.result.and_then(meaning),
        slots: upload.slots.as_str(),
        adopted: upload.adopted,
        age_ms: now.since(upload.begun),
        heard_ms: now.since(upload.heard),
        ended_ms: None,
        status: upload.status.to_string(),
        retries: upload.retries,
        aliases: aliases.collect(),
        files: upload.files.iter().map(|file| file_view(gateway, upload.state, file)).collect(),
    }
}

fn file_view(gateway: &str, state: State, file: &File) -> FileView {
    FileView {
        module: file.module.as_str().to_owned(),
        device_sn: device(gateway, &file.module, &file.device_sn),
        key: file.key.to_string(),
        fingerprint: file.fingerprint.to_string(),
        status: file.status.to_string(),
        outcome: file.over,
        cancelling: file.over.is_none() && (file.cancelling.is_some() || state == State::Cancelling),
        size: file.size,
        progress: file.progress,
        current_step: file.current_step,
        total_step: file.total_step,
        overall: overall(file),
        upload_rate: file.upload_rate,
        finish_time: file.finish_time,
        result: file.result,
        meaning: file.result.and_then(meaning),
    }
}

/// `((current_step − 1) · 100 + progress) / total_step`, as the demo backend computes it; it dies
/// where `total_step` is missing.
#[allow(clippy::cast_precision_loss)]
fn overall(file: &File) -> Option<f64> {
    let total = file.total_step.filter(|total| *total > 0)? as f64;
    let done = (file.current_step? as f64 - 1.0).max(0.0) * 100.0 + file.progress? as f64;
    Some((done / total).clamp(0.0, 100.0))
}

fn listed_view(gateway: &str, listed: &Listed, in_full: bool, now: Now) -> ListedView {
    ListedView {
        module: listed.module.as_str().to_owned(),
        device_sn: device(gateway, &listed.module, &listed.device_sn),
        result: listed.result,
        meaning: listed.result.and_then(meaning),
        offered: listed.offered,
        age_ms: now.since(listed.at),
        files: in_full.then(|| listed.files.clone()),
    }
}

/// The dock's own serial number is the gateway's where the message leaves it blank.
fn device(gateway: &str, module: &super::Module, said: &str) -> String {
    let is_dock = *module == super::Module::Dock;
    if said.is_empty() && is_dock { gateway.to_owned() } else { said.to_owned() }
}
