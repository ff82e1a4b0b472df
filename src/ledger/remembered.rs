//! What a gateway remembers beside what is running on it.

use serde::{Deserialize, Serialize};

use super::event::ListedFile;
use super::module::{Module, Slots};
use super::observation::Method;
use super::record::is_default;
use super::rules::Now;
use super::status::{EndedBy, Outcome, State};
use super::upload::Upload;

/// An upload that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// Its place in the order of all endings.
    pub(crate) place: u64,
    pub(crate) upload: Upload,
    pub(crate) outcome: Outcome,
    pub(crate) by: EndedBy,
    pub(crate) code: Option<i64>,
    pub(crate) at: Now,
}

/// A list or cancel request that went down.
#[derive(Debug, Clone, Hash, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) tid: Box<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) bid: Box<str>,
    /// For a cancel: of which modules.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) modules: Slots,
    /// For a cancel: the dock agreed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) accepted: bool,
}

/// The last list of one module.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) module: Module,
    pub(crate) device_sn: Box<str>,
    pub(crate) result: Option<i64>,
    pub(crate) files: Vec<ListedFile>,
    /// How many the dock named, kept or not.
    pub(crate) offered: usize,
    pub(crate) at: Now,
}

/// A start that found its slot taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RefusedStart {
    pub(crate) at: Now,
    /// Who sent it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) client: Box<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) bid: Box<str>,
    /// The state of the upload that had the slot.
    pub(crate) state: State,
    /// What it was answered with; none if it was let through.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) code: Option<i64>,
    /// `Policy::Observe` let it through.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) let_through: bool,
}
