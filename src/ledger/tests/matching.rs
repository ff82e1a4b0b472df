//! To which upload a message belongs.

use super::*;

fn active(desk: &Desk) {
    desk.start("a", 1, &["3"]);
    desk.reply("a", 0);
}

fn keyed(desk: &Desk, tid: &str, bid: &str, key: &str, content: u64) -> Effects {
    let files = [file("3", "in_progress", key)];
    let progress =
        Progress { status: "in_progress", files: files.into_iter().collect(), content, ..Progress::default() };
    desk.say(DOCK, tid, bid, Body::Progress(progress))
}

#[test]
fn progress_belongs_by_bid_else_by_object_key_else_to_the_only_upload() {
    let desk = Desk::new();
    let files = [StartFile { module: Module::Dock, object_key: "logs/1.tar", device_sn: "" }];
    let start = Start { digest: Some(Digest(1)), files: files.into_iter().collect(), ambiguous: false };
    desk.say("backend", "t", "a", Body::Start(start));
    for (bid, key) in [("a", ""), ("other", "logs/1.tar"), ("third", "logs/unknown.tar"), ("", "")] {
        keyed(&desk, "", bid, key, 0);
        let running = desk.view().running;
        assert_eq!((running.len(), running[0].adopted), (1, false), "{bid} {key}");
    }
    assert!(desk.view().history.unwrap_or_default().is_empty());
}

#[test]
fn before_the_dock_has_answered_an_unknown_ending_is_about_something_else() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.progress("unknown", "ok", &[("3", "ok")]);
    assert_eq!(desk.states(), ["pending"]);
    assert_eq!(desk.outcomes(), [Outcome::Ok], "it is noted as an upload of its own");
}

#[test]
fn an_unknown_upload_that_is_going_on_is_adopted_and_guarded() {
    let desk = Desk::new();
    assert!(saw(&desk.progress("x", "in_progress", &[("3", "file_zip")]), Observation::Adopted));
    assert_eq!(desk.states(), ["active"]);
    assert!(desk.view().running[0].adopted);
    assert!(desk.start("a", 1, &["3"]).refused.is_some());
    let ended = desk.progress("x", "ok", &[("3", "ok")]);
    assert!(saw(&ended, Observation::Ended { outcome: Outcome::Ok, modules: Modules::Dock }));
    assert!(
        !ended.observations.iter().any(|seen| matches!(seen, Observation::UploadDuration(_))),
        "how long it took is not known"
    );
}

#[test]
fn an_unknown_upload_that_is_over_takes_no_slot() {
    let desk = Desk::new();
    let seen = desk.progress("x", "failed", &[("3", "failed")]);
    assert!(saw(&seen, Observation::Adopted));
    assert_eq!(desk.outcomes(), [Outcome::Failed]);
    assert_eq!(desk.start("a", 1, &["3"]).refused, None);
}

#[test]
fn a_reply_alone_adopts_nothing() {
    let desk = Desk::new();
    assert!(saw(&desk.reply("x", 0), Observation::Unmatched));
    assert!(desk.ledger.gateway(DOCK, desk.now()).is_none());
}

#[test]
fn a_late_event_of_an_upload_that_the_dock_ended_changes_nothing() {
    let desk = Desk::new();
    active(&desk);
    desk.progress("a", "ok", &[("3", "ok")]);
    for status in ["in_progress", "failed"] {
        assert_eq!(desk.progress("a", status, &[]).observations[..], [Observation::Late]);
    }
    assert_eq!((desk.states().len(), desk.outcomes()), (0, vec![Outcome::Ok]));
    desk.start("b", 2, &["3"]);
    desk.reply("b", 0);
    desk.progress("a", "failed", &[("3", "failed")]);
    assert_eq!(desk.states(), ["active"], "not the next upload either");
}

#[test]
fn an_upload_that_only_the_clock_ended_takes_its_slot_again_if_it_goes_on() {
    let desk = Desk::new();
    active(&desk);
    desk.wait(600);
    desk.tick();
    assert_eq!(desk.outcomes(), [Outcome::Stalled]);
    let again = desk.progress("a", "in_progress", &[("3", "file_uploading")]);
    assert_eq!(again.observations[..], [Observation::Late, Observation::Adopted]);
    assert_eq!((desk.states(), desk.outcomes()), (vec!["active"], vec![]));
    desk.progress("a", "ok", &[("3", "ok")]);
    assert_eq!(desk.outcomes(), [Outcome::Ok]);
}

