//! How an upload moves on and ends.

use super::*;

/// A start that the dock has accepted.
fn active(desk: &Desk, modules: &[&str]) {
    desk.start("a", 1, modules);
    desk.reply("a", 0);
    assert_eq!(desk.states(), ["active"]);
}

fn is_free(desk: &Desk) -> bool {
    desk.start("probe", 99, &["3"]).refused.is_none()
}

#[test]
fn every_terminal_output_status_ends_the_upload_and_frees_the_slot() {
    for outcome in [Outcome::Ok, Outcome::Failed, Outcome::Rejected, Outcome::Canceled, Outcome::Timeout] {
        let desk = Desk::new();
        active(&desk, &["3"]);
        desk.wait(60);
        let ended = desk.progress("a", outcome.as_str(), &[("3", outcome.as_str())]);
        assert!(saw(&ended, Observation::Ended { outcome, modules: Modules::Dock }), "{outcome:?}");
        assert!(saw(&ended, Observation::UploadDuration(60_000)));
        assert_eq!(saw(&ended, Observation::FileSize(155_232)), outcome == Outcome::Ok);
        assert_eq!(desk.outcomes(), [outcome]);
        assert!(is_free(&desk));
    }
}

#[test]
fn all_files_over_end_the_upload_only_where_the_output_has_no_status() {
    for (status, ends) in [("", true), ("in_progress", false), ("uploading", false), ("sent", false)] {
        let desk = Desk::new();
        active(&desk, &["0", "3"]);
        desk.progress("a", status, &[("0", "ok"), ("3", "file_zip")]);
        assert_eq!(desk.states(), ["active"], "one file is not over");
        desk.progress("a", status, &[("3", "failed")]);
        assert_eq!(desk.states().is_empty(), ends, "{status:?}");
        if ends {
            assert_eq!(desk.outcomes(), [Outcome::Failed]);
        }
    }
}

#[test]
fn a_module_that_was_started_and_has_not_reported_is_not_over() {
    let desk = Desk::new();
    active(&desk, &["0", "3"]);
    desk.progress("a", "", &[("0", "ok")]);
    assert_eq!(desk.states(), ["active"]);
}

#[test]
fn a_fault_of_one_file_does_not_end_an_upload_whose_status_is_going_on() {
    let desk = Desk::new();
    active(&desk, &["3"]);
    let mut faulty = file("3", "in_progress", "");
    faulty.result = Some(324_019);
    let progress = Progress { status: "in_progress", files: [faulty].into_iter().collect(), ..Progress::default() };
    desk.say(DOCK, "", "a", Body::Progress(progress));
    assert_eq!(desk.states(), ["active"]);
    assert_eq!(desk.view().running[0].files[0].meaning, Some("Network anomaly at the dock. Log upload failed"));
    let ended = desk.progress("a", "failed", &[("3", "failed")]);
    assert!(saw(&ended, Observation::ResultCode(324_019)), "the file's code is why it failed");
    assert_eq!(desk.view().history.unwrap_or_default()[0].code, Some(324_019));
}

#[test]
fn an_unknown_status_word_means_still_going_on_and_is_kept() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    let seen = desk.progress("a", "uploading", &[("3", "partially_done")]);
    assert_eq!(seen.observations.iter().filter(|seen| **seen == Observation::UnknownStatusWord).count(), 2);
    let running = &desk.view().running[0];
    assert_eq!((running.state, &*running.status, &*running.files[0].status), ("active", "uploading", "partially_done"));
}

#[test]
fn progress_makes_a_pending_upload_active_and_then_a_refusal_is_not_believed() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.progress("a", "in_progress", &[("3", "file_pull")]);
    assert_eq!(desk.states(), ["active"]);
    desk.reply("a", 314_000);
    assert_eq!(desk.states(), ["active"]);
}

