//! Turns of the ledger alone, told by events that have been read.

use super::Subject;
use super::payload::GATEWAY;
use dockgate::ledger::{Body, Digest, Event, Ledger, Module, Now, Progress, ProgressFile, Rules, Start, StartFile};
use std::hint::black_box;

const NOW: Now = Now(1_700_000_000_000);
const BID: &str = "1c9a4f3b-96b7-4c85-8d52-31f5a0e6c7d2";
const KEY: &str = "1c9a4f3b-96b7-4c85-8d52-31f5a0e6c7d2/log.tar";

fn say<'a>(client: &'a str, body: Body<'a>) -> Event<'a> {
    Event { client, is_here: true, tid: "7b1d6f2e-3f05-4c3a-9d8e-2a5400000001", bid: BID, body }
}

fn start<'a>(number: u64) -> Event<'a> {
    let file = StartFile { module: Module::Dock, object_key: KEY, device_sn: GATEWAY };
    let start = Start { digest: Some(Digest(number)), files: vec![file], ambiguous: false };
    say("backend", Body::Start(start))
}

/// A start takes its slot, and the dock's refusal frees it.
pub(crate) fn start_and_rejection() -> Subject {
    let (ledger, mut number) = (Ledger::new(Rules::default()), 0);
    Subject::part(move || {
        number += 1;
        assert!(ledger.apply(GATEWAY, black_box(&start(number)), NOW).refused.is_none());
        black_box(ledger.apply(GATEWAY, &say(GATEWAY, Body::StartReply(Some(324_015))), NOW));
    })
}

/// Progress of one file.
pub(crate) fn progress() -> Subject {
    let (ledger, mut number) = (Ledger::new(Rules::default()), 0);
    assert!(ledger.apply(GATEWAY, &start(1), NOW).refused.is_none());
    Subject::part(move || {
        number += 1;
        let file = ProgressFile {
            module: Module::Dock,
            device_sn: GATEWAY,
            key: KEY,
            fingerprint: "4f65b891f3bc09bdb6d4c36a996b532d",
            status: "file_uploading",
            size: Some(155_232),
            progress: Some(40),
            current_step: Some(19),
            total_step: Some(30),
            upload_rate: Some(5_000.0),
            finish_time: Some(0),
            result: Some(0),
        };
        let progress = Progress { result: None, status: "in_progress", files: vec![file], content: number };
        black_box(ledger.apply(GATEWAY, black_box(&say(GATEWAY, Body::Progress(progress))), NOW));
    })
}
