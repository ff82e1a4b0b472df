//! A simulated dock uploads into the store, through a running broker, with credentials as the broker gets them.

use std::time::Duration;

use dockgate::cloud_api::{
    self, BootIndex, Credentials, Event, Module, Progress, StartFile, StartParams, StartRequest, UpdateRequest,
};
use dockgate::object_store::ObjectStore;
use dockgate::sim::{Backend, Dock, Inbox, Journal, Plan, RealUploads};
use rumqttc::QoS;

use super::common::{Broker, DEADLINE};
use super::moto::{BUCKET, Moto};

/// When the simulated logs end.
const NOW: u64 = 1_780_000_000_000;

/// Everything that takes part in an upload.
struct Stage {
    _broker: Broker,
    _dock: Dock,
    backend: Backend,
    inbox: Inbox,
    plan: Plan,
}

impl Stage {
    async fn set(seed: u64, change: impl FnOnce(&mut Plan)) -> Self {
        let broker = Broker::start(|_| {});
        let mut plan = Plan { real: Some(RealUploads { shrink: 50 }), ..Plan::from_seed(seed, NOW) };
        plan.preparation = Duration::from_millis(100);
        plan.report_every = Duration::from_millis(50);
        change(&mut plan);
        let mut backend = Backend::connect(broker.mqtt, "backend", QoS::AtLeastOnce).await.unwrap();
        backend.watch(&plan.gateway).await.unwrap();
        let inbox = backend.inbox();
        let dock = Dock::connect(broker.mqtt, plan.clone(), Journal::keeping(10)).await.unwrap();
        Self { _broker: broker, _dock: dock, backend, inbox, plan }
    }

    fn key(&self, module: Module) -> String {
        format!("dockgate/{}/{}.tar", self.plan.gateway, module.name())
    }

    /// A start of everything, with these credentials.
    fn start(&self, endpoint: &str, credentials: Credentials) -> StartRequest {
        let files = self.plan.logs.iter().map(|logs| StartFile {
            device_sn: self.plan.device(logs.module).to_owned(),
            list: logs.boots.iter().map(|boot| BootIndex { boot_index: boot.boot_index }).collect(),
            module: logs.module,
            object_key: self.key(logs.module),
        });
        StartRequest {
            bucket: BUCKET.to_owned(),
            credentials,
            endpoint: endpoint.to_owned(),
            file_store_dir: String::new(),
            file_type: "text_log".to_owned(),
            params: StartParams { files: files.collect() },
            provider: "minio".to_owned(),
            region: "us-east-1".to_owned(),
        }
    }

    async fn ask<D: serde::Serialize>(&self, method: &str, data: D) -> i64 {
        self.backend.request(&self.plan.gateway, method, data, DEADLINE).await.unwrap().result().unwrap()
    }

    /// The events of the upload until `is_it`, that one included.
    async fn events_until(&mut self, is_it: impl Fn(&Progress) -> bool) -> Vec<Progress> {
        let mut seen = Vec::new();
        loop {
            let read = |message: &dockgate::sim::Message| {
                let event: Event<Progress> = cloud_api::decode(&message.payload).ok()?;
                (event.method == cloud_api::PROGRESS).then_some(event.data)
            };
            let progress = self.inbox.next("progress", DEADLINE, read).await.unwrap();
            let is_last = is_it(&progress);
            seen.push(progress);
            if is_last {
                return seen;
            }
        }
    }
}

fn is_over(progress: &Progress) -> bool {
    progress.output.status != "in_progress"
}

fn nobodys() -> Credentials {
    let secret = || "nobody".into();
    Credentials { access_key_id: secret(), access_key_secret: secret(), expire: 0, security_token: secret() }
}

fn granted(moto: &Moto, keys: &[&str]) -> Credentials {
    let grant = ObjectStore::open(&moto.settings()).unwrap().credentials(keys).unwrap();
    Credentials {
        access_key_id: grant.access_key_id,
        access_key_secret: grant.access_key_secret,
        expire: grant.expires_at_ms,
        security_token: grant.security_token,
    }
}

fn md5(bytes: &[u8]) -> String {
    use md5::Digest as _;
    md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dock_uploads_its_archives_and_their_fingerprints_are_those_of_the_objects() {
    let Some(moto) = Moto::get() else { return };
    let mut stage = Stage::set(71, |_| {}).await;
    let keys = [stage.key(Module::Aircraft), stage.key(Module::Dock)];
    let start = stage.start(&moto.endpoint.url(), granted(&moto, &[&keys[0], &keys[1]]));
    assert_eq!(stage.ask(cloud_api::START, start).await, 0);
    let events = stage.events_until(is_over).await;
    let last = events.last().unwrap();
    assert_eq!((last.output.status.as_str(), last.result), ("ok", 0), "{last:?}");
    for file in &last.output.ext.files {
        let object = moto.read(&file.key).unwrap();
        assert_eq!(md5(&object), file.fingerprint);
        assert_eq!(object.len() as u64, file.size);
        assert!(file.progress.finish_time > 0 && file.progress.progress == 100, "{file:?}");
        let mut archive = tar::Archive::new(&*object);
        let logs = stage.plan.logs.iter().find(|logs| logs.module == file.module).unwrap();
        assert_eq!(archive.entries().unwrap().count(), logs.boots.len());
    }
    let mut words: Vec<_> = events.iter().map(|event| event.output.ext.files[0].progress.status.as_str()).collect();
    words.dedup();
    assert_eq!(words, ["file_pull", "file_zip", "file_uploading", "ok"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_the_store_refuses_or_that_does_not_reach_it_fails_with_324019() {
    let Some(moto) = Moto::get() else { return };
    for endpoint in [&*moto.endpoint.url(), "http://127.0.0.1:1"] {
        let mut stage = Stage::set(72, |_| {}).await;
        let start = stage.start(endpoint, nobodys());
        assert_eq!(stage.ask(cloud_api::START, start).await, 0);
        let last = stage.events_until(is_over).await.pop().unwrap();
        assert_eq!((last.output.status.as_str(), last.result), ("failed", 324_019), "{endpoint}: {last:?}");
        assert!(moto.read(&stage.key(Module::Dock)).is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_breaks_the_transfer_off_and_the_object_never_is() {
    let Some(moto) = Moto::get() else { return };
    // Half a minute of uplink.
    let mut stage = Stage::set(73, |plan| plan.rate = 30_000).await;
    let keys = [stage.key(Module::Aircraft), stage.key(Module::Dock)];
    let start = stage.start(&moto.endpoint.url(), granted(&moto, &[&keys[0], &keys[1]]));
    assert_eq!(stage.ask(cloud_api::START, start).await, 0);
    stage.events_until(|progress| progress.output.ext.files.iter().all(|file| file.progress.upload_rate > 0)).await;
    let update = UpdateRequest { status: "cancel".to_owned(), module_list: vec![Module::Aircraft, Module::Dock] };
    assert_eq!(stage.ask(cloud_api::UPDATE, update).await, 0);
    let last = stage.events_until(is_over).await.pop().unwrap();
    assert_eq!(last.output.status, "canceled");
    for file in &last.output.ext.files {
        assert!(file.progress.progress < 50, "{file:?}");
        assert!(moto.read(&file.key).is_err());
    }
}
