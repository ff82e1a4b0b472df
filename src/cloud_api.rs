//! Topics, envelopes and the four messages of the remote log, as JSON that real devices write.
//!
//! Keys are in the order of the recordings (replies and events) or of DJI's samples (the rest): a struct's
//! fields are declared in that order, and serde writes them so.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::secret::{Secret, exposed};

/// `thing/product/{gateway}/services`: commands to the dock.
pub fn services(gateway: &str) -> String {
    format!("thing/product/{gateway}/services")
}

/// `thing/product/{gateway}/services_reply`: the dock's answers.
pub fn services_reply(gateway: &str) -> String {
    format!("thing/product/{gateway}/services_reply")
}

/// `thing/product/{gateway}/events`: what the dock tells of its own accord.
pub fn events(gateway: &str) -> String {
    format!("thing/product/{gateway}/events")
}

/// `sys/product/{gateway}/status`: the dock's topology, the first thing that a backend hears of it.
pub fn status(gateway: &str) -> String {
    format!("sys/product/{gateway}/status")
}

/// `fileupload_list`: which logs are there?
pub const LIST: &str = "fileupload_list";
/// `fileupload_start`: upload these.
pub const START: &str = "fileupload_start";
/// `fileupload_update`: cancel, which is the only update ever published.
pub const UPDATE: &str = "fileupload_update";
/// `fileupload_progress`: how far the upload is, from the dock.
pub const PROGRESS: &str = "fileupload_progress";
/// `update_topo`: a dock and its aircraft.
pub const UPDATE_TOPO: &str = "update_topo";

/// `live_set_quality`: one of the commands that a dock in flight gets all the time.
pub const QUALITY: &str = "live_set_quality";

/// Whose logs: the aircraft's or the dock's. On the wire `"0"` and `"3"`, the device domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Module {
    /// Module `"0"`.
    #[serde(rename = "0")]
    Aircraft,
    /// Module `"3"`.
    #[serde(rename = "3")]
    Dock,
}

impl Module {
    /// The module as it stands in a message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aircraft => "0",
            Self::Dock => "3",
        }
    }

    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aircraft => "aircraft",
            Self::Dock => "dock",
        }
    }
}

/// A command or a device's request, keys in the order of DJI's sample of `fileupload_start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<D> {
    /// One business across many messages; a reply and the events that follow repeat it.
    pub bid: String,
    /// One transaction; its reply repeats it.
    pub tid: String,
    /// The sender's clock, milliseconds since the epoch. DJI's sample of `fileupload_update` lacks it.
    #[serde(default)]
    pub timestamp: u64,
    /// What is asked for.
    pub method: String,
    /// The method's own fields.
    pub data: D,
}

/// An answer, keys in the order recorded from a Dock 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply<D> {
    /// The request's.
    pub bid: String,
    /// The method's own fields.
    pub data: D,
    /// The request's.
    pub method: String,
    /// The request's.
    pub tid: String,
    /// The sender's clock, milliseconds since the epoch.
    pub timestamp: u64,
    /// Absent in replies recorded from docks, empty in DJI's samples; a broker that answers may fill it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// An event, keys in the order recorded from a Dock 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event<D> {
    /// That of the command which began the business.
    pub bid: String,
    /// The method's own fields.
    pub data: D,
    /// What is told.
    pub method: String,
    /// 1 if the dock wants an answer on `events_reply`; 0 for `fileupload_progress`.
    #[serde(default)]
    pub need_reply: u8,
    /// New for each event.
    pub tid: String,
    /// The dock's clock, milliseconds since the epoch.
    pub timestamp: u64,
    /// The dock's serial number.
    pub gateway: String,
}

/// What the ends of a conversation match on, without the method's own fields.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// See [`Request::tid`].
    pub tid: String,
    /// See [`Request::bid`].
    pub bid: String,
    /// See [`Request::method`].
    pub method: String,
}

/// `data` that is a result code only: 0, or a six-digit code of DJI's error page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultCode {
    /// 0 if it went well.
    pub result: i64,
}

/// `data` of a `fileupload_list` command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRequest {
    /// Whose logs are wanted.
    pub module_list: Vec<Module>,
}

/// `data` of a `fileupload_list` reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// One entry a module.
    pub files: Vec<ListedModule>,
    /// 0 if it went well.
    pub result: i64,
}

/// One module's logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedModule {
    /// The device that the logs are of.
    pub device_sn: String,
    /// One entry a start of that device.
    pub list: Vec<Boot>,
    /// Whose logs these are.
    pub module: Module,
    /// 0 if this module's list could be read.
    pub result: i64,
}

/// The log from one start of a device to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Which start.
    pub boot_index: u32,
    /// Milliseconds since the epoch.
    pub end_time: u64,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since the epoch.
    pub start_time: u64,
}

/// `data` of a `fileupload_start` command: the fields of DJI's sample, and those that v1.3 added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRequest {
    /// The object store's bucket.
    pub bucket: String,
    /// What the dock signs its upload with.
    pub credentials: Credentials,
    /// The object store's address.
    pub endpoint: String,
    /// A prefix for the keys; from v1.2, still sent by DJI's demo backend.
    pub file_store_dir: String,
    /// `text_log`, from v1.2, still sent by DJI's demo backend.
    pub file_type: String,
    /// What to upload.
    pub params: StartParams,
    /// `ali`, `aws` or `minio`.
    pub provider: String,
    /// The object store's region.
    pub region: String,
}

