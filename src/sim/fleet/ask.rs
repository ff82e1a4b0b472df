//! The commands of a backend, and how it reads the answers: tolerant of every quirk, as a backend has to be.

use serde::Serialize;
use serde_json::Value;

use crate::cloud_api::{
    self, BootIndex, Credentials, ListRequest, Module, Request, ResultCode, StartFile, StartParams, StartRequest,
    UpdateRequest,
};
use crate::secret::Secret;

/// A kind of command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Command {
    /// One of those that a dock in flight gets all the time.
    #[serde(rename = "live_set_quality")]
    Quality,
    #[serde(rename = "fileupload_list")]
    List,
    #[serde(rename = "fileupload_start")]
    Start,
    #[serde(rename = "fileupload_update")]
    Cancel,
}

impl Command {
    pub(super) const ALL: [Self; 4] = [Self::Quality, Self::List, Self::Start, Self::Cancel];

    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Quality => cloud_api::QUALITY,
            Self::List => cloud_api::LIST,
            Self::Start => cloud_api::START,
            Self::Cancel => cloud_api::UPDATE,
        }
    }
}

/// A command to a dock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) dock: u32,
    pub(super) bid: String,
    pub(super) what: What,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Quality,
    List,
    /// Upload these, as [`logs`] read them.
    Start(Vec<StartFile>),
    Cancel,
}

/// About as long as the token of a security token service (DOMAIN facts: 1 to 2 KB). It opens nothing.
const TOKEN: usize = 1200;
/// When the token expires, milliseconds since the epoch: no clock, so that the same seed gives the same bytes.
const EXPIRE: u64 = 1_893_456_000_000;

impl Ask {
    pub(super) fn command(&self) -> Command {
        match self.what {
            What::Quality => Command::Quality,
            What::List => Command::List,
            What::Start(_) => Command::Start,
            What::Cancel => Command::Cancel,
        }
    }

    /// The message.
    pub(super) fn encode(&self, tid: String, now_ms: u64) -> Vec<u8> {
        let method = self.command().method().to_owned();
        let both = vec![Module::Aircraft, Module::Dock];
        fn request<D: Serialize>(ask: &Ask, tid: String, timestamp: u64, method: String, data: D) -> Vec<u8> {
            cloud_api::encode(&Request { bid: ask.bid.clone(), tid, timestamp, method, data })
        }
        match &self.what {
            What::Quality => request(self, tid, now_ms, method, ResultCode { result: 0 }),
            What::List => request(self, tid, now_ms, method, ListRequest { module_list: both }),
            What::Cancel => {
                let cancel = UpdateRequest { status: "cancel".to_owned(), module_list: both };
                request(self, tid, now_ms, method, cancel)
            }
            What::Start(files) => request(self, tid, now_ms, method, start(files.clone())),
        }
    }
}

fn start(files: Vec<StartFile>) -> StartRequest {
    StartRequest {
        bucket: "dock-logs".to_owned(),
        credentials: Credentials {
            access_key_id: Secret::from("simulated-key"),
            access_key_secret: Secret::from("simulated-secret"),
            expire: EXPIRE,
            security_token: Secret::new(vec![b'x'; TOKEN]),
        },
        endpoint: "http://minio.example:9000".to_owned(),
        file_store_dir: "simulate".to_owned(),
        file_type: "text_log".to_owned(),
        params: StartParams { files },
        provider: "minio".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

/// A reply's result, or none if it has none.
pub(super) fn result(reply: &Value) -> Option<i64> {
    reply["data"]["result"].as_i64()
}

/// All logs of the reply to a list, to be uploaded for the business with this bid.
pub(super) fn logs(reply: &Value, bid: &str) -> Vec<StartFile> {
    let files = reply["data"]["files"].as_array().into_iter().flatten();
    let file = |listed: &Value| {
        let module = match number(&listed["module"])? {
            0 => Module::Aircraft,
            3 => Module::Dock,
            _ => return None,
        };
        let boots = listed["list"].as_array()?.iter().filter_map(|boot| number(&boot["boot_index"]));
        Some(StartFile {
            device_sn: listed["device_sn"].as_str().unwrap_or_default().to_owned(),
            list: boots.filter_map(|boot| Some(BootIndex { boot_index: boot.try_into().ok()? })).collect(),
            module,
            object_key: format!("simulate/{bid}/{}.tar", module.name()),
        })
    };
    files.filter_map(file).collect()
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Percent of its last file.
    Percent(u32),
    Ok,
    Canceled,
    /// With this code.
    Failed(i64),
}

/// What a progress event says. None if it cannot be read.
pub(super) fn told(event: &Value) -> Option<Told> {
    let data = &event["data"];
    let output = &data["output"];
    match output["status"].as_str()? {
        "ok" => Some(Told::Ok),
        "canceled" => Some(Told::Canceled),
        "failed" | "rejected" | "timeout" => Some(Told::Failed(data["result"].as_i64().unwrap_or(0))),
        _ => {
            let progress = &output["ext"]["files"].as_array()?.last()?["progress"];
            // Only what is sent counts: before, the steps of pulling and packing are at 0.
            let percent = number(&progress["progress"]).or_else(|| number(&progress["prgress"]))?;
            Some(Told::Percent(u32::try_from(percent).ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fault::misspell;
    use crate::sim::{Plan, firmware::Firmware};
    use std::time::Duration;

    const NOW: u64 = 1_780_000_000_000;

    fn ask(what: What) -> Vec<u8> {
        Ask { dock: 0, bid: "b".to_owned(), what }.encode("t".to_owned(), NOW)
    }

    #[test]
    fn an_upload_is_asked_for_and_followed_whether_the_dock_can_spell_or_not() {
        for spelled in [|message: Vec<u8>| message, |message: Vec<u8>| misspell(&message)] {
            let mut dock = Firmware::new(Plan::from_seed(1, NOW));
            let read = |message: Vec<u8>| -> Value { serde_json::from_slice(&spelled(message)).unwrap() };
            let list = read(dock.command(&ask(What::List), NOW).unwrap());
            let files = logs(&list, "bid");
            assert_eq!((files.len(), files[0].list.len(), files[1].list.len()), (2, 3, 2));
            let reply = read(dock.command(&ask(What::Start(files)), NOW).unwrap());
            assert_eq!(result(&reply), Some(0));
            let told: Vec<Told> = (0..600)
                .map_while(|_| dock.advance(Duration::from_millis(100), NOW))
                .map(|event| told(&read(cloud_api::encode(&event))).unwrap())
                .collect();
            assert_eq!((told[0], told.last()), (Told::Percent(0), Some(&Told::Ok)));
            assert!(told.iter().any(|told| matches!(told, Told::Percent(40..=60))), "{told:?}");
        }
    }
}
