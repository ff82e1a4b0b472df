//! The steps, in order.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rumqttc::QoS;
use tokio::time;
use uuid::Uuid;

use super::bars::Bars;
use super::error::{DemoError, expect};
use super::ledger;
use super::terminal::{Terminal, megabytes};
use crate::sim::backend::Inbox;
use crate::sim::messages::{
    self, BootIndex, Credentials, Event, ListReply, ListRequest, Module, Progress, ProgressFile,
    Reply, ResultCode, StartFile, StartParams, StartRequest, UpdateRequest,
};
use crate::sim::{Backend, Dock, Exchange, Journal, Message, Plan, now_ms};

/// How long any one answer or event may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an upload of the plan, which takes five or six seconds, may take in all.
const WHOLE_UPLOAD: Duration = Duration::from_secs(20);
/// More messages than a demo has.
const JOURNAL: usize = 4096;
/// "Dock is exporting logs to cloud. Try again later": DJI's code for what the broker refuses.
const CONFLICT: i64 = 325_009;
/// Where the first upload is canceled, percent of the aircraft's archive.
const CANCEL_AT: u32 = 55;
/// The seed of the dock that is shown.
const SEED: u64 = 20_260_501;

/// A secret that must not come back from anywhere but the dock.
const SECRET: &str = "demo-access-key-secret";

const BOTH: [Module; 2] = [Module::Aircraft, Module::Dock];

/// Where the broker that is shown can be reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) mqtt: SocketAddr,
    pub(super) http: SocketAddr,
}

/// Plays all steps against a broker, and leaves it without clients.
pub(super) async fn play<W: Write>(
    at: Addresses,
    terminal: &mut Terminal<W>,
) -> Result<(), DemoError> {
    let begun = Instant::now();
    terminal.title(
        "dockgate demo",
        "a broker, a simulated dock and two backends, all on this machine",
    )?;
    let result = format!("MQTT on {}, http://{}/metrics", at.mqtt, at.http);
    terminal
        .step("broker", "up", &format!(": {result}"))
        .await?;

    let mut stage = Stage::set(at, terminal).await?;
    let played = stage.play(at, terminal).await;
    // A dock that fell off is the cause of whatever else went wrong then.
    match (stage.dock.failure(), played) {
        (Some(lost), Err(_)) => return Err(lost.into()),
        (_, played) => played?,
    }
    let Stage { dock, a, b, .. } = stage;
    a.disconnect().await?;
    b.disconnect().await?;
    dock.disconnect().await?;
    let seconds = begun.elapsed().as_secs_f64();
    terminal.close(&format!(
        "Everything went as shown, in {seconds:.1} s. `dockgate` alone starts the broker."
    ))?;
    Ok(())
}

/// Who takes part.
struct Stage {
    plan: Plan,
    journal: Journal,
    dock: Dock,
    a: Backend,
    b: Backend,
}

impl Stage {
    /// Backends first, so that they hear the dock come online.
    async fn set<W: Write>(at: Addresses, terminal: &mut Terminal<W>) -> Result<Self, DemoError> {
        // DJI's demo backend publishes commands at QoS 0, others at QoS 1.
        let mut a = Backend::connect(at.mqtt, "backend-a", QoS::AtMostOnce).await?;
        let mut b = Backend::connect(at.mqtt, "backend-b", QoS::AtLeastOnce).await?;
        let mut hears = [a.inbox(), b.inbox()];
        let plan = Plan::from_seed(SEED, now_ms());
        let journal = Journal::keeping(JOURNAL);
        let dock = Dock::connect(at.mqtt, plan.clone(), journal.clone()).await?;
        let topic = messages::status(&plan.gateway);
        for inbox in &mut hears {
            let topology = inbox
                .next("the dock's topology", PATIENCE, |message| {
                    (message.topic == topic).then(|| message.clone())
                })
                .await?;
            let is_whole = journal.sent().contains(&topology);
            expect(
                "the topology that came is the one that the dock sent",
                &true,
                &is_whole,
            )?;
        }
        a.watch(&plan.gateway).await?;
        b.watch(&plan.gateway).await?;
        terminal
            .step("dock", "online", &format!(": {}, MQTT 5", plan.gateway))
            .await?;
        terminal
            .step(
                "backends",
                "see it",
                ": backend-a and backend-b, MQTT 3.1.1",
            )
            .await?;
        Ok(Self {
            plan,
            journal,
            dock,
            a,
            b,
        })
    }

