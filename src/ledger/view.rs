//! What can be seen of the ledger from outside: copies, with ages instead of moments.

use serde::Serialize;
use utoipa::ToSchema;

use super::codes::meaning;
use super::event::ListedFile;
use super::gateway::Gateway;
use super::remembered::{Ended, Listed, RefusedStart};
use super::rules::Now;
use super::status::{Outcome, State};
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
    /// The code that it was answered with, if it was not let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
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

pub(super) fn gateway_view(gateway: &str, state: &Gateway, in_full: bool, now: Now) -> GatewayView {
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
        code: refused.code,
        would: refused.let_through,
    }
}

fn uploads_of(gateway: &str, state: &Gateway, now: Now) -> impl Iterator<Item = UploadView> {
    state.running.iter().map(move |upload| upload_view(gateway, upload, upload.state.as_str(), now))
}

pub(super) fn ended_view(gateway: &str, ended: &Ended, now: Now) -> UploadView {
    UploadView {
        outcome: Some(ended.outcome),
        code: ended.code,
        meaning: ended.code.and_then(meaning),
        ended_ms: Some(now.since(ended.at)),
        ..upload_view(gateway, &ended.upload, "ended", now)
    }
}

pub(super) fn upload_view(gateway: &str, upload: &Upload, state: &'static str, now: Now) -> UploadView {
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
