//! An upload from its start to its end.

use super::*;
use crate::cloud_api::{BootIndex, Credentials, StartFile, StartParams};

const NOW: u64 = 1_780_000_000_000;
const TICK: Duration = Duration::from_millis(100);

fn everything(plan: &Plan) -> StartRequest {
    let files = plan
        .logs
        .iter()
        .map(|logs| StartFile {
            device_sn: plan.device(logs.module).to_owned(),
            list: logs.boots.iter().map(|b| BootIndex { boot_index: b.boot_index }).collect(),
            module: logs.module,
            object_key: format!("logs/{}.tar", logs.module.name()),
        })
        .collect();
    StartRequest {
        bucket: String::new(),
        credentials: Credentials {
            access_key_id: "".into(),
            access_key_secret: "".into(),
            expire: 0,
            security_token: "".into(),
        },
        endpoint: String::new(),
        file_store_dir: String::new(),
        file_type: "text_log".into(),
        params: StartParams { files },
        provider: "minio".into(),
        region: String::new(),
    }
}

fn started(outcome: Outcome) -> Upload {
    let plan = Plan { outcome, ..Plan::from_seed(5, NOW) };
    Upload::start(&plan, "bid", &everything(&plan)).unwrap()
}

/// Every report until the end, which must come within a minute of the dock's time.
fn run(upload: &mut Upload) -> Vec<Progress> {
    let mut seen = Vec::new();
    for tick in 0..600 {
        upload.advance(TICK, NOW + tick * 100);
        seen.push(upload.progress());
        if upload.is_over() {
            return seen;
        }
    }
    panic!("no end within a minute: {:?}", upload.progress());
}

#[test]
fn an_upload_goes_through_pull_zip_and_uploading_to_ok() {
    let seen = run(&mut started(Outcome::Complete));
    let mut words: Vec<String> = seen.iter().map(|p| p.output.ext.files[0].progress.status.clone()).collect();
    words.dedup();
    assert_eq!(words, ["file_pull", "file_zip", "file_uploading", "ok"]);
    let last = seen.last().unwrap();
    assert_eq!(last.output.status, "ok");
    for file in &last.output.ext.files {
        assert_eq!(file.progress.progress, 100);
        assert_eq!(file.fingerprint.len(), 32);
        assert!(file.progress.finish_time > NOW);
    }
    assert!(seen[..seen.len() - 1].iter().all(|p| p.output.status == "in_progress"));
}

#[test]
fn progress_of_a_step_never_goes_back_and_a_running_file_has_no_finish_time() {
    let seen = run(&mut started(Outcome::Complete));
    let mut last = (0, 0);
    for file in seen.iter().map(|p| &p.output.ext.files[0]) {
        let now = (file.progress.current_step, file.progress.progress);
        assert!(now >= last, "{last:?} then {now:?}");
        last = now;
        assert_eq!(file.progress.finish_time == 0, file.progress.status != "ok");
    }
}

#[test]
fn a_whole_upload_of_the_default_plan_takes_about_six_seconds() {
    let ticks = run(&mut started(Outcome::Complete)).len();
    assert!((45..=75).contains(&ticks), "{ticks} ticks of 100 ms");
}

#[test]
fn two_archives_share_the_uplink() {
    let mut upload = started(Outcome::Complete);
    for _ in 0..20 {
        upload.advance(TICK, NOW);
    }
    for file in upload.progress().output.ext.files {
        let rate = file.progress.upload_rate;
        assert!((3_800_000..=5_200_000).contains(&rate), "{rate} of 9,000,000 for two");
    }
}

#[test]
fn a_canceled_upload_ends_canceled_and_moves_no_further() {
    let mut upload = started(Outcome::Complete);
    for _ in 0..20 {
        upload.advance(TICK, NOW);
    }
    upload.cancel(&[Module::Dock, Module::Aircraft], NOW);
    let at_cancel = upload.progress();
    assert!(upload.is_over());
    assert_eq!(at_cancel.output.status, "canceled");
    upload.advance(TICK, NOW + 100);
    assert_eq!(upload.progress(), at_cancel);
}

#[test]
fn canceling_one_module_leaves_the_other_to_its_end() {
    let mut upload = started(Outcome::Complete);
    upload.cancel(&[Module::Dock], NOW);
    assert!(!upload.is_over());
    let last = run(&mut upload).pop().unwrap();
    assert_eq!(last.output.ext.files[0].progress.status, "ok");
    assert_eq!(last.output.ext.files[1].progress.status, "canceled");
    assert_eq!(last.output.status, "ok");
}

#[test]
fn a_failing_upload_says_its_code_for_the_whole_and_for_each_file() {
    let last = run(&mut started(Outcome::Fail { code: 324_019, at_percent: 40 })).pop().unwrap();
    assert_eq!((last.result, last.output.status.as_str()), (324_019, "failed"));
    for file in last.output.ext.files {
        assert_eq!(file.progress.result, 324_019);
        assert!((40..100).contains(&file.progress.progress));
    }
}

#[test]
fn a_stalled_upload_is_never_over_and_deaf_to_a_cancel() {
    let mut upload = started(Outcome::Stall { at_percent: 40 });
    for _ in 0..600 {
        upload.advance(TICK, NOW);
    }
    assert!(upload.is_stalled());
    let stalled = upload.progress();
    upload.cancel(&[Module::Dock, Module::Aircraft], NOW);
    assert_eq!((upload.progress(), upload.is_over()), (stalled, false));
}

#[test]
fn a_start_is_rejected_with_the_planned_code_or_when_a_log_does_not_exist() {
    let plan = Plan::from_seed(5, NOW);
    let mut request = everything(&plan);
    let rejecting = Plan { outcome: Outcome::Reject { code: 314_000 }, ..plan.clone() };
    assert_eq!(Upload::start(&rejecting, "b", &request).unwrap_err(), 314_000);
    request.params.files[0].list[0].boot_index = 1;
    assert_eq!(Upload::start(&plan, "b", &request).unwrap_err(), PARAMETER_ERROR);
    request.params.files.clear();
    assert_eq!(Upload::start(&plan, "b", &request).unwrap_err(), PARAMETER_ERROR);
}

#[test]
fn the_same_logs_have_the_same_fingerprint_and_others_another() {
    let last = |outcome| run(&mut started(outcome)).pop().unwrap().output.ext.files;
    let files = last(Outcome::Complete);
    assert_eq!(files[0].fingerprint, last(Outcome::Complete)[0].fingerprint);
    assert_ne!(files[0].fingerprint, files[1].fingerprint);
}
