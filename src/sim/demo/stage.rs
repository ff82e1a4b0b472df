//! Who takes part in the demo, and what they do to each other: every exchange is compared, byte for byte,
//! with what the other side sent or received.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::QoS;
use serde::Serialize;
use tokio::time;
use uuid::Uuid;

use super::bars::Bars;
use super::error::{DemoError, expect};
use super::terminal::Terminal;
use crate::cloud_api::{
    self, BootIndex, Credentials, Event, Header, ListReply, ListedModule, Progress, StartFile, StartParams,
    StartRequest,
};
use crate::secret::Secret;
use crate::sim::{Backend, Dock, Exchange, Inbox, Journal, Message, Plan, SimError, now_ms};

/// How long any one answer or event may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long an upload of the plan, which takes about six seconds, may take in all.
const WHOLE_UPLOAD: Duration = Duration::from_secs(20);
/// More messages than a demo has.
const JOURNAL: usize = 4096;
/// The seed of the dock that is shown.
const SEED: u64 = 20_260_501;
/// What the object store would be opened with. Nobody but the dock may ever see it.
pub(super) const SECRETS: [&str; 3] = ["demo-access-key-id", "demo-access-key-secret", "demo-security-token"];

/// A dock, and two backends that both believe they are in charge of it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) plan: Plan,
    pub(super) a: Backend,
    pub(super) b: Backend,
    dock: Dock,
    /// What the dock received and sent.
    journal: Journal,
}

impl Stage {
    /// Connects all, backends first, so that they hear the dock come online.
    pub(super) async fn set(broker: SocketAddr) -> Result<Self, DemoError> {
        // DJI's demo backend publishes commands at QoS 0, others at QoS 1.
        let mut a = Backend::connect(broker, "backend-a", QoS::AtMostOnce).await?;
        let mut b = Backend::connect(broker, "backend-b", QoS::AtLeastOnce).await?;
        let mut ears = [a.inbox(), b.inbox()];
        let plan = Plan::from_seed(SEED, now_ms());
        let journal = Journal::keeping(JOURNAL);
        let dock = Dock::connect(broker, plan.clone(), journal.clone()).await?;
        let topic = cloud_api::status(&plan.gateway);
        for inbox in &mut ears {
            let on_topic = |message: &Message| (message.topic == topic).then(|| message.clone());
            let topology = inbox.next("the dock's topology", PATIENCE, on_topic).await?;
            let is_whole = journal.sent().contains(&topology);
            expect("whether the topology came byte for byte", &true, &is_whole)?;
        }
        a.watch(&plan.gateway).await?;
        b.watch(&plan.gateway).await?;
        Ok(Self { plan, a, b, dock, journal })
    }

    /// Lets all leave with a DISCONNECT.
    pub(super) async fn leave(self) -> Result<(), DemoError> {
        self.a.disconnect().await?;
        self.b.disconnect().await?;
        self.dock.disconnect().await?;
        Ok(())
    }

    /// Why the dock fell off, if it did.
    pub(super) fn dock_failure(&self) -> Option<SimError> {
        self.dock.failure()
    }

    /// Whether the dock received this command, byte for byte.
    pub(super) fn reached_the_dock(&self, command: &Exchange) -> bool {
        self.journal.received().iter().any(|message| message.payload == command.sent)
    }

    /// A command that must reach the dock, and a reply of the dock that must come back.
    pub(super) async fn ask<D: Serialize>(
        &self,
        backend: &Backend,
        method: &str,
        data: D,
    ) -> Result<Exchange, DemoError> {
        let exchange = backend.request(&self.plan.gateway, method, data, PATIENCE).await?;
        let reached = self.reached_the_dock(&exchange);
        expect(format!("whether {method} reached the dock byte for byte"), &true, &reached)?;
        let came = self.journal.sent().iter().any(|message| message.payload == exchange.reply);
        expect(format!("whether the reply to {method} came byte for byte"), &true, &came)?;
        Ok(exchange)
    }

