//! The steps, in order.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::bars::Bars;
use super::error::{DemoError, expect};
use super::ledger::{Story, Told};
use super::stage::{PATIENCE, Stage, is_over, start_request};
use super::terminal::{Terminal, megabytes, millis};
use crate::cloud_api::{
    self, ListReply, ListRequest, Module, Progress, ProgressFile, Reply, ResultCode, UpdateRequest,
};
use crate::sim::{Exchange, Inbox};

/// "Dock is exporting logs to cloud. Try again later": DJI's code for what the broker refuses.
const CONFLICT: i64 = 325_009;
/// Where the first upload is canceled, percent of the aircraft's archive.
const CANCEL_AT: u32 = 50;
const BOTH: [Module; 2] = [Module::Aircraft, Module::Dock];

/// Where the broker that is shown can be reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) mqtt: SocketAddr,
    pub(super) http: SocketAddr,
}

/// Plays all steps against a broker, and leaves it without clients.
pub(super) async fn play<W: Write>(at: Addresses, terminal: &mut Terminal<W>) -> Result<(), DemoError> {
    let begun = Instant::now();
    terminal.title("dockgate demo", "a broker, a dock and two backends on this machine")?;
    terminal.step("broker", "up", &format!(": MQTT on {}", at.mqtt)).await?;
    terminal.more(format!("metrics on http://{}/metrics", at.http))?;

    let stage = Stage::set(at.mqtt).await?;
    let gateway = &stage.plan.gateway;
    terminal.step("dock", "online", &format!(": {gateway}, over MQTT 5")).await?;
    terminal.step("backends", "watching", ": backend-a and backend-b, over MQTT 3.1.1").await?;

    let played = uploads(&stage, at.http, terminal).await;
    if let (Err(_), Some(lost)) = (&played, stage.dock_failure()) {
        // A dock that fell off is the cause of whatever else went wrong then.
        return Err(lost.into());
    }
    played?;
    stage.leave().await?;
    let seconds = begun.elapsed().as_secs_f64();
    terminal.close(&format!("Everything went as shown, in {seconds:.1} s. `dockgate` alone starts the broker."))?;
    Ok(())
}

/// From the list of logs to what the broker says of the uploads.
async fn uploads<W: Write>(stage: &Stage, http: SocketAddr, terminal: &mut Terminal<W>) -> Result<(), DemoError> {
    let logs = list(stage, terminal).await?;

    let mut inbox = stage.a.inbox();
    let first = stage.start(&stage.a, &logs).await?;
    let rest = format!(" by the dock in {}, for backend-a", millis(first.took));
    terminal.step(cloud_api::START, "accepted", &rest).await?;
    let refused = refuse(stage, terminal, &logs).await?;

    terminal.step(cloud_api::PROGRESS, "running", ":").await?;
    let mut bars = Bars::new(terminal);
    let half_way = |progress: &Progress| {
        progress.output.ext.files.iter().any(|file| {
            file.module == Module::Aircraft
                && file.progress.status == "file_uploading"
                && file.progress.progress >= CANCEL_AT
        })
    };
    let shown = (&mut *terminal, &mut bars);
    stage.follow(&mut inbox, &first.bid, shown, "half-way", half_way).await?;
    let canceled = cancel(stage, terminal, &mut inbox, &mut bars, &first).await?;

    let (second, completed) = complete(stage, terminal, &logs).await?;
    stage.check_starts(&[&first, &second])?;
    let story = Story {
        gateway: &stage.plan.gateway,
        canceled: Told { bid: &first.bid, last: &canceled },
        completed: Told { bid: &second.bid, last: &completed },
        refused: &refused.bid,
    };
    story.check(http, terminal).await
}

async fn list<W: Write>(stage: &Stage, terminal: &mut Terminal<W>) -> Result<ListReply, DemoError> {
    let wanted = ListRequest { module_list: BOTH.to_vec() };
    let exchange = stage.ask(&stage.a, cloud_api::LIST, wanted).await?;
    let list: ListReply = exchange.data()?;
    expect("the list's result", &0, &list.result)?;
    let modules: Vec<Module> = list.files.iter().map(|file| file.module).collect();
    expect("the list's modules", &BOTH.to_vec(), &modules)?;
    let mut rows = Vec::new();
    for file in &list.files {
        let planned = stage.plan.logs.iter().find(|logs| logs.module == file.module);
        expect("the listed logs", &planned.map(|logs| &logs.boots), &Some(&file.list))?;
        rows.extend(file.list.iter().map(|boot| {
            vec![
                file.module.name().to_owned(),
                boot.boot_index.to_string(),
                minute(boot.start_time),
                minute(boot.end_time),
                megabytes(boot.size),
            ]
        }));
    }
    let rest = format!(" by the dock in {}: {} logs", millis(exchange.took), rows.len());
    terminal.step(cloud_api::LIST, "answered", &rest).await?;
    terminal.table(&["module", "boot", "from (UTC)", "to (UTC)", "size"], &[1, 4], &rows)?;
    Ok(list)
}