#[test]
fn a_refusal_ends_the_upload_unless_another_sending_was_accepted() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    let ended = desk.reply("a", 314_000);
    assert!(saw(&ended, Observation::ResultCode(314_000)));
    assert_eq!(ended.observations.iter().filter(|seen| matches!(seen, Observation::ResultCode(_))).count(), 1);
    assert_eq!(desk.outcomes(), [Outcome::Rejected]);
    assert_eq!(
        desk.view().history.unwrap_or_default()[0].meaning,
        Some("Operation not supported. Check device status")
    );
    assert!(is_free(&desk));

    let desk = Desk::new();
    desk.start("a1", 1, &["3"]);
    desk.start("a2", 1, &["3"]);
    desk.reply("a1", 0);
    desk.reply("a2", 325_009);
    assert_eq!(desk.states(), ["active"]);
}

/// The demo backend sends the same start twice; the dock is busy with the first, and says so to the second.
fn refused_while_a_sending_is_open() -> Desk {
    let desk = Desk::new();
    desk.start("a1", 1, &["3"]);
    desk.start("a2", 1, &["3"]);
    desk.reply("a2", 325_009);
    assert_eq!(desk.states(), ["pending"]);
    assert!(desk.start("b", 2, &["3"]).refused.is_some());
    desk
}

#[test]
fn a_refusal_does_not_free_the_slot_while_another_sending_is_not_answered() {
    let desk = refused_while_a_sending_is_open();
    desk.reply("a1", 0);
    assert_eq!(desk.states(), ["active"]);

    let desk = refused_while_a_sending_is_open();
    desk.reply("a1", 325_009);
    assert_eq!(desk.outcomes(), [Outcome::Rejected]);

    let desk = Desk::with(Rules { max_aliases: 1, ..Rules::default() });
    desk.start("a1", 1, &["3"]);
    desk.start("a2", 1, &["3"]);
    desk.reply("a1", 325_009);
    assert_eq!(desk.states(), ["pending"], "a sending whose names were not kept is open");
}

#[test]
fn when_the_reply_is_due_a_refused_sending_makes_the_upload_a_rejected_one() {
    let desk = refused_while_a_sending_is_open();
    desk.wait(15);
    desk.tick();
    assert_eq!(desk.outcomes(), [Outcome::Rejected]);
    desk.reply("a1", 0);
    assert_eq!(desk.states(), ["active"], "the acceptance may come later still");
}

#[test]
fn progress_of_an_upload_that_was_only_refused_takes_the_slot_again_if_it_is_free() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.reply("a", 325_009);
    assert!(saw(&desk.progress("a", "in_progress", &[("3", "file_zip")]), Observation::Adopted));
    assert_eq!(desk.states(), ["active"]);

    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.reply("a", 325_009);
    desk.start("b", 2, &["3"]);
    assert!(saw(&desk.progress("a", "in_progress", &[]), Observation::Late));
    assert_eq!(desk.view().running[0].aliases[0].bid, "b", "not if another has it by now");

    let desk = Desk::new();
    active(&desk, &["3"]);
    desk.progress("a", "rejected", &[]);
    assert!(saw(&desk.progress("a", "in_progress", &[]), Observation::Late));
    assert!(desk.states().is_empty(), "what the dock reported as over is over");
}

#[test]
fn an_upload_that_goes_on_after_its_cancel_has_had_its_time_takes_the_slot_again() {
    let desk = Desk::new();
    active(&desk, &["3"]);
    desk.cancel("c", &["3"]);
    desk.cancel_reply("c", 0);
    desk.wait(30);
    desk.tick();
    assert_eq!(desk.outcomes(), [Outcome::Canceled]);
    desk.progress("a", "in_progress", &[]);
    assert_eq!((desk.states(), desk.view().running[0].files[0].outcome), (vec!["active"], None));
    desk.progress("a", "canceled", &[]);
    assert!(saw(&desk.progress("a", "in_progress", &[]), Observation::Late), "now the dock has said it");
    assert!(desk.states().is_empty());
}

