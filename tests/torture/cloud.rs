//! Messages of the Cloud API, as a backend and a dock send them.

use serde_json::{Value, json};

use crate::label::Label;

/// A start of the upload of the dock's own logs.
pub(crate) fn start(tid: &Label, bid: &str) -> Value {
    let data = json!({
        "bucket": "logs", "endpoint": "https://oss-cn-hangzhou.aliyuncs.com", "provider": "ali",
        "credentials": {"access_key_id": "id", "access_key_secret": "secret", "security_token": "t", "expire": 3600},
        "params": {"files": [{"module": "3", "object_key": key(bid), "list": [{"boot_index": 321}]}]}
    });
    envelope(tid, bid, "fileupload_start", &data)
}

/// A request to cancel it.
pub(crate) fn cancel(tid: &Label, bid: &str) -> Value {
    envelope(tid, bid, "fileupload_update", &json!({"status": "cancel", "module_list": ["3"]}))
}

/// The dock's answer to a request. Its tid is the request's, so that its label is beside it.
pub(crate) fn reply(label: &Label, request: &Value, result: i64) -> Value {
    let mut reply = request.clone();
    reply["label"] = json!(label.to_string());
    reply["data"] = json!({"result": result});
    reply
}

/// The dock's report.
pub(crate) fn progress(tid: &Label, bid: &str, percent: u64, status: &str) -> Value {
    let file = json!({
        "module": "3", "size": 155_232, "device_sn": "", "key": key(bid), "fingerprint": "4f65b891f3bc09bd",
        "progress": {"current_step": 1, "total_step": 1, "progress": percent, "finish_time": 0, "upload_rate": 1000,
                     "result": 0, "status": status}
    });
    envelope(tid, bid, "fileupload_progress", &json!({"output": {"status": status, "ext": {"files": [file]}}}))
}

fn key(bid: &str) -> String {
    format!("{bid}/3.tar")
}

fn envelope(tid: &Label, bid: &str, method: &str, data: &Value) -> Value {
    json!({
        "tid": tid.to_string(), "bid": bid, "timestamp": 1_659_429_523_120_i64, "method": method, "data": data
    })
}
