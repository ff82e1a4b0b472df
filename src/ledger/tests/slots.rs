//! Who gets a slot.

use super::*;

#[test]
fn a_second_start_is_refused_whatever_the_state_of_the_first() {
    let reach: [(&str, Reach); 3] = [
        ("pending", |_| {}),
        ("active", |desk| {
            desk.reply("a", 0);
        }),
        ("cancelling", |desk| {
            desk.reply("a", 0);
            desk.cancel("c", &["3"]);
            desk.cancel_reply("c", 0);
        }),
    ];
    for (state, reach) in reach {
        let desk = Desk::new();
        assert_eq!(desk.start("a", 1, &["3"]).refused, None);
        reach(&desk);
        assert_eq!(desk.states(), [state]);
        desk.wait(2);
        let refused = desk.start("b", 2, &["0"]).refused.expect("the slot is taken");
        assert_eq!((refused.state.as_str(), refused.age_ms, refused.result), (state, 2_000, 325_009));
        assert_eq!(desk.view().refused, 1);
        assert_eq!(desk.states(), [state], "a refused start changes nothing");
    }
}

#[test]
fn three_sends_of_one_start_are_one_upload_with_three_names() {
    let desk = Desk::new();
    assert!(saw(&desk.start("a1", 7, &["3"]), Observation::Started));
    for bid in ["a2", "a3"] {
        desk.wait(3);
        let again = desk.start(bid, 7, &["3"]);
        assert_eq!(again.refused, None);
        assert_eq!(again.observations[..], [Observation::Retry]);
    }
    let running = desk.view().running;
    let names: Vec<&str> = running[0].aliases.iter().map(|alias| &*alias.bid).collect();
    assert_eq!((running.len(), names), (1, vec!["a1", "a2", "a3"]));
    desk.reply("a3", 0);
    assert_eq!(desk.states(), ["active"], "the answer to any of them counts");
    desk.progress("a2", "ok", &[]);
    assert_eq!(desk.outcomes(), [Outcome::Ok], "the progress of any of them counts");
}

#[test]
fn the_same_data_is_a_retry_only_for_reply_timeout_and_not_while_it_is_being_cancelled() {
    let desk = Desk::new();
    desk.start("a", 7, &["3"]);
    desk.reply("a", 0);
    desk.wait(14);
    assert_eq!(desk.start("b", 7, &["3"]).refused, None);
    desk.wait(1);
    assert!(desk.start("c", 7, &["3"]).refused.is_some());

    let desk = Desk::new();
    desk.start("a", 7, &["3"]);
    desk.reply("a", 0);
    desk.cancel("x", &[]);
    desk.cancel_reply("x", 0);
    assert!(desk.start("b", 7, &["3"]).refused.is_some());
}

#[test]
fn the_same_message_twice_is_no_retry_but_a_duplicate() {
    let desk = Desk::new();
    desk.start("a", 7, &["3"]);
    assert_eq!(desk.start("a", 7, &["3"]).observations[..], [Observation::Duplicate]);
    assert_eq!(desk.view().running[0].aliases.len(), 1);
}

#[test]
fn a_start_without_a_digest_is_never_a_retry() {
    let desk = Desk::new();
    for (bid, is_refused) in [("a", false), ("b", true)] {
        let effects = desk.say("backend", bid, bid, Body::Start(Start::default()));
        assert_eq!(effects.refused.is_some(), is_refused);
    }
}

#[test]
fn with_scope_module_each_module_has_a_slot_and_a_start_of_both_needs_both() {
    let rules = Rules { scope: Scope::Module, ..Rules::default() };
    for (first, second, passes) in [
        (&["0"][..], &["3"][..], true),
        (&["3"], &["0"], true),
        (&["0"], &["0"], false),
        (&["3"], &["3"], false),
        (&["0", "3"], &["0"], false),
        (&["3"], &["0", "3"], false),
        (&[], &["0"], false),
        (&["3"], &[], false),
        (&["7"], &["0"], false),
        (&["3"], &["7"], false),
    ] {
        let desk = Desk::with(rules.clone());
        assert_eq!(desk.start("a", 1, first).refused, None);
        assert_eq!(desk.start("b", 2, second).refused.is_none(), passes, "{first:?} then {second:?}");
    }
}

#[test]
fn with_scope_module_an_ambiguous_start_takes_the_whole_gateway() {
    let desk = Desk::with(Rules { scope: Scope::Module, ..Rules::default() });
    let files = [StartFile { module: Module::Aircraft, object_key: "", device_sn: "" }];
    let start = Start { digest: None, files: files.into_iter().collect(), ambiguous: true };
    desk.say("backend", "t", "a", Body::Start(start));
    assert!(desk.start("b", 2, &["3"]).refused.is_some());
}

#[test]
fn with_scope_module_the_two_uploads_are_told_apart() {
    let desk = Desk::with(Rules { scope: Scope::Module, ..Rules::default() });
    desk.start("a", 1, &["0"]);
    desk.start("d", 2, &["3"]);
    desk.reply("a", 0);
    desk.reply("d", 0);
    desk.progress("unknown", "in_progress", &[("3", "file_zip")]);
    let of = |at: usize| desk.view().running[at].files[0].status.clone();
    assert_eq!((of(0).as_str(), of(1).as_str()), ("", "file_zip"), "by module, where the bid is unknown");
    desk.progress("a", "ok", &[("0", "ok")]);
    assert_eq!(desk.states(), ["active"]);
    assert!(desk.start("d2", 3, &["3"]).refused.is_some());
    assert_eq!(desk.start("a2", 4, &["0"]).refused, None);
}

#[test]
fn with_policy_observe_a_conflicting_start_passes_and_the_first_upload_stays_the_one_tracked() {
    let desk = Desk::with(Rules { policy: Policy::Observe, ..Rules::default() });
    desk.start("a", 1, &["3"]);
    desk.reply("a", 0);
    let second = desk.start("b", 2, &["3"]);
    assert_eq!(second.refused, None);
    assert_eq!(second.observations[..], [Observation::WouldRefuse { reason: State::Active }]);
    desk.reply("b", 325_009);
    assert_eq!(desk.states(), ["active"], "its refusal is not the other's");
    assert!(saw(&desk.progress("b", "ok", &[]), Observation::Late));
    assert_eq!(desk.states(), ["active"], "its end is not the other's");
    desk.progress("a", "ok", &[]);
    assert!(desk.states().is_empty());
    desk.progress("b", "in_progress", &[("3", "file_uploading")]);
    assert_eq!(desk.states(), ["active"], "once the slot is free, it is adopted");
    assert!(desk.view().running[0].adopted);
}

#[test]
fn of_1000_different_starts_at_the_same_instant_exactly_one_passes() {
    let desk = Desk::new();
    let (ledger, now) = (&desk.ledger, desk.now());
    let gate = std::sync::Barrier::new(50);
    let passed = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..50_u64 {
            let (gate, passed) = (&gate, &passed);
            scope.spawn(move || {
                gate.wait();
                for start in 0..20 {
                    let data = thread * 20 + start;
                    let bid = data.to_string();
                    let start = Start { digest: Some(Digest(data)), ..Start::default() };
                    let event =
                        Event { client: "backend", is_here: true, tid: &bid, bid: &bid, body: Body::Start(start) };
                    if ledger.apply(DOCK, &event, now).refused.is_none() {
                        passed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 1);
    assert_eq!(desk.view().refused, 999);
    assert_eq!(desk.ledger.active(), (1, 0, 0));
}