/// A start that the broker answers itself, and that must not reach the dock.
async fn refuse<W: Write>(stage: &Stage, terminal: &mut Terminal<W>, logs: &ListReply) -> Result<Exchange, DemoError> {
    let gateway = &stage.plan.gateway;
    let request = start_request(logs);
    let refused = stage.b.request(gateway, cloud_api::START, request, PATIENCE).await?;
    expect("the result of a second start", &CONFLICT, &refused.result()?)?;
    let reply: Reply<ResultCode> = refused.message()?;
    expect("the refusal's method", &cloud_api::START, &reply.method.as_str())?;
    expect("the refusal's gateway", &Some(gateway), &reply.gateway.as_ref())?;
    // A command of the same backend that does arrive: had the start been delivered, it would have come
    // before, for a broker keeps the order of one publisher's messages [MQTT-4.6.0-6].
    let after = ListRequest { module_list: BOTH.to_vec() };
    stage.ask(&stage.b, cloud_api::LIST, after).await?;
    let reached = stage.reached_the_dock(&refused);
    expect("whether the refused start reached the dock", &false, &reached)?;
    let rest = format!(" with {CONFLICT} in {}, for backend-b:", millis(refused.took));
    terminal.step("a second start", "refused", &rest).await?;
    terminal.more("\"Dock is exporting logs to cloud. Try again later\"")?;
    terminal.more("by the broker: the dock never saw it")?;
    Ok(refused)
}

async fn cancel<W: Write>(
    stage: &Stage,
    terminal: &mut Terminal<W>,
    inbox: &mut Inbox,
    bars: &mut Bars,
    upload: &Exchange,
) -> Result<Progress, DemoError> {
    let request = UpdateRequest { status: "cancel".to_owned(), module_list: BOTH.to_vec() };
    let exchange = stage.ask(&stage.a, cloud_api::UPDATE, request).await?;
    expect("the result of the cancel", &0, &exchange.result()?)?;
    let answered = Instant::now();
    let shown = (&mut *terminal, bars);
    let last = stage.follow(inbox, &upload.bid, shown, "canceled", is_over).await?;
    expect("the end of the canceled upload", &"canceled", &last.output.status.as_str())?;
    for file in &last.output.ext.files {
        expect("the end of its file", &"canceled", &file.progress.status.as_str())?;
    }
    let rest = format!(" by the dock in {}; last event {} later", millis(exchange.took), millis(answered.elapsed()));
    terminal.step(cloud_api::UPDATE, "canceled", &rest).await?;
    Ok(last)
}

/// The backend that was refused tries again, and its upload runs to its end.
async fn complete<W: Write>(
    stage: &Stage,
    terminal: &mut Terminal<W>,
    logs: &ListReply,
) -> Result<(Exchange, Progress), DemoError> {
    let mut inbox = stage.b.inbox();
    let upload = stage.start(&stage.b, logs).await?;
    let rest = format!(" by the dock in {}, now for backend-b:", millis(upload.took));
    terminal.step(cloud_api::START, "accepted", &rest).await?;
    let mut bars = Bars::new(terminal);
    let shown = (&mut *terminal, &mut bars);
    let last = stage.follow(&mut inbox, &upload.bid, shown, "over", is_over).await?;
    expect("the end of the second upload", &"ok", &last.output.status.as_str())?;
    terminal.step(cloud_api::PROGRESS, "ok", ", with the fingerprint of each archive:").await?;
    for file in &last.output.ext.files {
        expect("the end of its file", &"ok", &file.progress.status.as_str())?;
        expect("the digits of its fingerprint", &32, &file.fingerprint.len())?;
        let ProgressFile { fingerprint, module, size, .. } = file;
        let size = megabytes(*size);
        terminal.line(&format!("{:<8} {size:>8}  {fingerprint}", module.name()))?;
    }
    Ok((upload, last))
}

/// `2026-05-01 10:02` of a timestamp.
fn minute(timestamp_ms: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(timestamp_ms);
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_shown_to_the_minute() {
        assert_eq!(minute(1_659_427_398_806), "2022-08-02 08:03");
    }
}