#[test]
fn an_upload_that_the_clock_ended_does_not_push_out_the_next_one() {
    let desk = Desk::new();
    active(&desk);
    desk.wait(600);
    desk.start("b", 2, &["3"]);
    desk.reply("b", 0);
    assert_eq!(desk.progress("a", "in_progress", &[]).observations[..], [Observation::Late]);
    assert_eq!(desk.view().running[0].aliases[0].bid, "b");
    assert_eq!(desk.progress("a", "ok", &[]).observations[..], [Observation::Late], "nor does its end");
    assert_eq!(desk.states(), ["active"]);
}

#[test]
fn an_event_sent_again_is_a_duplicate_only_if_tid_and_content_are_the_same() {
    let desk = Desk::new();
    active(&desk);
    let duplicate = |tid, content| saw(&keyed(&desk, tid, "a", "", content), Observation::Duplicate);
    assert!(!duplicate("t", 1));
    assert!(duplicate("t", 1), "the same message");
    assert!(!duplicate("t", 2), "a dock may use one tid for all progress");
    assert!(duplicate("t", 1), "an older one, again");
    assert!(!duplicate("", 1), "without a tid nothing is known");
}

#[test]
fn the_next_upload_may_be_reported_in_the_very_words_of_the_last() {
    let desk = Desk::new();
    for data in 0..3 {
        assert_eq!(desk.start("a", data, &["3"]).refused, None);
        desk.reply("a", 0);
        let progress = Progress { status: "ok", content: 5, ..Progress::default() };
        desk.say(DOCK, "t", "a", Body::Progress(progress));
        assert!(desk.states().is_empty(), "round {data}");
    }
}

#[test]
fn a_duplicate_does_not_put_the_stall_off() {
    let desk = Desk::new();
    active(&desk);
    keyed(&desk, "t", "a", "", 1);
    desk.wait(599);
    keyed(&desk, "t", "a", "", 1);
    desk.wait(1);
    assert!(!desk.tick().is_empty());
}

#[test]
fn a_reply_without_a_method_belongs_to_the_request_with_its_tid() {
    let unnamed = |desk: &Desk, tid: &str, result| {
        let reply = ListReply { result: Some(result), ..ListReply::default() };
        desk.say(DOCK, tid, "", Body::UnnamedReply(reply))
    };
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    unnamed(&desk, "other", 0);
    assert_eq!(desk.states(), ["pending"]);
    unnamed(&desk, "t-a", 0);
    assert_eq!(desk.states(), ["active"]);
    desk.cancel("c", &[]);
    unnamed(&desk, "c", 0);
    assert_eq!(desk.states(), ["cancelling"]);

    desk.say("backend", "l", "l", Body::List);
    let modules =
        [ListedModule { module: Module::Dock, device_sn: "", result: Some(0), files: Vec::new(), offered: 0 }];
    let reply = ListReply { result: Some(0), modules: modules.into_iter().collect() };
    desk.say(DOCK, "l", "", Body::UnnamedReply(reply));
    assert_eq!(desk.view().listed.len(), 1);
}

#[test]
fn an_event_without_a_method_is_progress_only_if_its_bid_is_known() {
    let desk = Desk::new();
    active(&desk);
    for (bid, left) in [("other", 1), ("a", 0)] {
        let progress = Progress { status: "ok", ..Progress::default() };
        desk.say(DOCK, "", bid, Body::UnnamedEvent(progress));
        assert_eq!(desk.states().len(), left, "{bid}");
    }
}

#[test]
fn an_out_of_order_event_does_not_reopen_a_file_that_is_over() {
    let desk = Desk::new();
    active(&desk);
    desk.progress("a", "in_progress", &[("3", "ok")]);
    desk.progress("a", "in_progress", &[("3", "file_zip")]);
    assert_eq!(desk.view().running[0].files[0].status, "ok");
}

