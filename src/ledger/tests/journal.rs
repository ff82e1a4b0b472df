//! What the journal is told, and when.

use super::*;

/// How often the journal was told something by this, and the mark.
fn told(notebook: &Notebook, act: impl FnOnce() -> Effects) -> (u64, u64) {
    let before = notebook.told();
    let effects = act();
    (notebook.told() - before, effects.mark)
}

fn report(desk: &Desk, percent: i64) -> Effects {
    let mut said = file("3", "file_uploading", "");
    said.progress = Some(percent);
    desk.say(
        DOCK,
        "",
        "a",
        Body::Progress(Progress { status: "in_progress", files: vec![said], ..Progress::default() }),
    )
}

#[test]
fn a_transition_is_told_at_once_and_says_what_to_wait_for() {
    let (desk, notebook) = Desk::kept(Rules::default());
    type Step = fn(&Desk) -> Effects;
    let steps: [(&str, Step, u64); 11] = [
        ("a start", |desk| desk.start("a", 1, &["0", "3"]), 1),
        ("a retry", |desk| desk.start("a2", 1, &["0", "3"]), 1),
        ("the answer", |desk| desk.reply("a", 0), 1),
        ("the answer to the retry", |desk| desk.reply("a2", 325_009), 1),
        ("the first file over", |desk| desk.progress("a", "in_progress", &[("0", "ok")]), 1),
        ("a cancel is asked for", |desk| desk.cancel("c", &["3"]), 1),
        ("and accepted", |desk| desk.cancel_reply("c", 0), 1),
        ("taken back", |desk| desk.cancel_reply("c", 325_001), 1),
        ("the end", |desk| desk.progress("a", "failed", &[]), 2),
        ("a second start", |desk| desk.start("b", 2, &["3"]), 1),
        ("which is refused", |desk| desk.reply("b", 314_000), 2),
    ];
    for (what, step, records) in steps {
        let (told, mark) = told(&notebook, || step(&desk));
        assert_eq!((told, mark), (records, notebook.told()), "{what}");
    }
}

#[test]
fn what_time_ends_is_told_too_and_so_is_what_is_taken_up_again() {
    let (desk, notebook) = Desk::kept(Rules::default());
    desk.start("a", 1, &["3"]);
    desk.wait(15);
    let before = notebook.told();
    desk.tick();
    assert_eq!(notebook.told() - before, 2);
    assert_eq!(notebook.records().ended.len(), 1);
    let (told, mark) = told(&notebook, || desk.progress("a", "in_progress", &[]));
    assert_eq!((told, mark, notebook.records().ended.len()), (2, notebook.told(), 0));
}

#[test]
fn progress_is_told_at_most_once_a_second_and_nothing_waits_for_it() {
    let (desk, notebook) = Desk::kept(Rules::default());
    desk.start("a", 1, &["3"]);
    desk.reply("a", 0);
    report(&desk, 0);
    let begun = notebook.told();
    let percent = |notebook: &Notebook| notebook.gateway_record()["running"][0]["files"][0]["progress"].clone();
    let mut kept = Vec::new();
    for step in 1..=100 {
        desk.now.set(desk.now.get() + 50);
        assert_eq!(report(&desk, step).mark, 0);
        if step % 5 == 0 && desk.ledger.next_deadline().is_some_and(|due| due <= desk.now()) {
            desk.tick();
        }
        kept.push(percent(&notebook));
    }
    assert_eq!(notebook.told() - begun, 5, "one a second for five seconds");
    assert_eq!(
        (&kept[18], &kept[19], &kept[38], &kept[39]),
        (&serde_json::Value::Null, &20.into(), &20.into(), &40.into())
    );
}

#[test]
fn the_last_progress_before_a_silence_is_told_when_a_second_is_over() {
    let (desk, notebook) = Desk::kept(Rules::default());
    desk.start("a", 1, &["3"]);
    report(&desk, 1);
    report(&desk, 77);
    let due = desk.now().after(secs(1));
    assert_eq!(desk.ledger.next_deadline(), Some(due));
    let before = notebook.told();
    desk.ledger.tick(Now(due.0 - 1));
    assert_eq!(notebook.told(), before);
    desk.ledger.tick(due);
    assert_eq!(notebook.gateway_record()["running"][0]["files"][0]["progress"], 77);
    assert_eq!(desk.ledger.next_deadline(), Some(desk.now().after(secs(600))), "and now it may stall");
    desk.ledger.tick(due.after(secs(5)));
    assert_eq!(notebook.told(), before + 1, "once");
}