#[test]
fn of_two_modules_the_one_that_was_not_cancelled_says_how_it_ended() {
    let orders: [Reach; 3] = [
        |desk| {
            desk.cancel("c", &["3"]);
            desk.cancel_reply("c", 0);
            desk.progress("a", "in_progress", &[("0", "ok")]);
        },
        |desk| {
            desk.progress("a", "in_progress", &[("0", "ok"), ("3", "file_zip")]);
            desk.cancel("c", &["3"]);
            desk.cancel_reply("c", 0);
            assert_eq!(desk.states(), ["cancelling"]);
        },
        |desk| {
            desk.cancel("c", &["3"]);
            desk.cancel_reply("c", 0);
            desk.wait(30);
            desk.tick();
            desk.progress("a", "in_progress", &[("0", "ok")]);
        },
    ];
    for reach in orders {
        let desk = Desk::new();
        active(&desk, &["0", "3"]);
        reach(&desk);
        desk.wait(30);
        desk.tick();
        assert_eq!(desk.outcomes(), [Outcome::Ok]);
    }
}

#[test]
fn a_file_that_was_given_up_goes_on_if_the_dock_says_so() {
    let desk = Desk::new();
    active(&desk, &["0", "3"]);
    desk.cancel("c", &["3"]);
    desk.cancel_reply("c", 0);
    desk.wait(30);
    desk.tick();
    desk.progress("a", "in_progress", &[("0", "ok"), ("3", "file_uploading")]);
    assert_eq!(desk.states(), ["active"]);
    assert_eq!(desk.view().running[0].files[1].outcome, None);
    desk.progress("a", "", &[("3", "failed")]);
    assert_eq!(desk.outcomes(), [Outcome::Failed]);
}

#[test]
fn a_file_without_a_word_of_its_own_has_arrived_with_the_whole() {
    let desk = Desk::new();
    active(&desk, &["3"]);
    assert!(saw(&desk.progress("a", "ok", &[("3", "")]), Observation::FileSize(155_232)));
}

#[test]
fn a_reply_without_a_result_counts_as_accepted() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.say(DOCK, "t-a", "a", Body::StartReply(None));
    assert_eq!(desk.states(), ["active"]);
    assert_eq!(desk.view().running[0].aliases[0].result, None, "and is not shown as one with a 0");
}

#[test]
fn time_ends_what_nobody_answers_or_continues() {
    let cases: [(Outcome, u64, Reach); 4] = [
        (Outcome::Unanswered, 15, |desk| {
            desk.start("a", 1, &["3"]);
        }),
        (Outcome::Stalled, 600, |desk| active(desk, &["3"])),
        (Outcome::Lost, 120, |desk| {
            active(desk, &["3"]);
            desk.ledger.client_gone(DOCK, desk.now(), &|_| false);
        }),
        (Outcome::Canceled, 30, |desk| {
            active(desk, &["3"]);
            desk.cancel("c", &["3"]);
            desk.cancel_reply("c", 0);
        }),
    ];
    for (outcome, limit, reach) in cases {
        let desk = Desk::new();
        reach(&desk);
        desk.wait(limit - 1);
        assert!(desk.tick().is_empty(), "{outcome:?} too early");
        assert_eq!(desk.ledger.next_deadline(), Some(desk.wait(1).now()), "{outcome:?}");
        assert!(desk.tick().contains(&Observation::Ended { outcome, modules: Modules::Dock }));
        assert_eq!(desk.outcomes(), [outcome]);
        assert_eq!(desk.ledger.active(), (0, 0, 0));
        assert_eq!(desk.ledger.next_deadline(), None);
        assert!(is_free(&desk));
    }
}

#[test]
fn time_counts_even_if_no_tick_comes_by() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.wait(15);
    let passed = desk.start("b", 2, &["3"]);
    assert_eq!(passed.refused, None);
    assert!(saw(&passed, Observation::Ended { outcome: Outcome::Unanswered, modules: Modules::Dock }));
}