    async fn play<W: Write>(
        &mut self,
        at: Addresses,
        terminal: &mut Terminal<W>,
    ) -> Result<(), DemoError> {
        let logs = self.list(terminal).await?;

        let mut inbox = self.a.inbox();
        let canceled = self.start(&self.a, &logs).await?;
        let took = canceled.took.as_millis();
        terminal
            .step(
                messages::START,
                "accepted",
                &format!(" by the dock in {took} ms, for backend-a"),
            )
            .await?;
        let refused = self.refuse(terminal, &logs).await?;
        terminal.step(messages::PROGRESS, "running", ":").await?;
        let mut bars = Bars::new(terminal);
        let half_way = |progress: &Progress| {
            progress.output.ext.files.iter().any(|file| {
                file.module == Module::Aircraft
                    && file.progress.status == "file_uploading"
                    && file.progress.progress >= CANCEL_AT
            })
        };
        self.follow(
            &mut inbox,
            &canceled.bid,
            terminal,
            &mut bars,
            "half-way",
            half_way,
        )
        .await?;
        self.cancel(terminal, &mut inbox, &mut bars, &canceled)
            .await?;

        let completed = self.complete(terminal, &logs).await?;
        self.count_starts(&[&canceled, &completed])?;
        let story = ledger::Story {
            gateway: &self.plan.gateway,
            canceled: &canceled.bid,
            completed: &completed.bid,
            refused: &refused.bid,
            secret: SECRET,
        };
        story.check(at.http, terminal).await
    }

    async fn list<W: Write>(&self, terminal: &mut Terminal<W>) -> Result<ListReply, DemoError> {
        let exchange = self.ask(
            &self.a,
            messages::LIST,
            ListRequest {
                module_list: BOTH.to_vec(),
            },
        );
        let exchange = exchange.await?;
        let list: ListReply = exchange.data()?;
        expect("the list's result", &0, &list.result)?;
        let modules: Vec<Module> = list.files.iter().map(|file| file.module).collect();
        expect("the list's modules", &BOTH.to_vec(), &modules)?;
        let mut rows = Vec::new();
        for file in &list.files {
            let planned = self
                .plan
                .logs
                .iter()
                .find(|logs| logs.module == file.module);
            expect(
                "the listed logs",
                &planned.map(|logs| &logs.boots),
                &Some(&file.list),
            )?;
            for boot in &file.list {
                rows.push(vec![
                    file.module.name().to_owned(),
                    boot.boot_index.to_string(),
                    minute(boot.start_time),
                    minute(boot.end_time),
                    megabytes(boot.size),
                ]);
            }
        }
        let rest = format!(" in {} ms: {} logs", exchange.took.as_millis(), rows.len());
        terminal.step(messages::LIST, "answered", &rest).await?;
        terminal.table(
            &["module", "boot", "from (UTC)", "to (UTC)", "size"],
            &[1, 4],
            &rows,
        )?;
        Ok(list)
    }

    /// A start that the dock takes.
    async fn start(&self, backend: &Backend, logs: &ListReply) -> Result<Exchange, DemoError> {
        let exchange = self
            .ask(backend, messages::START, start_request(logs))
            .await?;
        expect("the result of the start", &0, &exchange.result()?)?;
        Ok(exchange)
    }