    /// A start that the dock must accept.
    pub(super) async fn start(&self, backend: &Backend, logs: &ListReply) -> Result<Exchange, DemoError> {
        let exchange = self.ask(backend, cloud_api::START, start_request(logs)).await?;
        expect("the result of the start", &0, &exchange.result()?)?;
        Ok(exchange)
    }

    /// Shows the progress of the upload with this bid up to where `until` is true; `awaited` says what
    /// that is, for the error.
    pub(super) async fn follow<W: Write>(
        &self,
        inbox: &mut Inbox,
        bid: &str,
        (terminal, bars): (&mut Terminal<W>, &mut Bars),
        awaited: &'static str,
        until: impl Fn(&Progress) -> bool,
    ) -> Result<Progress, DemoError> {
        let topic = cloud_api::events(&self.plan.gateway);
        let followed = async {
            loop {
                let ours = |message: &Message| {
                    let event = cloud_api::decode::<Event<Progress>>(&message.payload).ok()?;
                    let is_ours = message.topic == topic && event.bid == bid;
                    is_ours.then(|| (message.clone(), event.data))
                };
                let (message, progress) = inbox.next("a progress event", PATIENCE, ours).await?;
                let is_whole = self.journal.sent().contains(&message);
                expect("whether an event came byte for byte", &true, &is_whole)?;
                for file in &progress.output.ext.files {
                    bars.show(terminal, file)?;
                }
                if until(&progress) {
                    return Ok(progress);
                }
                if is_over(&progress) {
                    return Err(DemoError::Unexpected {
                        what: "the upload".to_owned(),
                        expected: awaited.to_owned(),
                        came: format!("over, with status {}", progress.output.status),
                    });
                }
            }
        };
        match time::timeout(WHOLE_UPLOAD, followed).await {
            Ok(progress) => progress,
            Err(_) => Err(DemoError::Unending { awaited, waited: WHOLE_UPLOAD }),
        }
    }

    /// Of all starts, the dock must have received these and no other, each once.
    pub(super) fn check_starts(&self, accepted: &[&Exchange]) -> Result<(), DemoError> {
        let accepted: Vec<_> = accepted.iter().map(|exchange| exchange.sent.clone()).collect();
        let is_start = |message: &Message| {
            let header = cloud_api::decode::<Header>(&message.payload);
            header.is_ok_and(|header| header.method == cloud_api::START)
        };
        let received = self.journal.received().into_iter().filter(is_start);
        let received: Vec<_> = received.map(|message| message.payload).collect();
        expect("the starts that the dock received", &accepted, &received)
    }
}

/// Whether an upload has ended.
pub(super) fn is_over(progress: &Progress) -> bool {
    matches!(progress.output.status.as_str(), "ok" | "failed" | "canceled")
}

/// All logs of a list, to archives of their own, as DJI's demo backend names them.
pub(super) fn start_request(logs: &ListReply) -> StartRequest {
    let prefix = "fileRecord/demo";
    let file = |listed: &ListedModule| StartFile {
        device_sn: listed.device_sn.clone(),
        list: listed.list.iter().map(|boot| BootIndex { boot_index: boot.boot_index }).collect(),
        module: listed.module,
        object_key: format!("{prefix}/{}.tar", Uuid::new_v4()),
    };
    let [access_key_id, access_key_secret, security_token] = SECRETS.map(Secret::from);
    StartRequest {
        bucket: "dock-logs".to_owned(),
        credentials: Credentials { access_key_id, access_key_secret, expire: now_ms() + 3_600_000, security_token },
        endpoint: "http://minio.example:9000".to_owned(),
        file_store_dir: prefix.to_owned(),
        file_type: "text_log".to_owned(),
        params: StartParams { files: logs.files.iter().map(file).collect() },
        provider: "minio".to_owned(),
        region: "us-east-1".to_owned(),
    }
}