#[test]
fn every_progress_puts_the_stall_off() {
    let desk = Desk::new();
    active(&desk, &["3"]);
    for _ in 0..5 {
        desk.wait(599);
        assert!(desk.tick().is_empty());
        desk.progress("a", "in_progress", &[("3", "file_uploading")]);
    }
    desk.wait(600);
    assert!(!desk.tick().is_empty());
}

#[test]
fn a_dock_that_comes_back_within_the_grace_has_lost_nothing() {
    let desk = Desk::new();
    active(&desk, &["3"]);
    desk.ledger.client_gone(DOCK, desk.now(), &|_| false);
    assert!(!desk.view().present);
    desk.wait(119);
    desk.ledger.client_back(DOCK, desk.now());
    desk.wait(120);
    assert!(desk.tick().is_empty());
    assert_eq!(desk.states(), ["active"]);
}

#[test]
fn a_dock_that_speaks_is_present_whatever_its_client_id() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.say("bridge", "t-a", "a", Body::StartReply(Some(0)));
    desk.ledger.client_gone("somebody", desk.now(), &|_| false);
    assert!(desk.view().present);
    desk.ledger.client_gone("bridge", desk.now(), &|_| false);
    assert!(!desk.view().present);
    desk.ledger.client_back("bridge", desk.now());
    assert!(desk.view().present);
    desk.ledger.client_gone("bridge", desk.now(), &|_| false);
    desk.wait(120);
    assert!(desk.tick().contains(&Observation::Ended { outcome: Outcome::Lost, modules: Modules::Dock }));
}

#[test]
fn a_dock_whose_own_client_left_is_gone_whoever_else_once_spoke() {
    for is_seen in [true, false] {
        let desk = Desk::new();
        desk.start("a", 1, &["3"]);
        desk.say("tool", "t-a", "a", Body::StartReply(Some(0)));
        if is_seen {
            desk.progress("a", "in_progress", &[]);
        }
        desk.ledger.client_gone(DOCK, desk.now(), &|_| false);
        assert!(!desk.view().present);
        desk.ledger.client_back("tool", desk.now());
        assert!(!desk.view().present);
        desk.wait(120);
        desk.tick();
        assert_eq!(desk.outcomes(), [Outcome::Lost]);
    }
}

#[test]
fn a_dock_whose_own_client_is_connected_is_not_gone_when_a_bystander_leaves() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.say("tool", "t-a", "a", Body::StartReply(Some(0)));
    desk.ledger.client_gone("tool", desk.now(), &|client| client == DOCK);
    assert!(desk.view().present, "it connected before the ledger knew it");
    desk.ledger.client_gone(DOCK, desk.now(), &|_| false);
    assert!(!desk.view().present);
    desk.say("bridge", "", "a", Body::Progress(Progress::default()));
    assert!(desk.view().present, "who speaks is there");
}

#[test]
fn neither_a_will_nor_a_message_about_something_else_makes_a_dock_present() {
    let desk = Desk::new();
    active(&desk, &["3"]);
    desk.ledger.client_gone(DOCK, desk.now(), &|_| false);
    let says = |client, is_here, tid, bid, body| {
        desk.ledger.apply(DOCK, &Event { client, is_here, tid, bid, body }, desk.now());
        desk.view().present
    };
    let going_on = || Progress { status: "in_progress", ..Progress::default() };
    assert!(!says(DOCK, false, "", "a", Body::Progress(going_on())), "its will");
    assert!(!says(DOCK, true, "", "x", Body::UnnamedEvent(going_on())), "an event of no upload");
    assert!(!says(DOCK, true, "x", "", Body::UnnamedReply(ListReply::default())), "another service's reply");
    assert!(says(DOCK, true, "", "a", Body::UnnamedEvent(going_on())));
}

