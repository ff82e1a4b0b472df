//! What an operator frees, and what is remembered of refused starts.

use super::*;

#[test]
fn a_released_slot_is_free_at_once_and_the_upload_is_in_the_history() {
    for reach in [
        (|desk| drop(desk.start("a", 1, &["3"]))) as Reach,
        |desk| {
            desk.start("a", 1, &["3"]);
            desk.reply("a", 0);
        },
        |desk| {
            desk.start("a", 1, &["3"]);
            desk.reply("a", 0);
            desk.cancel("c", &["3"]);
            desk.cancel_reply("c", 0);
        },
    ] {
        let desk = Desk::new();
        reach(&desk);
        let effects = desk.ledger.release(DOCK, None, desk.now());
        assert!(
            saw(&effects, Observation::Ended { outcome: Outcome::Released, modules: Modules::Dock }),
            "{effects:?}"
        );
        let place = effects.ended[0];
        let ended = desk.ledger.ended_at(DOCK, place, desk.now()).expect("it is remembered");
        assert_eq!((ended.outcome, ended.state), (Some(Outcome::Released), "ended"));
        assert_eq!((desk.states(), desk.ledger.active()), (vec![], (0, 0, 0)));
        assert!(desk.start("b", 2, &["3"]).refused.is_none());
    }
}

#[test]
fn only_the_upload_that_is_named_is_released() {
    let desk = Desk::with(Rules { scope: Scope::Module, ..Rules::default() });
    desk.start("a", 1, &["0"]);
    desk.start("b", 2, &["3"]);
    let first = desk.view().running[0].id;
    assert!(desk.ledger.release(DOCK, Some(first + 99), desk.now()).ended.is_empty());
    assert!(desk.ledger.release("another", None, desk.now()).ended.is_empty());
    assert_eq!(desk.ledger.release(DOCK, Some(first), desk.now()).ended.len(), 1);
    assert_eq!(desk.view().running[0].aliases[0].bid, "b");
    assert_eq!(desk.ledger.release(DOCK, None, desk.now()).ended.len(), 1);
}

#[test]
fn a_dock_that_goes_on_all_the_same_takes_its_slot_again_if_it_is_free() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    desk.reply("a", 0);
    desk.ledger.release(DOCK, None, desk.now());
    desk.wait(1).progress("a", "in_progress", &[("3", "file_uploading")]);
    assert_eq!((desk.states(), desk.outcomes()), (vec!["active"], vec![]));
    desk.ledger.release(DOCK, None, desk.now());
    desk.start("b", 2, &["3"]);
    desk.reply("b", 0);
    desk.wait(1).progress("a", "in_progress", &[("3", "file_uploading")]);
    assert_eq!(desk.view().running[0].aliases[0].bid, "b", "the slot is another's now");
}

#[test]
fn what_was_released_is_so_after_a_restart() {
    let (desk, notebook) = Desk::kept(Rules::default());
    desk.start("a", 1, &["3"]);
    let effects = desk.ledger.release(DOCK, None, desk.now());
    assert!(effects.mark > 0, "there is something to wait for");
    let (after, ..) = desk.after_a_restart(Rules::default(), &notebook);
    assert_eq!((after.states(), after.outcomes()), (vec![], vec![Outcome::Released]));
}

#[test]
fn the_last_refused_starts_are_remembered_over_a_restart_too_and_no_more_than_ten() {
    let (desk, notebook) = Desk::kept(Rules::default());
    desk.start("a", 1, &["3"]);
    desk.reply("a", 0);
    for n in 0..15 {
        assert!(desk.wait(1).start(&format!("r{n}"), 10 + n, &["3"]).refused.is_some());
    }
    desk.wait(1).tick();
    let (after, ..) = desk.after_a_restart(Rules::default(), &notebook);
    for view in [desk.view(), after.view()] {
        let refusals = view.refusals.unwrap_or_default();
        assert_eq!((view.refused, refusals.len()), (15, 10));
        assert_eq!((&*refusals[0].bid, &*refusals[0].client, refusals[0].state), ("r14", "backend", "active"));
        assert_eq!((refusals[0].age_ms, refusals[9].age_ms, refusals[0].would), (1_000, 10_000, false));
    }
    let observed = Desk::with(Rules { policy: Policy::Observe, ..Rules::default() });
    observed.start("a", 1, &["3"]);
    observed.start("b", 2, &["3"]);
    let view = observed.view();
    assert_eq!((view.refused, view.refusals.unwrap_or_default()[0].would), (0, true));
}

#[test]
fn uploads_are_found_by_their_end_their_code_and_their_number() {
    let desk = Desk::new();
    for (bid, data, status) in [("a", 1, "ok"), ("b", 2, "failed"), ("c", 3, "ok")] {
        desk.start(bid, data, &["3"]);
        desk.reply(bid, 0);
        desk.wait(1).progress(bid, status, &[("3", status)]);
    }
    desk.start("d", 4, &["3"]);
    let found = |wanted: &Wanted<'_>| {
        let found = desk.ledger.uploads(wanted, desk.now());
        found.uploads.iter().map(|upload| upload.aliases[0].bid.clone()).collect::<Vec<_>>()
    };
    assert_eq!(found(&Wanted { outcomes: &[Outcome::Ok], ..Wanted::default() }), ["c", "a"]);
    assert_eq!(found(&Wanted { outcomes: &[Outcome::Ok, Outcome::Failed], ..Wanted::default() }), ["c", "b", "a"]);
    assert_eq!(found(&Wanted { code: Some(324_019), ..Wanted::default() }), [""; 0]);
    assert_eq!(found(&Wanted::default()), ["d", "c", "b", "a"]);
    let running = desk.view().running[0].id;
    assert_eq!(desk.ledger.upload(running, desk.now()).map(|upload| upload.state), Some("pending"));
    assert_eq!(desk.ledger.started_as(DOCK, "t-d", desk.now()).map(|upload| upload.id), Some(running));
    assert!(desk.ledger.upload(running + 99, desk.now()).is_none());
}
