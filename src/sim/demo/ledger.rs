//! What /metrics and the API must say after the demo's uploads, against what was done.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time;

use super::error::{DemoError, expect};
use super::http::{get, sample};
use super::stage::SECRETS;
use super::terminal::{Terminal, megabytes};
use crate::cloud_api::{Module, Progress, ProgressFile};

/// How long the gauges, which the broker may refresh at its own pace, may lag behind.
const SETTLING: Duration = Duration::from_secs(5);
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What was done to the one dock that there is.
#[derive(Debug)]
pub(super) struct Story<'a> {
    pub(super) gateway: &'a str,
    pub(super) canceled: Told<'a>,
    pub(super) completed: Told<'a>,
    /// The bid of the start that was refused.
    pub(super) refused: &'a str,
}

/// An upload as its backend knows it.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) bid: &'a str,
    /// The last event.
    pub(super) last: &'a Progress,
}

/// A metric, with the labels to sum over, and its value.
type Expected = (&'static str, &'static [(&'static str, &'static str)], f64);

const METRICS: [Expected; 7] = [
    ("dockgate_uploads_started_total", &[], 2.0),
    ("dockgate_uploads_refused_total", &[], 1.0),
    ("dockgate_uploads_ended_total", &[], 2.0),
    ("dockgate_uploads_ended_total", &[("outcome", "canceled")], 1.0),
    ("dockgate_uploads_ended_total", &[("outcome", "ok")], 1.0),
    ("dockgate_uploads_running", &[], 0.0),
    ("dockgate_hook_parse_failures_total", &[], 0.0),
];

/// `GET /api/v1/uploads`, as far as the demo compares it.
#[derive(Debug, Deserialize)]
struct Uploads {
    uploads: Vec<Upload>,
}

#[derive(Debug, Deserialize)]
struct Upload {
    id: u64,
    state: String,
    outcome: Option<String>,
    aliases: Vec<Alias>,
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct Alias {
    bid: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct File {
    module: Module,
    key: String,
    fingerprint: String,
    status: String,
    size: Option<u64>,
    progress: Option<u32>,
}

/// `GET /api/v1/gateways/{sn}`, as far as the demo compares it.
#[derive(Debug, Deserialize)]
struct Gateway {
    gateway: String,
    refused: u64,
}

impl From<&ProgressFile> for File {
    fn from(file: &ProgressFile) -> Self {
        Self {
            module: file.module,
            key: file.key.clone(),
            fingerprint: file.fingerprint.clone(),
            status: file.progress.status.clone(),
            size: Some(file.size),
            progress: Some(file.progress.progress),
        }
    }
}

impl Story<'_> {
    /// Reads both, compares, and shows.
    pub(super) async fn check<W: Write>(&self, http: SocketAddr, terminal: &mut Terminal<W>) -> Result<(), DemoError> {
        self.metrics(http).await?;
        terminal.step("/metrics", "agrees", " with what was done:").await?;
        for (name, labels, value) in METRICS {
            let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
            let set = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            terminal.line(&format!("{:<52} {value}", format!("{name}{set}")))?;
        }
        let rows = self.uploads(http).await?;
        self.gateway(http).await?;
        let rest = format!(" with what was done: {} uploads, 1 refused start", rows.len());
        terminal.step("/api/v1/uploads", "agrees", &rest).await?;
        terminal.table(&["upload", "outcome", "aircraft", "dock"], &[0, 2, 3], &rows)?;
        Ok(())
    }

    async fn metrics(&self, http: SocketAddr) -> Result<(), DemoError> {
        let begun = Instant::now();
        loop {
            let path = "/metrics";
            let text = get(http, path).await?;
            keeps_secrets(path, &text)?;
            for bid in [self.canceled.bid, self.completed.bid, self.refused] {
                expect("whether a bid is in /metrics", &false, &text.contains(bid))?;
            }
            let compared = METRICS.iter().try_for_each(|(name, labels, value)| {
                let what = format!("the metric {name}{labels:?}");
                expect(what, &Some(*value), &sample(&text, name, labels))
            });
            if compared.is_ok() || begun.elapsed() > SETTLING {
                return compared;
            }
            time::sleep(AGAIN_AFTER).await;
        }
    }

    /// The last started comes first. Returns the rows to show.
    async fn uploads(&self, http: SocketAddr) -> Result<Vec<Vec<String>>, DemoError> {
        let path = format!("/api/v1/uploads?gateway={}", self.gateway);
        let Uploads { mut uploads } = read(http, &path).await?;
        expect("the number of uploads in the ledger", &2, &uploads.len())?;
        let told = [(&self.completed, "ok"), (&self.canceled, "canceled")];
        let mut rows = Vec::new();
        for (upload, (told, outcome)) in uploads.iter_mut().zip(told) {
            let what = |field| format!("the {field} of the {outcome} upload in the ledger");
            expect(what("state"), &"ended", &upload.state.as_str())?;
            expect(what("outcome"), &Some(outcome), &upload.outcome.as_deref())?;
            let bids: Vec<&str> = upload.aliases.iter().map(|alias| alias.bid.as_str()).collect();
            expect(what("bids"), &vec![told.bid], &bids)?;
            let mut files: Vec<File> = told.last.output.ext.files.iter().map(File::from).collect();
            files.sort();
            upload.files.sort();
            expect(what("files"), &files, &upload.files)?;
            let mut row = vec![upload.id.to_string(), outcome.to_owned()];
            row.extend(upload.files.iter().map(|file| {
                let size = file.size.map(megabytes).unwrap_or_default();
                format!("{} % of {size}", file.progress.unwrap_or(0))
            }));
            rows.push(row);
        }
        rows.reverse();
        Ok(rows)
    }

    async fn gateway(&self, http: SocketAddr) -> Result<(), DemoError> {
        let path = format!("/api/v1/gateways/{}", self.gateway);
        let gateway: Gateway = read(http, &path).await?;
        expect("the gateway in the ledger", &self.gateway, &gateway.gateway.as_str())?;
        expect("the refused starts of the gateway in the ledger", &1, &gateway.refused)
    }
}

async fn read<T: DeserializeOwned>(http: SocketAddr, path: &str) -> Result<T, DemoError> {
    let text = get(http, path).await?;
    keeps_secrets(path, &text)?;
    serde_json::from_str(&text).map_err(|source| DemoError::Json { path: path.to_owned(), source })
}

/// Credentials are for the dock alone.
fn keeps_secrets(path: &str, text: &str) -> Result<(), DemoError> {
    let told = SECRETS.iter().any(|secret| text.contains(secret));
    expect(format!("whether credentials are in {path}"), &false, &told)
}
