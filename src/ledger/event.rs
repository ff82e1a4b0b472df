//! What the ledger is told: a message that has been read, borrowed from its payload.

use super::module::{Module, Slots};
use super::status::Status;

/// A keyed hash of a start's `data`, to tell a retry from another start without keeping anything of
/// it: the whole of `data` counts, the credentials too, and none of it can be read back. The key is
/// the hook's; while it stays the same, over a restart too, so do the digests.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digest(pub u64);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest")
    }
}

/// A message about a gateway's uploads.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// The client that sent it.
    pub client: &'a str,
    /// That client is connected and says it now: it is not its will.
    pub is_here: bool,
    /// The transaction; empty if absent.
    pub tid: &'a str,
    /// The business; empty if absent.
    pub bid: &'a str,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says.
#[derive(Debug, Clone)]
pub enum Body<'a> {
    /// `fileupload_list`, down.
    List,
    /// `fileupload_start`, down.
    Start(Start<'a>),
    /// `fileupload_update` with `status: cancel`, down: the modules to cancel.
    Cancel(Slots),
    /// `fileupload_list`, up.
    ListReply(ListReply<'a>),
    /// `fileupload_start`, up: `data.result`, if there is one. A reply with one that cannot be read is
    /// no reply.
    StartReply(Option<i64>),
    /// `fileupload_update`, up: `data.result`, if there is one.
    CancelReply(Option<i64>),
    /// A reply that does not name its method; the tid tells.
    UnnamedReply(ListReply<'a>),
    /// `fileupload_progress`, up.
    Progress(Progress<'a>),
    /// An event that does not name its method; it is progress if its bid is known.
    UnnamedEvent(Progress<'a>),
}

impl Body<'_> {
    /// Whether the gateway says it, not the cloud.
    #[must_use]
    pub fn is_from_gateway(&self) -> bool {
        !matches!(self, Body::List | Body::Start(_) | Body::Cancel(_))
    }
}

/// What a start asks for.
#[derive(Debug, Clone, Default)]
pub struct Start<'a> {
    /// The digest of its `data`; none if it cannot be told from another start, which makes every
    /// such start a new one.
    pub digest: Option<Digest>,
    /// One entry a module.
    pub files: Vec<StartFile<'a>>,
    /// The message can be read in more than one way (a key twice): it takes the whole gateway.
    pub ambiguous: bool,
}

/// One module's part of a start.
#[derive(Debug, Clone)]
pub struct StartFile<'a> {
    /// Whose logs.
    pub module: Module,
    /// Where the archive goes; empty before Cloud API 1.3.
    pub object_key: &'a str,
    /// The device; empty if absent.
    pub device_sn: &'a str,
}

/// What a list reply says.
#[derive(Debug, Clone, Default)]
pub struct ListReply<'a> {
    /// `data.result`
    pub result: Option<i64>,
    /// One entry a module.
    pub modules: Vec<ListedModule<'a>>,
}

/// One module's part of a list reply.
#[derive(Debug, Clone)]
pub struct ListedModule<'a> {
    /// Whose logs.
    pub module: Module,
    /// The device; empty if blank.
    pub device_sn: &'a str,
    /// This module's own result.
    pub result: Option<i64>,
    /// The files that can be uploaded, as far as they were read.
    pub files: Vec<ListedFile>,
    /// How many the dock named.
    pub offered: usize,
}

/// A file that a dock offers to upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ListedFile {
    /// Which power cycle it is from.
    pub boot_index: Option<i64>,
    /// Start, in ms since the epoch by the device's clock.
    pub start_time: Option<i64>,
    /// End, in ms since the epoch by the device's clock.
    pub end_time: Option<i64>,
    /// Bytes.
    pub size: Option<i64>,
}

impl ListedFile {
    pub(crate) fn says_something(&self) -> bool {
        [self.boot_index, self.start_time, self.end_time, self.size].iter().any(Option::is_some)
    }
}

/// What a progress event says.
#[derive(Debug, Clone, Default)]
pub struct Progress<'a> {
    /// `data.result`; most samples have none.
    pub result: Option<i64>,
    /// `data.output.status` as it was written; empty if absent.
    pub status: &'a str,
    /// One entry a module.
    pub files: Vec<ProgressFile<'a>>,
    /// A hash of the whole payload: what is sent again has the same.
    pub content: u64,
}

impl Progress<'_> {
    /// Whether it says that its upload is over.
    pub(crate) fn is_over(&self) -> bool {
        let is_over = |word| Status::read(word).outcome().is_some();
        match Status::read(self.status) {
            Status::Absent => !self.files.is_empty() && self.files.iter().all(|file| is_over(file.status)),
            status => status.outcome().is_some(),
        }
    }
}

/// One module's part of a progress event. Numbers are absent if they could not be read.
#[derive(Debug, Clone)]
pub struct ProgressFile<'a> {
    /// Whose logs.
    pub module: Module,
    /// The device; empty if blank.
    pub device_sn: &'a str,
    /// The object key; empty if absent.
    pub key: &'a str,
    /// The file's fingerprint; empty if absent.
    pub fingerprint: &'a str,
    /// The file's status as it was written; empty if absent.
    pub status: &'a str,
    /// Bytes.
    pub size: Option<i64>,
    /// 0 to 100, of the current step.
    pub progress: Option<i64>,
    /// From 1.
    pub current_step: Option<i64>,
    /// How many steps there are.
    pub total_step: Option<i64>,
    /// Unit not published; probably bytes a second.
    pub upload_rate: Option<f64>,
    /// In ms since the epoch by the device's clock; means something only at the end.
    pub finish_time: Option<i64>,
    /// Not 0 is a fault of this file; only the status says whether it is over.
    pub result: Option<i64>,
}
