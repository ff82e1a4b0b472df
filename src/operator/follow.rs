//! An upload on its way, on the terminal.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::signal::unix::Signal;

use super::Failed;
use super::client::{ApiError, Client, Upload, UploadFile};
use super::select::name;

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// Looks in vain, one after the other, after which the broker counts as gone.
const PATIENCE: u32 = 60;

/// What has become of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every archive has arrived.
    Arrived,
    /// It ended otherwise.
    Over {
        /// The ledger's word for how.
        outcome: String,
    },
    /// It was canceled with Ctrl-C.
    Interrupted,
}

/// Shows an upload until it ends. The first Ctrl-C cancels it, a second one leaves it alone.
pub(super) async fn to_the_end(
    client: &Client,
    gateway: &str,
    id: u64,
    mut interrupt: Signal,
) -> Result<Ending, Failed> {
    let mut bars = Bars::default();
    let (mut is_canceled, mut failures) = (false, 0);
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = interrupt.recv() => {
                if is_canceled {
                    return Ok(Ending::Interrupted);
                }
                is_canceled = true;
                cancel(client, gateway, &bars).await;
                continue;
            }
        }
        let upload = match client.get(&format!("/api/v1/uploads/{id}")).await.and_then(|answer| answer.upload()) {
            Ok(upload) => upload,
            // A broker that is being restarted comes back, and knows its uploads.
            Err(ApiError::Unreachable { .. }) if failures < PATIENCE => {
                failures += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        failures = 0;
        bars.show(&upload);
        if upload.state == "ended" {
            bars.close();
            return Ok(tell(&upload, is_canceled)?);
        }
    }
}

async fn cancel(client: &Client, gateway: &str, bars: &Bars) {
    bars.say("canceling; another Ctrl-C leaves the upload alone");
    let path = format!("/api/v1/gateways/{gateway}/uploads/cancel");
    if let Err(error) = client.post(&path, json!({})).await {
        bars.say(&format!("it could not be canceled: {error}"));
    }
}

/// Says how it ended: the archives that arrived on the output, the rest beside it.
fn tell(upload: &Upload, is_canceled: bool) -> io::Result<Ending> {
    let outcome = upload.outcome.clone().unwrap_or_default();
    if outcome == "ok" {
        let mut output = io::stdout().lock();
        for file in upload.files.iter().filter(|file| file.status == "ok" || file.status.is_empty()) {
            use io::Write as _;
            writeln!(output, "{}\t{}\t{}", file.key, file.size.unwrap_or(0), file.fingerprint)?;
        }
        return Ok(Ending::Arrived);
    }
    let code = upload.code.filter(|code| *code != 0).map(|code| format!(" with {code}")).unwrap_or_default();
    let meaning = upload.meaning.as_deref().filter(|_| !code.is_empty()).map(|text| format!(": {text}"));
    eprintln!("the upload ended: {outcome}{code}{}", meaning.unwrap_or_default());
    Ok(if is_canceled { Ending::Interrupted } else { Ending::Over { outcome } })
}

/// One bar a module.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    by_module: HashMap<String, ProgressBar>,
}

impl Bars {
    fn show(&mut self, upload: &Upload) {
        for file in &upload.files {
            let bar = self.by_module.entry(file.module.clone()).or_insert_with(|| self.all.add(bar(&file.module)));
            bar.set_position(percent(file));
            bar.set_message(message(file));
        }
    }

    fn say(&self, text: &str) {
        // Where there is no terminal, nothing is drawn, and nothing would be said.
        if self.all.is_hidden() || self.all.println(text).is_err() {
            eprintln!("{text}");
        }
    }

    fn close(&self) {
        self.by_module.values().for_each(ProgressBar::abandon);
    }
}

fn bar(module: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<12} {bar:32} {pos:>3} %  {msg}");
    let bar = ProgressBar::new(100).with_prefix(name(module).to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Of all steps where the dock says how many there are, else of the present one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 100")]
fn percent(file: &UploadFile) -> u64 {
    file.overall.unwrap_or_else(|| file.progress.map_or(0.0, |percent| percent as f64)).clamp(0.0, 100.0) as u64
}

fn message(file: &UploadFile) -> String {
    let size = file.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion saturates, and it is shown"
    )]
    let rate = file.upload_rate.filter(|rate| *rate > 0.0).map(|rate| format!(", {}/s", HumanBytes(rate as u64)));
    format!("{} {size}{}", file.status, rate.unwrap_or_default())
}
