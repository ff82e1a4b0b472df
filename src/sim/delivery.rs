//! What an upload knows of an archive that is really made and sent: pure, like the upload itself. Who does it is
//! [`super::transfer`].

use std::time::Duration;

use super::transfer::{Happened, Job};

/// "Network anomaly at the dock; upload failed": what a dock can say of a store that it does not reach or that refuses.
pub const UPLOAD_FAILED: i64 = 324_019;

/// How far it is.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    /// What is to be done, until somebody does it.
    job: Option<Job>,
    /// Whether there is an archive.
    is_packed: bool,
    /// Bytes that are on their way.
    sent: u64,
    /// As many as were at the last look.
    seen: u64,
    /// How it has ended: with a code, if the archive did not arrive.
    end: Option<Result<(), i64>>,
}

/// How far it is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) sent: u64,
    /// Bytes a second since the last look.
    pub(super) rate: u64,
    pub(super) end: Option<Result<(), i64>>,
}

impl Delivery {
    pub(super) fn new(job: Job) -> Self {
        Self { job: Some(job), is_packed: false, sent: 0, seen: 0, end: None }
    }

    /// What is to be done, once.
    pub(super) fn job(&mut self) -> Option<Job> {
        self.job.take()
    }

    pub(super) fn note(&mut self, what: Happened) {
        match what {
            Happened::Packed { .. } => self.is_packed = true,
            Happened::Sent(bytes) => self.sent = bytes,
            Happened::Stored => self.end = Some(Ok(())),
            Happened::Failed => self.end = Some(Err(UPLOAD_FAILED)),
        }
    }

    /// Whether nothing keeps it from being sent, or from failing.
    pub(super) fn is_prepared(&self) -> bool {
        self.is_packed || self.end.is_some()
    }

    pub(super) fn look(&mut self, passed: Duration) -> Look {
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = self.sent.saturating_sub(self.seen).saturating_mul(1000) / millis;
        self.seen = self.sent;
        Look { sent: self.sent, rate, end: self.end }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Outcome, Plan, RealUploads};
    use super::super::upload::Upload;
    use super::*;
    use crate::cloud_api::{BootIndex, Credentials, Module, StartFile, StartParams, StartRequest};

    const NOW: u64 = 1_780_000_000_000;
    const TICK: Duration = Duration::from_millis(100);

    /// An upload of one log of the dock, whose preparation takes two ticks a step.
    fn started(outcome: Outcome) -> Upload {
        let real = Some(RealUploads { shrink: 10 });
        let plan = Plan { outcome, real, preparation: 2 * TICK, ..Plan::from_seed(5, NOW) };
        let boot_index = plan.logs[1].boots[0].boot_index;
        let secret = || "hunter2".into();
        let start = StartRequest {
            bucket: "logs".into(),
            credentials: Credentials {
                access_key_id: secret(),
                access_key_secret: secret(),
                expire: 0,
                security_token: secret(),
            },
            endpoint: "http://127.0.0.1:9000".into(),
            file_store_dir: String::new(),
            file_type: "text_log".into(),
            params: StartParams {
                files: vec![StartFile {
                    device_sn: plan.gateway.clone(),
                    list: vec![BootIndex { boot_index }],
                    module: Module::Dock,
                    object_key: "dock.tar".into(),
                }],
            },
            provider: "minio".into(),
            region: "us-east-1".into(),
        };
        Upload::start(&plan, "bid", &start).unwrap()
    }

    fn tick(upload: &mut Upload) -> (String, u64, u32) {
        upload.advance(TICK, NOW);
        let file = upload.progress().output.ext.files.remove(0);
        (file.progress.status, file.progress.upload_rate, file.progress.progress)
    }

    /// Up to where the archive is packed and half of it sent.
    fn half_way(outcome: Outcome) -> Upload {
        let mut upload = started(outcome);
        for word in ["file_pull", "file_zip", "file_zip", "file_zip", "file_zip"] {
            assert_eq!(tick(&mut upload).0, word);
        }
        upload.note(0, Happened::Packed { size: 1_000, fingerprint: "f".repeat(32) });
        assert_eq!(tick(&mut upload).0, "file_uploading");
        upload.note(0, Happened::Sent(500));
        upload
    }

    #[test]
    fn a_job_is_told_once_and_only_when_the_logs_are_there() {
        let mut upload = started(Outcome::Complete);
        assert!(upload.jobs().is_empty());
        tick(&mut upload);
        tick(&mut upload);
        let [job] = &upload.jobs()[..] else { panic!() };
        assert_eq!((job.bid.as_str(), job.index, job.logs.len()), ("bid", 0, 1));
        assert!(job.logs[0].size > 900_000, "a tenth of some ten million: {job:?}");
        assert!(!format!("{job:?}").contains("hunter2"));
        assert!(upload.jobs().is_empty());
    }

    #[test]
    fn the_events_say_what_the_transfer_says() {
        let mut upload = half_way(Outcome::Complete);
        assert_eq!(tick(&mut upload), ("file_uploading".to_owned(), 5_000, 50));
        upload.note(0, Happened::Sent(1_000));
        assert_eq!(
            tick(&mut upload),
            ("file_uploading".to_owned(), 5_000, 100),
            "it has not arrived before the store says so"
        );
        upload.note(0, Happened::Stored);
        assert_eq!(tick(&mut upload).0, "ok");
        assert!(upload.is_over() && !upload.is_under_way(0));
        let last = upload.progress().output.ext.files.remove(0);
        assert_eq!((last.size, last.fingerprint.len(), last.progress.finish_time), (1_000, 32, NOW));
    }

    #[test]
    fn a_transfer_that_failed_ends_the_upload_with_324019() {
        let mut upload = half_way(Outcome::Complete);
        upload.note(0, Happened::Failed);
        assert_eq!(tick(&mut upload).0, "failed");
        assert_eq!(upload.progress().result, UPLOAD_FAILED);
        // Before there is an archive, too.
        let mut upload = started(Outcome::Complete);
        upload.note(0, Happened::Failed);
        while !upload.is_over() {
            tick(&mut upload);
        }
        assert_eq!(upload.progress().output.status, "failed");
    }

    #[test]
    fn a_planned_failure_and_a_cancel_leave_no_way_to_go() {
        let mut upload = half_way(Outcome::Fail { code: 324_030, at_percent: 50 });
        assert!(upload.is_under_way(0));
        assert_eq!(tick(&mut upload).0, "failed");
        assert!(!upload.is_under_way(0));
        let mut upload = half_way(Outcome::Complete);
        upload.cancel(&[Module::Dock], NOW);
        let canceled = upload.progress();
        assert!(!upload.is_under_way(0) && upload.jobs().is_empty());
        upload.note(0, Happened::Sent(900));
        upload.note(0, Happened::Stored);
        tick(&mut upload);
        assert_eq!(upload.progress(), canceled, "what comes late changes nothing");
    }
}
