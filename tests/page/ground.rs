//! What the page looks at: a broker, docks, and the backends that want their logs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dockgate::cloud_api::{self, BootIndex, Credentials, StartFile, StartParams, StartRequest};
use dockgate::sim::{Backend, Dock, Journal, Outcome, Plan};
use rumqttc::QoS;
use serde_json::Value;

use crate::common::{BrokerProcess, DEADLINE, get};

/// "Dock is exporting logs to cloud. Try again later": what the broker refuses a second start with.
pub(crate) const CONFLICT: i64 = 325_009;
/// More messages than the dock of a test has.
const JOURNAL: usize = 4096;

pub(crate) fn now_ms() -> u64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    age.as_millis().try_into().expect("for some time to come")
}

/// A dock whose uploads take minutes.
pub(crate) fn slow(seed: u64) -> Plan {
    Plan { rate: 400_000, preparation: Duration::from_millis(200), ..Plan::from_seed(seed, now_ms()) }
}

/// A dock whose uploads stop for good after a moment, and which then says nothing more of them.
pub(crate) fn stalling(seed: u64) -> Plan {
    Plan { rate: 9_000_000, outcome: Outcome::Stall { at_percent: 30 }, ..slow(seed) }
}

/// Brings a dock online.
pub(crate) async fn dock(broker: &BrokerProcess, plan: &Plan) -> (Dock, Journal) {
    let journal = Journal::keeping(JOURNAL);
    let dock = Dock::connect(broker.mqtt, plan.clone(), journal.clone()).await;
    (dock.unwrap(), journal)
}

/// A backend that listens to this dock.
pub(crate) async fn backend(broker: &BrokerProcess, name: &str, plan: &Plan) -> Backend {
    let mut backend = Backend::connect(broker.mqtt, name, QoS::AtLeastOnce).await.unwrap();
    backend.watch(&plan.gateway).await.unwrap();
    backend
}

/// Asks a dock for an upload of all its logs, and returns the answer's result.
pub(crate) async fn start(backend: &Backend, plan: &Plan) -> i64 {
    let exchange = backend.request(&plan.gateway, cloud_api::START, everything(plan), DEADLINE).await;
    exchange.unwrap().result().unwrap()
}

fn everything(plan: &Plan) -> StartRequest {
    let files = plan.logs.iter().map(|logs| StartFile {
        device_sn: plan.device(logs.module).to_owned(),
        list: logs.boots.iter().map(|boot| BootIndex { boot_index: boot.boot_index }).collect(),
        module: logs.module,
        object_key: format!("dockgate/{}/{}.tar", plan.gateway, logs.module.name()),
    });
    let secret = || "secret".into();
    StartRequest {
        bucket: "dock-logs".to_owned(),
        credentials: Credentials {
            access_key_id: secret(),
            access_key_secret: secret(),
            expire: now_ms() + 3_600_000,
            security_token: secret(),
        },
        endpoint: "http://minio.example:9000".to_owned(),
        file_store_dir: String::new(),
        file_type: "text_log".to_owned(),
        params: StartParams { files: files.collect() },
        provider: "minio".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

/// An object store that docks are given the keys of; nobody asks it for anything.
pub(crate) const OBJECT_STORE: [(&str, &str); 6] = [
    ("DOCKGATE_OBJECT_STORE__PROVIDER", "minio"),
    ("DOCKGATE_OBJECT_STORE__ENDPOINT", "http://minio.example:9000"),
    ("DOCKGATE_OBJECT_STORE__BUCKET", "dock-logs"),
    ("DOCKGATE_OBJECT_STORE__ACCESS_KEY_ID", "key"),
    ("DOCKGATE_OBJECT_STORE__SECRET_ACCESS_KEY", "secret"),
    ("DOCKGATE_OBJECT_STORE__STS", "off"),
];

/// The uploads of the API, the last started first.
pub(crate) fn uploads(broker: &BrokerProcess) -> Vec<Value> {
    let body: Value = serde_json::from_str(&get(broker.http, "/api/v1/uploads")).unwrap();
    body["uploads"].as_array().expect("a list of uploads").clone()
}