#[test]
fn the_overall_percentage_needs_the_number_of_steps() {
    let desk = Desk::new();
    active(&desk);
    desk.progress("a", "in_progress", &[("3", "file_zip")]);
    assert_eq!(desk.view().running[0].files[0].overall, Some(37.5));

    let desk = Desk::new();
    let mut bare = file("3", "file_zip", "");
    bare.total_step = None;
    let progress = Progress { files: [bare].into_iter().collect(), ..Progress::default() };
    desk.say(DOCK, "", "a", Body::Progress(progress));
    assert_eq!(desk.view().running[0].files[0].overall, None);
}

#[test]
fn an_upload_that_is_taken_up_again_is_no_longer_being_cancelled() {
    let desk = Desk::new();
    desk.start("a", 1, &["0", "3"]);
    desk.reply("a", 0);
    desk.cancel("c", &["0"]);
    desk.cancel_reply("c", 0);
    desk.ledger.client_gone(DOCK, desk.now(), &|_| false);
    desk.wait(120);
    desk.tick();
    assert_eq!(desk.outcomes(), [Outcome::Lost]);
    desk.progress("a", "in_progress", &[("3", "file_zip")]);
    assert!(desk.view().running[0].files.iter().all(|file| !file.cancelling));
}

/// An upload of `logs/1.tar`, accepted or not.
fn keyed_upload(accepted: bool) -> Desk {
    let desk = Desk::new();
    let files = [StartFile { module: Module::Dock, object_key: "logs/1.tar", device_sn: "" }];
    let start = Start { digest: Some(Digest(1)), files: files.into_iter().collect(), ambiguous: false };
    desk.say("backend", "t-a", "a", Body::Start(start));
    if accepted {
        desk.reply("a", 0);
    }
    desk
}

#[test]
fn an_unknown_ending_that_names_another_object_key_ends_nothing() {
    for (accepted, state) in [(true, "active"), (false, "pending")] {
        for (status, of_file) in [("ok", "ok"), ("", "ok"), ("failed", "")] {
            let desk = keyed_upload(accepted);
            let ends = |bid: &str, key: &str| {
                let progress = Progress { status, files: vec![file("3", of_file, key)], ..Progress::default() };
                desk.say(DOCK, "", bid, Body::Progress(progress))
            };
            ends("x", "logs/2.tar");
            assert_eq!(desk.states(), [state], "{status:?} {of_file:?}");
            ends("", "logs/1.tar");
            assert!(desk.states().is_empty(), "its own key ends it");
        }
    }
}

#[test]
fn what_names_another_object_key_does_not_give_an_upload_its_names() {
    let desk = keyed_upload(true);
    keyed(&desk, "", "x", "logs/2.tar", 0);
    let running = desk.view().running.remove(0);
    assert_eq!((running.aliases.len(), &*running.files[0].key), (1, "logs/1.tar"));
    let progress = Progress { status: "ok", files: vec![file("3", "ok", "logs/2.tar")], ..Progress::default() };
    desk.say(DOCK, "", "x", Body::Progress(progress));
    assert_eq!(desk.states(), ["active"]);
}

#[test]
fn a_late_reply_without_a_method_is_still_the_starts() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.wait(15);
    desk.tick();
    let reply = ListReply { result: Some(0), ..ListReply::default() };
    desk.say(DOCK, "t-a", "", Body::UnnamedReply(reply));
    assert_eq!(desk.states(), ["active"]);
}

#[test]
fn with_scope_module_an_adopted_upload_takes_the_slots_of_the_modules_it_turns_out_to_have() {
    let rules = Rules { scope: Scope::Module, ..Rules::default() };
    let desk = Desk::with(rules.clone());
    desk.progress("x", "in_progress", &[("0", "file_zip")]);
    desk.progress("x", "in_progress", &[("0", "ok"), ("3", "file_zip")]);
    assert!(desk.start("a", 1, &["3"]).refused.is_some());

    let desk = Desk::with(rules);
    desk.progress("x", "in_progress", &[("0", "file_zip")]);
    assert!(desk.start("a", 1, &["3"]).refused.is_none());
    desk.progress("x", "in_progress", &[("0", "ok"), ("3", "file_zip")]);
    assert_eq!(desk.view().running[0].slots, "aircraft", "only if they are free");
}
