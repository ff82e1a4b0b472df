//! Messages of a dock and its backend: the seven of the remote log as small as they can be, as the protocol page shows
//! them ([`seed`]), and as they are in practice.

use serde_json::{Value, json};

/// The shape of a Dock 3's serial number.
pub(crate) const GATEWAY: &str = "8UUXN000000001";

pub(crate) const LIST: &[u8] = br#"{"method":"fileupload_list","tid":"t","bid":"b","data":{"module_list":["3"]}}"#;
pub(crate) const LIST_REPLY: &[u8] =
    br#"{"method":"fileupload_list","tid":"t","bid":"b","data":{"result":0,"files":[]}}"#;
pub(crate) const START: &[u8] = br#"{"method":"fileupload_start","tid":"t","bid":"b","data":{"params":{"files":[]}}}"#;
pub(crate) const START_REPLY: &[u8] = br#"{"method":"fileupload_start","tid":"t","bid":"b","data":{"result":0}}"#;
pub(crate) const UPDATE: &[u8] =
    br#"{"method":"fileupload_update","tid":"t","bid":"b","data":{"status":"cancel","module_list":["3"]}}"#;
pub(crate) const UPDATE_REPLY: &[u8] = br#"{"method":"fileupload_update","tid":"t","bid":"b","data":{"result":0}}"#;
pub(crate) const PROGRESS: &[u8] =
    br#"{"method":"fileupload_progress","tid":"t","bid":"b","data":{"output":{"status":"ok"}}}"#;

/// The samples of the protocol page.
pub(crate) mod seed {
    pub(crate) const LIST: &[u8] = include_bytes!("../../tests/seed/fileupload_list.json");
    pub(crate) const LIST_REPLY: &[u8] = include_bytes!("../../tests/seed/fileupload_list_reply.json");
    pub(crate) const START: &[u8] = include_bytes!("../../tests/seed/fileupload_start.json");
    pub(crate) const START_REPLY: &[u8] = include_bytes!("../../tests/seed/fileupload_start_reply.json");
    pub(crate) const UPDATE: &[u8] = include_bytes!("../../tests/seed/fileupload_update.json");
    pub(crate) const UPDATE_REPLY: &[u8] = include_bytes!("../../tests/seed/fileupload_update_reply.json");
    pub(crate) const PROGRESS: &[u8] = include_bytes!("../../tests/seed/fileupload_progress.json");
}

/// Stands in a message where a number of eight digits is to change from one to the next.
const CHANGING: &str = "@@@@@@@@";

/// Bytes whose changing number counts up, so that none is the repetition of the one before.
pub(crate) struct Changing {
    bytes: Vec<u8>,
    places: Vec<usize>,
    number: u64,
}

impl Changing {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let places = memchr::memmem::find_iter(&bytes, CHANGING).collect();
        Self { bytes, places, number: 0 }
    }

    pub(crate) fn next(&mut self) -> &[u8] {
        self.number += 1;
        let mut rest = self.number;
        for digit in (0..CHANGING.len()).rev() {
            for place in &self.places {
                self.bytes[place + digit] = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
        }
        &self.bytes
    }
}

fn tid() -> String {
    format!("7b1d6f2e-3f05-4c3a-9d8e-2a54{CHANGING}")
}

fn bid() -> &'static str {
    "1c9a4f3b-96b7-4c85-8d52-31f5a0e6c7d2"
}

fn object_key(serial: &str) -> String {
    format!("{}/{serial}/log.tar", bid())
}

fn bytes(message: &Value) -> Vec<u8> {
    message.to_string().into_bytes()
}

/// The sample of the protocol page, with the newer `object_key`; the security token is as long as those of object stores.
pub(crate) fn start() -> Vec<u8> {
    bytes(&json!({
        "bid": bid(),
        "data": {
            "bucket": "stg-dji-service-hz-ksd7",
            "credentials": {
                "access_key_id": "STS.access_key_id", "access_key_secret": "access_key_secret",
                "expire": 1_659_432_522_000_u64, "security_token": format!("{CHANGING}{}", "s".repeat(1_000)),
            },
            "endpoint": "https://oss-cn-hangzhou.aliyuncs.com",
            "params": { "files": [{
                "list": [{ "boot_index": 321 }, { "boot_index": 322 }], "module": "3", "object_key": object_key(GATEWAY),
            }] },
            "provider": "ali",
        },
        "method": "fileupload_start", "tid": tid(), "timestamp": 1_659_429_523_120_u64,
    }))
}

/// The dock's refusal of it.
pub(crate) fn rejection() -> Vec<u8> {
    bytes(&json!({
        "bid": bid(), "data": { "result": 324_015 }, "method": "fileupload_start", "tid": tid(), "timestamp": 0,
    }))
}

/// The sample of the protocol page: one file of the aircraft, one of the dock; 0.8 KB.
pub(crate) fn progress() -> Vec<u8> {
    let file = |module: &str, serial: &str| {
        json!({
            "device_sn": serial, "fingerprint": "4f65b891f3bc09bdb6d4c36a996b532d", "key": object_key(serial),
            "module": module,
            "progress": {
                "current_step": 19, "finish_time": 0, "progress": 40, "result": 0, "status": "file_uploading",
                "total_step": 30, "upload_rate": 5_000,
            },
            "size": 155_232,
        })
    };
    let files = [file("0", "1581F000000000000001"), file("3", GATEWAY)];
    bytes(&json!({
        "bid": bid(), "data": { "output": { "ext": { "files": files }, "status": "in_progress" } },
        "gateway": GATEWAY, "method": "fileupload_progress", "need_reply": 0, "tid": tid(),
        "timestamp": 1_655_781_395_926_u64,
    }))
}

/// A request for the lists of both modules.
pub(crate) fn list() -> Vec<u8> {
    bytes(&json!({
        "bid": bid(), "data": { "module_list": ["0", "3"] }, "method": "fileupload_list", "tid": tid(), "timestamp": 0,
    }))
}

/// A reply with 380 logs of each module: 64 KiB.
pub(crate) fn long_list_reply() -> Vec<u8> {
    let boot = |index: u32| {
        json!({
            "boot_index": index, "start_time": 1_654_070_968_655_u64, "end_time": 1_659_427_398_806_u64, "size": 33_789,
        })
    };
    let module = |module: &str, serial: &str| {
        let list: Vec<_> = (0..380).map(boot).collect();
        json!({ "device_sn": serial, "list": list, "module": module, "result": 0 })
    };
    let reply = bytes(&json!({
        "bid": bid(), "data": { "files": [module("0", "1581F000000000000001"), module("3", GATEWAY)], "result": 0 },
        "gateway": "", "method": "fileupload_list", "tid": tid(), "timestamp": 0,
    }));
    assert!((60 << 10..68 << 10).contains(&reply.len()), "{} bytes", reply.len());
    reply
}

/// An event with this method, or none, and so many telemetry-like members in its `data` that it has about this size.
pub(crate) fn event(method: Option<&str>, size: usize) -> Vec<u8> {
    let mut message = json!({ "bid": "b", "data": {}, "gateway": GATEWAY, "tid": "t" });
    if let Some(method) = method {
        message["method"] = json!(method);
    }
    for i in 0.. {
        if message.to_string().len() >= size {
            break;
        }
        message["data"][format!("wind_speed_{i}")] = json!(3.25);
    }
    bytes(&message)
}
