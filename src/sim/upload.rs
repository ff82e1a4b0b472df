//! One upload inside a simulated dock: a pure state machine, moved on by the time that has passed.

use std::time::Duration;

use super::delivery::Delivery;
use super::plan::{Outcome, Plan};
use super::random::Random;
use super::transfer::{Destination, Happened, Job};
use crate::cloud_api::{FileProgress, Module, Progress, ProgressExt, ProgressFile, ProgressOutput, StartRequest};

/// "Cloud command parameter error": the start names a log that the dock does not have.
pub const PARAMETER_ERROR: i64 = 325_001;

/// Pulling, packing, uploading.
const STEPS: u32 = 3;

/// Where an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The device's logs are fetched; so long until they are packed.
    Pull(Duration),
    /// The archive is made; so long until it is there.
    Zip(Duration),
    Uploading,
    /// Hung for ever: not over, and deaf to a cancel.
    Stalled,
    Ok,
    Canceled,
    Failed(i64),
}

impl Stage {
    fn is_over(self) -> bool {
        matches!(self, Self::Ok | Self::Canceled | Self::Failed(_))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Pull(_) => "file_pull",
            Self::Zip(_) => "file_zip",
            Self::Uploading | Self::Stalled => "file_uploading",
            Self::Ok => "ok",
            Self::Canceled => "canceled",
            Self::Failed(_) => "failed",
        }
    }
}

/// One module's archive.
#[derive(Debug, Clone)]
struct Archive {
    module: Module,
    device_sn: String,
    key: String,
    size: u64,
    sent: u64,
    /// Bytes a second in the last piece of time.
    rate: u64,
    fingerprint: String,
    stage: Stage,
    finish_time: u64,
    /// If it is really made and sent.
    delivery: Option<Delivery>,
}

/// An upload that the dock has accepted.
#[derive(Debug, Clone)]
pub struct Upload {
    bid: String,
    archives: Vec<Archive>,
    rate: u64,
    preparation: Duration,
    outcome: Outcome,
    random: Random,
}

impl Upload {
    /// Begins what a `fileupload_start` with this bid asks for.
    ///
    /// # Errors
    /// The code to answer with, if the plan says so or a log does not exist.
    pub fn start(plan: &Plan, bid: &str, request: &StartRequest) -> Result<Self, i64> {
        if let Outcome::Reject { code } = plan.outcome {
            return Err(code);
        }
        let mut archives = Vec::new();
        for file in &request.params.files {
            let logs = plan.logs.iter().find(|logs| logs.module == file.module);
            let logs = logs.ok_or(PARAMETER_ERROR)?;
            let mut size = 0;
            let mut content = plan.seed;
            let mut packed = Vec::new();
            for wanted in &file.list {
                let boot = logs.boots.iter().find(|boot| boot.boot_index == wanted.boot_index);
                let boot = boot.ok_or(PARAMETER_ERROR)?;
                size += boot.size;
                content = Random::new(content ^ u64::from(wanted.boot_index)).next();
                packed.extend(plan.log(file.module, boot, content));
            }
            let to = Destination::new(request, &file.object_key);
            let job = Job { bid: bid.to_owned(), index: archives.len(), logs: packed, to };
            archives.push(Archive {
                module: file.module,
                device_sn: plan.device(file.module).to_owned(),
                key: file.object_key.clone(),
                size,
                sent: 0,
                rate: 0,
                fingerprint: fingerprint(content),
                stage: Stage::Pull(plan.preparation),
                finish_time: 0,
                delivery: plan.real.map(|_| Delivery::new(job)),
            });
        }
        if archives.is_empty() {
            return Err(PARAMETER_ERROR);
        }
        Ok(Self {
            bid: bid.to_owned(),
            archives,
            rate: plan.rate,
            preparation: plan.preparation,
            outcome: plan.outcome,
            random: Random::new(plan.seed),
        })
    }

