//! The protocol page's own examples, byte for byte, and the demo backend's retries of one.

use super::quirks::Desk;
use super::*;
use crate::ledger::Outcome;

const LIST: &str = include_str!("../../tests/seed/fileupload_list.json");
const LIST_REPLY: &str = include_str!("../../tests/seed/fileupload_list_reply.json");
const START: &str = include_str!("../../tests/seed/fileupload_start.json");
const START_REPLY: &str = include_str!("../../tests/seed/fileupload_start_reply.json");
const PROGRESS: &str = include_str!("../../tests/seed/fileupload_progress.json");
const UPDATE: &str = include_str!("../../tests/seed/fileupload_update.json");
const UPDATE_REPLY: &str = include_str!("../../tests/seed/fileupload_update_reply.json");

/// All seven have the same tid and the same bid.
#[test]
fn the_seven_examples_are_one_conversation_however_often_it_is_held() {
    let desk = Desk::new();
    for round in 1..=3 {
        let steps: [(&str, &str, &[&str]); 9] = [
            ("services", LIST, &[]),
            ("services_reply", LIST_REPLY, &[]),
            ("services", START, &["pending"]),
            ("services_reply", START_REPLY, &["active"]),
            ("services", UPDATE, &["active"]),
            ("services_reply", UPDATE_REPLY, &["cancelling"]),
            ("events", PROGRESS, &[]),
            ("services", UPDATE, &[]),
            ("services_reply", UPDATE_REPLY, &[]),
        ];
        for (level, payload, states) in steps {
            assert!(desk.publish(level, payload).forwards(), "{payload}");
            assert_eq!(desk.states(), states, "round {round}, after {payload}");
        }
        assert_eq!(desk.view().history.unwrap_or_default().len(), round);
        assert_eq!(desk.view().history.unwrap_or_default()[0].outcome, Some(Outcome::Ok));
    }
    let failures =
        |seen: &Observation| matches!(seen, Observation::ParseFailure { .. } | Observation::UnknownStatusWord);
    assert!(!desk.seen().iter().any(failures));
}

#[test]
fn the_list_example_is_kept_by_module() {
    let desk = Desk::new();
    desk.publish("services_reply", LIST_REPLY);
    let listed = desk.view().listed;
    let boots = |at: usize| {
        listed[at].files.iter().flatten().map(|file| (file.boot_index, file.end_time.is_some())).collect::<Vec<_>>()
    };
    assert_eq!((&*listed[0].module, &*listed[1].module), ("0", "3"));
    assert_eq!(boots(0), [(Some(1_111), true), (Some(22_222), true)], "the second says end_ime");
    assert_eq!(boots(1), [(Some(11_111), true), (Some(22_222), true)]);
}

#[test]
fn the_progress_example_is_read_in_full() {
    let desk = Desk::new();
    desk.publish("services", START);
    desk.publish("services_reply", START_REPLY);
    desk.publish("events", PROGRESS);
    let ended = desk.view().history.unwrap_or_default().remove(0);
    let dock = ended.files.iter().find(|file| file.module == "3").expect("the dock's file");
    assert_eq!(
        (dock.progress, dock.current_step, dock.total_step, dock.size),
        (Some(100), Some(19), Some(30), Some(155_232))
    );
    assert_eq!(dock.key, "4bf0039f-6434-44a8-b891-8d7b6b7ff138/dock_sn/video_20220621_110830.log");
    assert_eq!(dock.fingerprint, "4f65b891f3bc09bdb6d4c36a996b532d");
    assert_eq!((dock.result, dock.outcome, dock.finish_time), (Some(0), Some(Outcome::Ok), Some(1_655_781_395_926)));
    let aircraft = ended.files.iter().find(|file| file.module == "0").expect("the aircraft's file");
    assert_eq!((aircraft.total_step, aircraft.overall), (None, None));
}

/// Same timestamp, same data, new tid and bid, within 9 s.
#[test]
fn the_demo_backends_three_sends_are_one_upload_and_a_fourth_start_is_refused() {
    let desk = Desk::new();
    let named = |name: &str| START.replace("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxx", name);
    for name in ["one", "two", "three"] {
        assert!(desk.publish("services", named(name)).forwards());
    }
    assert_eq!((desk.running().aliases.len(), desk.view().running.len()), (3, 1));
    for (before, after) in
        [("1659432522000", "1659432522001"), ("\"boot_index\": 322", "\"boot_index\": 323"), ("8b79b6e6", "8b79b6e7")]
    {
        let other = named("four").replace(before, after);
        assert!(matches!(desk.publish("services", other), Verdict::Refuse(_)), "{before}");
    }
}

#[test]
fn no_credential_can_be_seen_afterwards() {
    let desk = Desk::new();
    let secrets = ["STS.access_key_id", "\"access_key_secret\"", "\"security_token\""];
    assert!(secrets.iter().all(|secret| START.contains(secret)));
    desk.publish("services", START);
    desk.publish("services", START.replace("321", "999"));
    let seen = desk.seen();
    let view = serde_json::to_string(&desk.view()).expect("a view serialises");
    let shown = format!("{:?} {seen:?} {view}", desk.hook);
    for secret in ["STS.", "access_key", "security_token"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