/// A short-lived key to the object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The key's name.
    #[serde(with = "exposed")]
    pub access_key_id: Secret,
    /// The key.
    #[serde(with = "exposed")]
    pub access_key_secret: Secret,
    /// Milliseconds since the epoch.
    pub expire: u64,
    /// The session's token.
    #[serde(with = "exposed")]
    pub security_token: Secret,
}

/// `data.params` of a `fileupload_start` command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartParams {
    /// One entry a module.
    pub files: Vec<StartFile>,
}

/// One module's archive to be made and uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFile {
    /// The device that the logs are of.
    pub device_sn: String,
    /// The logs wanted.
    pub list: Vec<BootIndex>,
    /// Whose logs.
    pub module: Module,
    /// Where the archive goes in the bucket; a progress event calls it `key`.
    pub object_key: String,
}

/// One log, by the start that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootIndex {
    /// See [`Boot::boot_index`].
    pub boot_index: u32,
}

/// `data` of a `fileupload_update` command. A cancel names modules, neither a bid nor a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRequest {
    /// `cancel`.
    pub status: String,
    /// Whose uploads to end.
    pub module_list: Vec<Module>,
}

/// `data` of a `fileupload_progress` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How far all is.
    pub output: ProgressOutput,
    /// 0, or the code of what went wrong.
    #[serde(default)]
    pub result: i64,
}

/// `data.output` of a `fileupload_progress` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressOutput {
    /// How far each module is.
    pub ext: ProgressExt,
    /// Of the whole upload: `in_progress`, `ok`, `failed`, `canceled`, …
    pub status: String,
}

/// `data.output.ext` of a `fileupload_progress` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressExt {
    /// One entry a module.
    pub files: Vec<ProgressFile>,
}

/// One module's archive on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressFile {
    /// Whose logs.
    pub module: Module,
    /// The archive's bytes.
    pub size: u64,
    /// The device that the logs are of.
    pub device_sn: String,
    /// The start's `object_key`.
    pub key: String,
    /// The archive's digest, 32 hexadecimal digits; empty until the archive exists.
    pub fingerprint: String,
    /// How far it is.
    pub progress: FileProgress,
}

/// How far one module's archive is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProgress {
    /// From 1.
    pub current_step: u32,
    /// How many there are.
    pub total_step: u32,
    /// Percent of the current step.
    pub progress: u32,
    /// Milliseconds since the epoch; 0 until the file has ended.
    pub finish_time: u64,
    /// Bytes a second (the unit is not documented; backends read it so).
    pub upload_rate: u64,
    /// 0, or the code of what went wrong with this file.
    pub result: i64,
    /// `file_pull`, `file_zip`, `file_uploading`, `ok`, `failed`, `canceled`, …
    pub status: String,
}

/// `data` of `update_topo`: what stands behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// The device type: 3 is Dock 3.
    #[serde(rename = "type")]
    pub kind: u32,
    /// The variant of the type.
    pub sub_type: u32,
    /// The aircraft, or nothing while it is off.
    pub sub_devices: Vec<SubDevice>,
}

/// One device behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubDevice {
    /// Its serial number.
    pub sn: String,
    /// `0` is an aircraft.
    pub domain: String,
    /// The device type: 100 is Matrice 4D.
    #[serde(rename = "type")]
    pub kind: u32,
    /// The variant of the type: 1 is Matrice 4TD.
    pub sub_type: u32,
}

/// The JSON of a message.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    serde_json::to_vec(message).expect("structs of text and numbers always have a JSON form")
}

/// Reads a message.
///
/// # Errors
/// If it is not JSON of that shape.
pub fn decode<M: DeserializeOwned>(payload: &[u8]) -> Result<M, serde_json::Error> {
    serde_json::from_slice(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_its_keys_in_the_recorded_order_and_no_gateway() {
        let reply = Reply {
            bid: "b".into(),
            data: ResultCode { result: 0 },
            method: START.into(),
            tid: "t".into(),
            timestamp: 1,
            gateway: None,
        };
        assert_eq!(
            String::from_utf8(encode(&reply)).unwrap(),
            r#"{"bid":"b","data":{"result":0},"method":"fileupload_start","tid":"t","timestamp":1}"#
        );
    }

    #[test]
    fn an_event_has_its_keys_in_the_recorded_order() {
        let event = Event {
            bid: "b".into(),
            data: Progress {
                output: ProgressOutput { ext: ProgressExt { files: vec![] }, status: "ok".into() },
                result: 0,
            },
            method: PROGRESS.into(),
            need_reply: 0,
            tid: "t".into(),
            timestamp: 1,
            gateway: "g".into(),
        };
        assert_eq!(
            String::from_utf8(encode(&event)).unwrap(),
            r#"{"bid":"b","data":{"output":{"ext":{"files":[]},"status":"ok"},"result":0},"method":"fileupload_progress","need_reply":0,"tid":"t","timestamp":1,"gateway":"g"}"#
        );
    }

    #[test]
    fn the_published_cancel_without_a_timestamp_is_read() {
        let sample =
            br#"{"method":"fileupload_update","tid":"t","bid":"b","data":{"status":"cancel","module_list":["0","3"]}}"#;
        let request: Request<UpdateRequest> = decode(sample).unwrap();
        assert_eq!(request.timestamp, 0);
        assert_eq!(request.data.module_list, [Module::Aircraft, Module::Dock]);
    }
}
