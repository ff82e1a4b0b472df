//! What is sent to a dock.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use uuid::Uuid;

use crate::cloud_api::{self, BootIndex, Credentials, Module, Request, StartFile, StartParams, StartRequest};
use crate::ledger::ListedView;
use crate::object_store::ObjectStore;
use crate::secret::Secret;

/// The logs of one module that are to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whose logs.
    pub module: Module,
    /// Which of them.
    pub boots: Vec<u32>,
}

/// A request with names of its own: tid, bid, and the JSON, in which there may be keys to the object store.
pub(super) fn envelope(method: &str, data: &impl Serialize, now_ms: u64) -> (String, String, Secret) {
    let (tid, bid) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let request = Request { bid: bid.clone(), tid: tid.clone(), timestamp: now_ms, method: method.to_owned(), data };
    let payload = Secret::new(cloud_api::encode(&request));
    (tid, bid, payload)
}

/// Where each module's archive goes: `{prefix}/{gateway}/{time}-{random}/{module}.tar`, so that a list of the bucket is in
/// the order of dock and time, and no two uploads write the same object.
pub(super) fn archive_keys(prefix: &str, gateway: &str, wanted: &[Wanted], now_ms: u64) -> Vec<(Module, String)> {
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(now_ms)).to_string();
    // 2026-05-01T10:02:03Z as 20260501T100203Z, which needs no escapes in URLs.
    let time: String = time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let random = Uuid::new_v4().simple().to_string();
    let folder = [prefix, gateway, &format!("{time}-{}", &random[..8])];
    let folder = folder.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
    wanted.iter().map(|wanted| (wanted.module, format!("{folder}/{}.tar", wanted.module.name()))).collect()
}

/// `data` of a start, with the fields of every version of the Cloud API.
pub(super) fn start(
    store: &ObjectStore,
    credentials: Credentials,
    gateway: &str,
    wanted: &[Wanted],
    keys: &[(Module, String)],
    listed: &[ListedView],
) -> StartRequest {
    let device = |module: Module| match module {
        Module::Dock => gateway.to_owned(),
        Module::Aircraft => {
            let listed = listed.iter().find(|listed| listed.module == module.as_str());
            listed.map(|listed| listed.device_sn.clone()).unwrap_or_default()
        }
    };
    let files = wanted.iter().zip(keys).map(|(wanted, (module, key))| StartFile {
        device_sn: device(*module),
        list: wanted.boots.iter().map(|&boot_index| BootIndex { boot_index }).collect(),
        module: *module,
        object_key: key.clone(),
    });
    let folder = keys.first().and_then(|(_, key)| key.rsplit_once('/')).map_or("", |(folder, _)| folder);
    StartRequest {
        bucket: store.bucket().to_owned(),
        credentials,
        endpoint: store.endpoint(),
        file_store_dir: folder.to_owned(),
        file_type: "text_log".to_owned(),
        params: StartParams { files: files.collect() },
        provider: store.provider().as_str().to_owned(),
        region: store.region().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_dock_time_and_module_and_never_come_again() {
        let wanted =
            [Wanted { module: Module::Dock, boots: vec![1] }, Wanted { module: Module::Aircraft, boots: vec![2] }];
        let keys = archive_keys("logs", "SN1", &wanted, 1_659_427_398_806);
        assert!(keys[0].1.starts_with("logs/SN1/20220802T080318Z-") && keys[0].1.ends_with("/dock.tar"), "{keys:?}");
        assert!(keys[1].1.ends_with("/aircraft.tar"), "{keys:?}");
        assert_ne!(keys, archive_keys("logs", "SN1", &wanted, 1_659_427_398_806));
        assert!(archive_keys("", "SN1", &wanted, 0)[0].1.starts_with("SN1/1970"));
    }
}