#[test]
fn a_cancel_counts_from_its_acceptance_and_a_refusal_of_it_changes_nothing() {
    let desk = Desk::new();
    active(&desk, &["3"]);
    desk.cancel("c", &["3"]);
    assert_eq!(desk.states(), ["active"]);
    desk.cancel_reply("c", 314_000);
    assert_eq!(desk.states(), ["active"]);
    desk.cancel("d", &["3"]);
    desk.cancel_reply("d", 0);
    assert_eq!(desk.states(), ["cancelling"]);
    desk.cancel_reply("d", 325_003);
    assert_eq!(desk.states(), ["active"], "the dock takes its word back");
    desk.wait(31);
    assert!(desk.tick().is_empty());
}

#[test]
fn a_refusal_of_the_second_sending_of_a_cancel_does_not_undo_the_first() {
    let desk = Desk::new();
    active(&desk, &["3"]);
    desk.cancel("c1", &["0", "3"]);
    desk.cancel("c2", &["0", "3"]);
    desk.cancel_reply("c1", 0);
    desk.cancel_reply("c2", 314_000);
    assert_eq!(desk.states(), ["cancelling"]);
}

#[test]
fn what_a_cancelling_upload_ends_with_is_what_the_dock_says() {
    for status in ["canceled", "ok"] {
        let desk = Desk::new();
        active(&desk, &["3"]);
        desk.cancel("c", &["0", "3"]);
        desk.cancel_reply("c", 0);
        desk.progress("a", "in_progress", &[("3", "file_uploading")]);
        assert_eq!(desk.states(), ["cancelling"]);
        desk.progress("a", status, &[("3", status)]);
        assert_eq!(desk.outcomes()[0].as_str(), status);
    }
}

#[test]
fn cancel_of_one_of_two_modules_leaves_the_other_going() {
    let desk = Desk::new();
    active(&desk, &["0", "3"]);
    desk.cancel("c", &["0"]);
    desk.cancel_reply("c", 0);
    assert_eq!(desk.states(), ["active"]);
    let cancelling = |desk: &Desk| desk.view().running[0].files.iter().map(|file| file.cancelling).collect::<Vec<_>>();
    assert_eq!(cancelling(&desk), [true, false]);
    desk.wait(30);
    desk.tick();
    assert_eq!(desk.states(), ["active"]);
    assert_eq!(desk.view().running[0].files[0].outcome, Some(Outcome::Canceled));
    desk.progress("a", "", &[("3", "ok")]);
    assert_eq!(desk.outcomes(), [Outcome::Ok], "what was not cancelled has arrived");
}

#[test]
fn cancelling_the_modules_one_after_the_other_cancels_the_upload() {
    let desk = Desk::new();
    active(&desk, &["0", "3"]);
    for module in ["0", "3"] {
        desk.cancel(module, &[module]);
        desk.cancel_reply(module, 0);
    }
    assert_eq!(desk.states(), ["cancelling"]);
}

#[test]
fn a_pending_upload_can_be_cancelled() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.cancel("c", &["0", "3"]);
    desk.cancel_reply("c", 0);
    assert_eq!(desk.states(), ["cancelling"]);
    desk.wait(30);
    desk.tick();
    assert_eq!(desk.outcomes(), [Outcome::Canceled]);
}

#[test]
fn with_no_modules_known_only_a_cancel_of_all_cancels_the_upload() {
    for (modules, state) in [(&["0"][..], "active"), (&["0", "3"], "cancelling"), (&[], "cancelling")] {
        let desk = Desk::new();
        active(&desk, &[]);
        desk.cancel("c", modules);
        desk.cancel_reply("c", 0);
        assert_eq!(desk.states(), [state], "{modules:?}");
    }
}

#[test]
fn an_accepted_cancel_of_an_earlier_upload_does_not_weigh_on_the_next() {
    let desk = Desk::new();
    active(&desk, &["3"]);
    desk.cancel("old", &["3"]);
    desk.cancel_reply("old", 0);
    desk.progress("a", "canceled", &[]);
    desk.start("b", 2, &["3"]);
    desk.reply("b", 0);
    desk.cancel("new", &["3"]);
    desk.cancel_reply("new", 0);
    desk.cancel_reply("new", 314_000);
    assert_eq!(desk.states(), ["active"]);
}