    /// The bid that every event of this upload carries.
    pub fn bid(&self) -> &str {
        &self.bid
    }

    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        self.archives.iter().all(|archive| archive.stage.is_over())
    }

    /// Whether an archive hangs, so that nothing more is told of the upload.
    pub fn is_stalled(&self) -> bool {
        self.archives.iter().any(|archive| archive.stage == Stage::Stalled)
    }

    /// Lets `passed` go by; `now_ms` is when that was, on the dock's clock.
    pub fn advance(&mut self, passed: Duration, now_ms: u64) {
        let uploading = self.archives.iter().filter(|a| a.stage == Stage::Uploading).count();
        let share = self.rate / u64::try_from(uploading.max(1)).unwrap_or(1);
        for archive in &mut self.archives {
            archive.stage = match archive.stage {
                Stage::Pull(left) if left > passed => Stage::Pull(left - passed),
                Stage::Pull(_) => Stage::Zip(self.preparation),
                Stage::Zip(left) if left > passed => Stage::Zip(left - passed),
                Stage::Zip(_) if archive.is_prepared() => Stage::Uploading,
                Stage::Zip(_) => Stage::Zip(Duration::ZERO),
                Stage::Uploading => {
                    // A radio link's rate is not flat: give or take 15 %.
                    let rate = share * self.random.between(85, 115) / 100;
                    let end = archive.send(rate, passed);
                    match (self.outcome, end) {
                        (Outcome::Fail { code, at_percent }, _) if archive.percent() >= at_percent => {
                            Stage::Failed(code)
                        }
                        (Outcome::Stall { at_percent }, _) if archive.percent() >= at_percent => Stage::Stalled,
                        (_, Some(Err(code))) => Stage::Failed(code),
                        (_, Some(Ok(()))) => Stage::Ok,
                        (_, None) => Stage::Uploading,
                    }
                }
                over => over,
            };
            archive.close(now_ms);
        }
    }

    /// What is to be packed and sent from now on; each is told once.
    pub fn jobs(&mut self) -> Vec<Job> {
        let ready = self.archives.iter_mut().filter(|a| !matches!(a.stage, Stage::Pull(_)) && !a.stage.is_over());
        ready.filter_map(|archive| archive.delivery.as_mut()?.job()).collect()
    }

    /// Takes note of what has happened to the archive of this number.
    pub fn note(&mut self, index: usize, what: Happened) {
        let Some(archive) = self.archives.get_mut(index).filter(|archive| !archive.stage.is_over()) else { return };
        if let Happened::Packed { size, fingerprint } = &what {
            (archive.size, archive.fingerprint) = (*size, fingerprint.clone());
        }
        if let Some(delivery) = &mut archive.delivery {
            delivery.note(what);
        }
    }

    /// Whether the archive of this number still has a way to go; one that hangs has none.
    pub fn is_under_way(&self, index: usize) -> bool {
        let archive = self.archives.get(index);
        archive.is_some_and(|archive| !archive.stage.is_over() && archive.stage != Stage::Stalled)
    }

    /// Cancels the archives of these modules; those that are over stay as they are.
    pub fn cancel(&mut self, modules: &[Module], now_ms: u64) {
        for archive in &mut self.archives {
            if modules.contains(&archive.module) && !archive.stage.is_over() && archive.stage != Stage::Stalled {
                archive.stage = Stage::Canceled;
                archive.close(now_ms);
            }
        }
    }

    /// Ends every archive that is not over with this code.
    pub fn break_off(&mut self, code: i64, now_ms: u64) {
        for archive in self.archives.iter_mut().filter(|archive| !archive.stage.is_over()) {
            archive.stage = Stage::Failed(code);
            archive.close(now_ms);
        }
    }

    /// What a `fileupload_progress` event says now.
    pub fn progress(&self) -> Progress {
        Progress {
            output: ProgressOutput {
                ext: ProgressExt { files: self.archives.iter().map(Archive::report).collect() },
                status: self.status().to_owned(),
            },
            result: self.archives.iter().map(Archive::result).find(|code| *code != 0).unwrap_or(0),
        }
    }

    /// The word for the whole. DJI does not say what a partly canceled upload is called: here it is `ok`
    /// if what was not canceled arrived.
    fn status(&self) -> &'static str {
        if !self.is_over() {
            return "in_progress";
        }
        let has = |wanted: fn(&Stage) -> bool| self.archives.iter().any(|a| wanted(&a.stage));
        if has(|stage| matches!(stage, Stage::Failed(_))) {
            "failed"
        } else if has(|stage| *stage == Stage::Ok) {
            "ok"
        } else {
            "canceled"
        }
    }
}

impl Archive {
    fn is_prepared(&self) -> bool {
        self.delivery.as_ref().is_none_or(Delivery::is_prepared)
    }

    /// Sends at this rate, or looks how far the delivery is. How it ended, if it did: with a code if it failed.
    fn send(&mut self, rate: u64, passed: Duration) -> Option<Result<(), i64>> {
        if let Some(delivery) = &mut self.delivery {
            let look = delivery.look(passed);
            (self.sent, self.rate) = (look.sent, look.rate);
            return look.end;
        }
        self.rate = rate;
        let bytes = rate.saturating_mul(millis(passed)) / 1000;
        self.sent = (self.sent + bytes).min(self.size);
        (self.sent == self.size).then_some(Ok(()))
    }

    fn percent(&self) -> u32 {
        let percent = (self.sent * 100).checked_div(self.size).unwrap_or(100);
        u32::try_from(percent).unwrap_or(100)
    }

    fn result(&self) -> i64 {
        match self.stage {
            Stage::Failed(code) => code,
            _ => 0,
        }
    }

    /// Notes the end, once.
    fn close(&mut self, now_ms: u64) {
        if self.stage.is_over() && self.finish_time == 0 {
            self.finish_time = now_ms;
            self.rate = 0;
        }
    }

    fn report(&self) -> ProgressFile {
        let (current_step, progress) = match self.stage {
            Stage::Pull(_) => (1, 0),
            Stage::Zip(_) => (2, 0),
            _ => (STEPS, self.percent()),
        };
        let packed = !matches!(self.stage, Stage::Pull(_) | Stage::Zip(_));
        ProgressFile {
            module: self.module,
            size: self.size,
            device_sn: self.device_sn.clone(),
            key: self.key.clone(),
            fingerprint: if packed { self.fingerprint.clone() } else { String::new() },
            progress: FileProgress {
                current_step,
                total_step: STEPS,
                progress,
                finish_time: self.finish_time,
                upload_rate: self.rate,
                result: self.result(),
                status: self.stage.word().to_owned(),
            },
        }
    }
}

/// 32 hexadecimal digits that depend on the logs in the archive, of which no more is made unless the plan wants
/// [`RealUploads`](super::plan::RealUploads).
fn fingerprint(content: u64) -> String {
    let mut random = Random::new(content);
    format!("{:016x}{:016x}", random.next(), random.next())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