    /// A start that the broker answers itself, and that must not reach the dock.
    async fn refuse<W: Write>(
        &self,
        terminal: &mut Terminal<W>,
        logs: &ListReply,
    ) -> Result<Exchange, DemoError> {
        let gateway = &self.plan.gateway;
        let refused = self
            .b
            .request(gateway, messages::START, start_request(logs), PATIENCE)
            .await?;
        expect(
            "the result of a second start",
            &CONFLICT,
            &refused.result()?,
        )?;
        let reply: Reply<ResultCode> = refused.message()?;
        expect(
            "the refusal's method",
            &messages::START,
            &reply.method.as_str(),
        )?;
        expect(
            "the refusal's gateway",
            &Some(gateway),
            &reply.gateway.as_ref(),
        )?;
        // A command of the same backend that does arrive: had the start been delivered, it would have come
        // before, for a broker keeps the order of one publisher's messages [MQTT-4.6.0-6].
        self.ask(
            &self.b,
            messages::LIST,
            ListRequest {
                module_list: BOTH.to_vec(),
            },
        )
        .await?;
        let came = self
            .journal
            .received()
            .iter()
            .any(|message| message.payload == refused.sent);
        expect("whether the refused start reached the dock", &false, &came)?;
        let rest = format!(
            " with {CONFLICT} in {} ms, for backend-b",
            refused.took.as_millis()
        );
        terminal.step("a second start", "refused", &rest).await?;
        terminal
            .more("\"Dock is exporting logs to cloud. Try again later\"; the dock never saw it")?;
        Ok(refused)
    }

    async fn cancel<W: Write>(
        &self,
        terminal: &mut Terminal<W>,
        inbox: &mut Inbox,
        bars: &mut Bars,
        upload: &Exchange,
    ) -> Result<(), DemoError> {
        let request = UpdateRequest {
            status: "cancel".to_owned(),
            module_list: BOTH.to_vec(),
        };
        let exchange = self.ask(&self.a, messages::UPDATE, request).await?;
        expect("the result of the cancel", &0, &exchange.result()?)?;
        let asked = Instant::now();
        let last = self
            .follow(inbox, &upload.bid, terminal, bars, "canceled", is_over)
            .await?;
        expect(
            "the end of the canceled upload",
            &"canceled",
            &last.output.status.as_str(),
        )?;
        for file in &last.output.ext.files {
            expect(
                "the end of its file",
                &"canceled",
                &file.progress.status.as_str(),
            )?;
        }
        let rest = format!(
            ": both modules, answered in {} ms, the event {} ms later",
            exchange.took.as_millis(),
            asked.elapsed().as_millis()
        );
        terminal.step(messages::UPDATE, "canceled", &rest).await?;
        Ok(())
    }

    /// The backend that was refused tries again, and its upload runs to its end.
    async fn complete<W: Write>(
        &self,
        terminal: &mut Terminal<W>,
        logs: &ListReply,
    ) -> Result<Exchange, DemoError> {
        let mut inbox = self.b.inbox();
        let upload = self.start(&self.b, logs).await?;
        let rest = format!(
            " in {} ms, for backend-b this time:",
            upload.took.as_millis()
        );
        terminal.step(messages::START, "accepted", &rest).await?;
        let mut bars = Bars::new(terminal);
        let last = self
            .follow(
                &mut inbox,
                &upload.bid,
                terminal,
                &mut bars,
                "at its end",
                is_over,
            )
            .await?;
        expect(
            "the end of the second upload",
            &"ok",
            &last.output.status.as_str(),
        )?;
        terminal
            .step(
                messages::PROGRESS,
                "ok",
                ", with the fingerprint of each archive:",
            )
            .await?;
        for file in &last.output.ext.files {
            expect("the end of its file", &"ok", &file.progress.status.as_str())?;
            expect(
                "the digits of its fingerprint",
                &32,
                &file.fingerprint.len(),
            )?;
            let size = megabytes(file.size);
            let ProgressFile {
                fingerprint,
                module,
                ..
            } = file;
            terminal.line(&format!("{:<9} {size:>8}  {fingerprint}", module.name()))?;
        }
        Ok(upload)
    }