/// The first sending may not be safe yet when its repetition comes: a client that reconnects sends again what was not
/// acknowledged.
#[test]
fn what_is_said_again_waits_for_what_it_said_the_first_time() {
    let (desk, _) = Desk::kept(Rules::default());
    let first = desk.start("a", 1, &["3"]).mark;
    assert!(first > 0);
    assert_eq!(desk.start("a", 1, &["3"]).mark, first);
    let over = desk.progress("a", "ok", &[]).mark;
    assert!(over > first);
    let again = desk.progress("a", "ok", &[]);
    assert!(saw(&again, Observation::Late));
    assert_eq!(again.mark, over);
}

#[test]
fn without_a_journal_nothing_is_noted_and_nothing_waits() {
    let desk = Desk::new();
    desk.say("backend", "l", "", Body::List);
    assert_eq!(desk.ledger.next_deadline(), None, "no record is due");
    assert_eq!((desk.start("a", 1, &["3"]).mark, desk.reply("a", 0).mark), (0, 0));
    assert_eq!((desk.progress("a", "ok", &[]).mark, desk.ledger.flush(desk.now())), (0, 0));
    let state = desk.ledger.gateways.get(DOCK).expect("known");
    assert_eq!((state.kept.is_written, state.kept.is_behind, state.kept.shape), (false, false, 0));
}

#[test]
fn who_comes_and_goes_is_told_within_a_second() {
    let (desk, notebook) = Desk::kept(Rules::default());
    desk.start("a", 1, &["3"]);
    desk.say("bridge", "t-a", "a", Body::StartReply(Some(0)));
    let gone = |notebook: &Notebook| notebook.gateway_record()["speaker"]["gone"].clone();
    desk.wait(1).tick();
    desk.ledger.client_gone("bridge", desk.now(), &|_| false);
    desk.wait(1).tick();
    assert_eq!(gone(&notebook), desk.now().0 - 1_000);
    desk.ledger.client_back("bridge", desk.now());
    desk.wait(1).tick();
    assert_eq!(gone(&notebook), serde_json::Value::Null);
}

#[test]
fn a_bridge_that_speaks_for_one_dock_is_told_to_be_back_for_all_of_them() {
    let (desk, notebook) = Desk::kept(Rules::default());
    let report = |gateway: &str| {
        let body = Body::Progress(Progress { status: "in_progress", ..Progress::default() });
        desk.ledger.apply(gateway, &Event { client: "bridge", is_here: true, tid: "", bid: "b", body }, desk.now());
    };
    (report(DOCK), report("OTHER"));
    desk.ledger.client_gone("bridge", desk.now(), &|_| false);
    desk.ledger.flush(desk.now());
    assert_eq!(notebook.gateway_record()["speaker"]["gone"], desk.now().0);
    report("OTHER");
    desk.ledger.flush(desk.now());
    assert_eq!(notebook.gateway_record()["speaker"]["gone"], serde_json::Value::Null);
}

#[test]
fn a_gateway_that_makes_room_leaves_no_record() {
    let (desk, notebook) = Desk::kept(Rules { max_gateways: 1, ..Rules::default() });
    desk.start("a", 1, &["3"]);
    desk.reply("a", 314_000);
    assert_eq!((notebook.records().gateways.len(), notebook.records().ended.len()), (1, 1));
    desk.wait(1);
    let body = Body::Start(Start { digest: Some(Digest(2)), ..Start::default() });
    desk.ledger.apply("OTHER", &Event { client: "x", is_here: true, tid: "t", bid: "b", body }, desk.now());
    let left = notebook.records();
    assert_eq!((left.gateways.len(), &*left.gateways[0].0, left.ended.len()), (1, "OTHER", 0));
}

#[test]
fn history_that_is_forgotten_leaves_no_record() {
    let (desk, notebook) = Desk::kept(Rules { history_per_gateway: 2, history_total: 3, ..Rules::default() });
    for gateway in ["A", "B"] {
        for data in 0..4 {
            let bid = data.to_string();
            let start = Body::Start(Start { digest: Some(Digest(data)), ..Start::default() });
            for body in [start, Body::StartReply(Some(1))] {
                let event = Event { client: gateway, is_here: true, tid: &bid, bid: &bid, body };
                desk.ledger.apply(gateway, &event, desk.now());
            }
        }
    }
    assert_eq!(desk.ledger.held(), (2, 3));
    assert_eq!(notebook.records().ended, desk.ledger.records().ended);
}

#[test]
fn a_gateway_that_only_showed_lists_has_no_record_once_they_are_answered() {
    let (desk, notebook) = Desk::kept(Rules::default());
    desk.say("backend", "l", "", Body::List);
    assert_eq!(notebook.gateway_record()["asked"][0]["method"], "list");
    let module = ListedModule { module: Module::Dock, device_sn: "", result: None, files: Vec::new(), offered: 0 };
    desk.say(DOCK, "l", "", Body::ListReply(ListReply { result: Some(0), modules: vec![module] }));
    desk.wait(1).tick();
    assert_eq!(notebook.records(), Records::default());
}
