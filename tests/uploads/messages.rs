//! The messages of a remote log upload, as a backend and a dock send them.

use serde_json::{Value, json};

pub(crate) const GATEWAY: &str = "4TADK7E0000003";
/// What no eye but the dock's may see.
pub(crate) const SECRETS: [&str; 3] = ["STS.access_key_id", "access_key_secret_value", "security_token_value"];

pub(crate) fn topic(kind: &str) -> String {
    format!("thing/product/{GATEWAY}/{kind}")
}

/// `fileupload_start` of these modules' logs to an object of this name.
pub(crate) fn start(id: &str, object: &str, modules: &[&str]) -> Value {
    let files: Vec<Value> = modules
        .iter()
        .map(|module| {
            json!({"module": module, "object_key": format!("{object}/{module}.tar"), "list": [{"boot_index": 321}]})
        })
        .collect();
    json!({
        "tid": format!("tid-{id}"), "bid": format!("bid-{id}"), "timestamp": 1_659_429_523_120_i64,
        "method": "fileupload_start",
        "data": {
            "bucket": "logs", "endpoint": "https://oss-cn-hangzhou.aliyuncs.com", "provider": "ali",
            "credentials": {
                "access_key_id": SECRETS[0], "access_key_secret": SECRETS[1], "security_token": SECRETS[2],
                "expire": 1_659_432_522_000_i64
            },
            "params": {"files": files}
        }
    })
}

pub(crate) fn other(method: &str, id: &str, data: &Value) -> Value {
    json!({
        "tid": format!("tid-{id}"), "bid": format!("bid-{id}"), "timestamp": 1_659_429_523_120_i64,
        "method": method, "data": data
    })
}

/// The reply of the dock to a request.
pub(crate) fn reply(request: &Value, result: i64) -> Value {
    let mut reply = request.clone();
    reply["gateway"] = json!("");
    reply["data"] = json!({"result": result});
    reply
}

/// `fileupload_progress` for one file of module 3.
pub(crate) fn progress(id: &str, object: &str, percent: u8, status: &str) -> Value {
    json!({
        "tid": format!("tid-progress-{id}-{percent}-{status}"), "bid": format!("bid-{id}"),
        "timestamp": 1_655_781_395_926_i64, "method": "fileupload_progress", "need_reply": 0, "gateway": GATEWAY,
        "data": {"output": {"status": status, "ext": {"files": [{
            "module": "3", "size": 155_232, "device_sn": GATEWAY, "key": format!("{object}/3.tar"),
            "fingerprint": "4f65b891f3bc09bdb6d4c36a996b532d",
            "progress": {"current_step": 1, "total_step": 1, "progress": percent, "finish_time": 0,
                         "upload_rate": 1000, "result": 0, "status": status}
        }]}}}
    })
}