    /// A command that must reach the dock, and a reply that must come back, both byte for byte.
    async fn ask<D: serde::Serialize>(
        &self,
        backend: &Backend,
        method: &str,
        data: D,
    ) -> Result<Exchange, DemoError> {
        let exchange = backend
            .request(&self.plan.gateway, method, data, PATIENCE)
            .await?;
        let arrived = self
            .journal
            .received()
            .iter()
            .any(|m| m.payload == exchange.sent);
        expect(
            format!("whether {method} reached the dock byte for byte"),
            &true,
            &arrived,
        )?;
        let came = self
            .journal
            .sent()
            .iter()
            .any(|m| m.payload == exchange.reply);
        expect(
            format!("whether the reply to {method} came byte for byte"),
            &true,
            &came,
        )?;
        Ok(exchange)
    }

    /// Shows the progress of the upload with this bid up to where `until` is true.
    async fn follow<W: Write>(
        &self,
        inbox: &mut Inbox,
        bid: &str,
        terminal: &mut Terminal<W>,
        bars: &mut Bars,
        awaited: &'static str,
        until: impl Fn(&Progress) -> bool,
    ) -> Result<Progress, DemoError> {
        let topic = messages::events(&self.plan.gateway);
        let followed = async {
            loop {
                let wanted = |message: &Message| {
                    let event = messages::decode::<Event<Progress>>(&message.payload).ok()?;
                    let is_ours = message.topic == topic && event.bid == bid;
                    is_ours.then(|| (message.clone(), event.data))
                };
                let (message, progress) = inbox.next("a progress event", PATIENCE, wanted).await?;
                let is_whole = self.journal.sent().contains(&message);
                expect("whether an event came byte for byte", &true, &is_whole)?;
                for file in &progress.output.ext.files {
                    bars.show(terminal, file)?;
                }
                if until(&progress) {
                    return Ok(progress);
                }
                if is_over(&progress) {
                    let came = format!("over: {}", progress.output.status);
                    let expected = awaited.to_owned();
                    return Err(DemoError::Unexpected {
                        what: "the upload".into(),
                        expected,
                        came,
                    });
                }
            }
        };
        match time::timeout(WHOLE_UPLOAD, followed).await {
            Ok(progress) => progress,
            Err(_) => Err(DemoError::Unending {
                awaited,
                waited: WHOLE_UPLOAD,
            }),
        }
    }

    /// Of all starts, the dock must have received these and no other.
    fn count_starts(&self, accepted: &[&Exchange]) -> Result<(), DemoError> {
        let accepted: Vec<_> = accepted
            .iter()
            .map(|exchange| exchange.sent.clone())
            .collect();
        let received: Vec<_> = self
            .journal
            .received()
            .into_iter()
            .filter(|message| {
                let header = messages::decode::<messages::Header>(&message.payload);
                header.is_ok_and(|header| header.method == messages::START)
            })
            .map(|message| message.payload)
            .collect();
        expect("the starts that the dock received", &accepted, &received)
    }
}

fn is_over(progress: &Progress) -> bool {
    matches!(
        progress.output.status.as_str(),
        "ok" | "failed" | "canceled"
    )
}

/// All logs of a list, to archives of their own, as DJI's demo backend names them.
fn start_request(logs: &ListReply) -> StartRequest {
    let prefix = "fileRecord/demo";
    let file = |listed: &messages::ListedModule| StartFile {
        device_sn: listed.device_sn.clone(),
        list: listed
            .list
            .iter()
            .map(|boot| BootIndex {
                boot_index: boot.boot_index,
            })
            .collect(),
        module: listed.module,
        object_key: format!("{prefix}/{}.tar", Uuid::new_v4()),
    };
    StartRequest {
        bucket: "dock-logs".to_owned(),
        credentials: Credentials {
            access_key_id: "demo-access-key-id".to_owned(),
            access_key_secret: SECRET.to_owned(),
            expire: now_ms() + 3_600_000,
            security_token: "demo-security-token".to_owned(),
        },
        endpoint: "http://minio.example:9000".to_owned(),
        file_store_dir: prefix.to_owned(),
        file_type: "text_log".to_owned(),
        params: StartParams {
            files: logs.files.iter().map(file).collect(),
        },
        provider: "minio".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

/// `2026-05-01 10:02` of a timestamp.
fn minute(timestamp_ms: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(timestamp_ms);
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}
