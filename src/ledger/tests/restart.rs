//! A ledger that is restored goes on as if there had been no restart.

use serde_json::{Value, json};

use super::*;

fn keyed(desk: &Desk, tid: &str, bid: &str, key: &str, status: &str, content: u64) -> Effects {
    let files = vec![file("3", status, key)];
    desk.say(DOCK, tid, bid, Body::Progress(Progress { status, files, content, ..Progress::default() }))
}

fn start_with_key(desk: &Desk, bid: &str, data: u64, key: &str) -> Effects {
    let files = vec![StartFile { module: Module::Dock, object_key: key, device_sn: DOCK }];
    let start = Start { digest: Some(Digest(data)), files, ambiguous: false };
    desk.say("backend", &format!("t-{bid}"), bid, Body::Start(start))
}

/// Where the restart comes.
const STATES: [(&str, Scope, Reach); 16] = [
    ("nothing but a list request", Scope::Gateway, |desk| drop(desk.say("backend", "l", "", Body::List))),
    ("pending", Scope::Gateway, |desk| drop(start_with_key(desk, "a", 1, "k"))),
    ("pending, refused once, retried", Scope::Gateway, |desk| {
        desk.start("a", 1, &["3"]);
        desk.wait(3).start("a2", 1, &["3"]);
        desk.reply("a", 325_009);
    }),
    ("active with progress", Scope::Gateway, |desk| {
        start_with_key(desk, "a", 1, "k");
        desk.wait(1).reply("a", 0);
        desk.wait(2);
        keyed(desk, "p", "a", "k", "file_uploading", 7);
    }),
    ("active, retried", Scope::Gateway, |desk| {
        desk.start("a", 1, &["0", "3"]);
        desk.wait(3).start("a2", 1, &["0", "3"]);
        desk.wait(3).start("a3", 1, &["0", "3"]);
        desk.reply("a2", 0);
    }),
    ("a file being cancelled", Scope::Gateway, |desk| {
        desk.start("a", 1, &["0", "3"]);
        desk.reply("a", 0);
        desk.cancel("c", &["3"]);
        desk.wait(2).cancel_reply("c", 0);
    }),
    ("a file given up", Scope::Gateway, |desk| {
        desk.start("a", 1, &["0", "3"]);
        desk.reply("a", 0);
        desk.cancel("c", &["3"]);
        desk.cancel_reply("c", 0);
        desk.wait(31).tick();
        desk.progress("a", "in_progress", &[("0", "file_zip")]);
    }),
    ("cancelling as a whole", Scope::Gateway, |desk| {
        desk.start("a", 1, &["3"]);
        desk.reply("a", 0);
        desk.cancel("c", &["3"]);
        desk.wait(2).cancel_reply("c", 0);
    }),
    ("a cancel not yet answered", Scope::Gateway, |desk| {
        desk.start("a", 1, &["3"]);
        desk.reply("a", 0);
        desk.cancel("c", &["3"]);
    }),
    ("adopted", Scope::Gateway, |desk| drop(keyed(desk, "p", "a", "k", "file_zip", 7))),
    ("adopted, in part", Scope::Module, |desk| drop(keyed(desk, "p", "a", "k", "file_zip", 7))),
    ("an upload in each slot", Scope::Module, |desk| {
        desk.start("a", 1, &["3"]);
        desk.start("b", 2, &["0"]);
        desk.reply("a", 0);
        desk.cancel("c", &["3"]);
        desk.cancel_reply("c", 0);
    }),
    ("ended by the dock", Scope::Gateway, |desk| {
        start_with_key(desk, "a", 1, "k");
        desk.reply("a", 0);
        keyed(desk, "p", "a", "k", "ok", 7);
    }),
    ("ended by an answer", Scope::Gateway, |desk| {
        desk.start("a", 1, &["3"]);
        desk.reply("a", 314_000);
    }),
    ("ended by the clock", Scope::Gateway, |desk| {
        start_with_key(desk, "a", 1, "k");
        desk.wait(15).tick();
    }),
    ("ended, and another is running", Scope::Gateway, |desk| {
        start_with_key(desk, "a", 1, "k");
        desk.reply("a", 0);
        desk.wait(600).tick();
        start_with_key(desk, "b", 2, "k2");
        desk.start("refused", 3, &["3"]);
    }),
];

/// What comes after it.
const PROBES: [(&str, fn(&Desk) -> Effects); 18] = [
    ("a conflicting start", |desk| desk.start("other", 99, &["3"])),
    ("a start for the aircraft's logs", |desk| desk.start("other", 99, &["0"])),
    ("the same start again", |desk| desk.start("a9", 1, &["3"])),
    ("the same message again", |desk| desk.start("a", 1, &["3"])),
    ("the answer", |desk| desk.reply("a", 0)),
    ("a refusing answer", |desk| desk.reply("a2", 314_000)),
    ("an answer that names no method", |desk| {
        let reply = ListReply { result: Some(0), modules: Vec::new() };
        desk.say(DOCK, "t-a", "", Body::UnnamedReply(reply))
    }),
    ("progress by its bid", |desk| desk.progress("a", "in_progress", &[("3", "file_uploading")])),
    ("progress by its key", |desk| keyed(desk, "q", "", "k", "in_progress", 8)),
    ("progress of another key", |desk| keyed(desk, "q", "", "other", "in_progress", 8)),
    ("the same progress again", |desk| keyed(desk, "p", "a", "k", "file_uploading", 7)),
    ("the end", |desk| desk.progress("a", "ok", &[("3", "ok")])),
    ("the end of one file", |desk| desk.progress("a", "", &[("3", "ok")])),
    ("a cancel that is accepted", |desk| {
        desk.cancel("d", &["3"]);
        desk.cancel_reply("d", 0)
    }),
    ("the answer to a cancel", |desk| desk.cancel_reply("c", 0)),
    ("a refusing answer to a cancel", |desk| desk.cancel_reply("c", 325_001)),
    ("the answer to a list", |desk| desk.say(DOCK, "l", "", Body::ListReply(ListReply::default()))),
    ("nothing", |_| Effects::default()),
];

/// All that can be seen of the gateway, less what is not kept.
fn seen(desk: &Desk) -> Value {
    let mut view = serde_json::to_value(desk.ledger.gateway(DOCK, desk.now())).expect("a view serialises");
    if let Some(view) = view.as_object_mut() {
        view.remove("listed");
    }
    view
}

fn restarted(scope: Scope, reach: Reach) -> (Desk, Desk) {
    let rules = Rules { scope, ..Rules::default() };
    let (before, notebook) = Desk::kept(rules.clone());
    reach(&before);
    before.ledger.flush(before.now());
    let (after, copy, restored) = before.after_a_restart(rules, &notebook);
    assert!(restored.unreadable.is_empty());
    assert_eq!((restored.gateways, restored.ended), before.ledger.held());
    assert_eq!(before.ledger.active(), after.ledger.active());
    after.ledger.flush(after.now());
    assert_eq!(copy.records(), after.ledger.records());
    for desk in [&before, &after] {
        desk.ledger.client_back(DOCK, desk.now());
    }
    (before, after)
}

#[test]
fn whatever_comes_after_a_restart_is_taken_as_if_there_had_been_none() {
    for (state, scope, reach) in STATES {
        for (what, probe) in PROBES {
            let (before, after) = restarted(scope, reach);
            assert_eq!(seen(&before), seen(&after), "{state}");
            let (expected, found) = (probe(&before), probe(&after));
            assert_eq!(expected.refused, found.refused, "{state}, then {what}");
            assert_eq!(expected.forward_until, found.forward_until, "{state}, then {what}");
            assert_eq!(expected.observations, found.observations, "{state}, then {what}");
            for second in 0..620 {
                let (expected, found) = (before.wait(1).tick(), after.wait(1).tick());
                assert_eq!(expected, found, "{state}, then {what}, {second} s later");
                if !found.is_empty() {
                    assert_eq!(seen(&before), seen(&after), "{state}, then {what}, {second} s later");
                }
            }
            assert_eq!(seen(&before), seen(&after), "{state}, then {what}");
            assert_eq!(after.ledger.active(), (0, 0, 0), "{state}, then {what}");
        }
    }
}

#[test]
fn an_active_upload_is_still_active_and_guarded() {
    let (_, after) = restarted(Scope::Gateway, STATES[3].2);
    assert_eq!(after.states(), ["active"]);
    assert!(after.start("other", 99, &["3"]).refused.is_some());
    assert!(saw(&start_with_key(&after, "a9", 1, "k"), Observation::Retry));
    assert!(saw(&keyed(&after, "p", "a", "k", "file_uploading", 7), Observation::Duplicate));
    keyed(&after, "q", "unknown", "k", "ok", 8);
    assert_eq!(after.outcomes(), [Outcome::Ok]);
}

#[test]
fn a_dock_that_was_there_and_does_not_come_back_is_lost_in_time_from_the_restart() {
    let (before, notebook) = Desk::kept(Rules::default());
    before.start("a", 1, &["3"]);
    before.reply("a", 0);
    before.wait(60);
    let (after, ..) = before.after_a_restart(Rules::default(), &notebook);
    assert!(!after.view().present);
    after.wait(119).tick();
    assert_eq!(after.states(), ["active"]);
    after.wait(1).tick();
    assert_eq!(after.outcomes(), [Outcome::Lost]);
}

#[test]
fn who_was_gone_before_the_restart_is_gone_since_then() {
    for client in [DOCK, "bridge"] {
        let (before, notebook) = Desk::kept(Rules::default());
        before.start("a", 1, &["3"]);
        before.say(client, "t-a", "a", Body::StartReply(Some(0)));
        before.wait(1).ledger.client_gone(client, before.now(), &|_| false);
        let (after, ..) = before.wait(60).after_a_restart(Rules::default(), &notebook);
        after.wait(59).tick();
        assert_eq!(after.states(), ["active"]);
        after.wait(1).tick();
        assert_eq!(after.outcomes(), [Outcome::Lost], "{client}");
    }
}

#[test]
fn a_bridge_that_comes_back_is_here_for_every_dock_behind_it() {
    let (before, notebook) = Desk::kept(Rules::default());
    before.start("a", 1, &["3"]);
    before.say("bridge", "t-a", "a", Body::StartReply(Some(0)));
    let (after, ..) = before.after_a_restart(Rules::default(), &notebook);
    after.wait(60).ledger.client_back("bridge", after.now());
    after.wait(300).tick();
    assert_eq!((after.states(), after.view().present), (vec!["active"], true));
    after.ledger.client_gone("bridge", after.now(), &|_| false);
    after.wait(120).tick();
    assert_eq!(after.outcomes(), [Outcome::Lost]);
}

/// A broker that dies again and again must not put off for ever that a dock counts as lost.
#[test]
fn a_second_restart_gives_a_dock_no_more_time() {
    let (before, notebook) = Desk::kept(Rules::default());
    before.start("a", 1, &["3"]);
    before.reply("a", 0);
    let (second, notebook, _) = before.after_a_restart(Rules::default(), &notebook);
    second.tick();
    let (third, ..) = second.wait(120).after_a_restart(Rules::default(), &notebook);
    third.tick();
    assert_eq!(third.outcomes(), [Outcome::Lost]);
}

#[test]
fn what_should_have_ended_meanwhile_ends_with_the_first_tick() {
    let (before, notebook) = Desk::kept(Rules::default());
    before.start("a", 1, &["3"]);
    let (after, ..) = before.wait(3_600).after_a_restart(Rules::default(), &notebook);
    assert!(after.ledger.next_deadline().is_some_and(|due| due <= after.now()));
    after.tick();
    assert_eq!(after.outcomes(), [Outcome::Unanswered]);
}

#[test]
fn with_the_clock_set_back_nothing_is_still_to_come() {
    for (state, scope, reach) in STATES {
        let rules = Rules { scope, ..Rules::default() };
        let (before, notebook) = Desk::kept(rules.clone());
        reach(&before);
        before.now.set(before.now.get() - 86_400_000);
        let (after, _, restored) = before.after_a_restart(rules, &notebook);
        assert_eq!(restored.unreadable.len(), 0, "{state}");
        let view = serde_json::to_string(&after.ledger.gateway(DOCK, after.now())).expect("a view serialises");
        assert_eq!(view.matches("\"age_ms\":0").count(), view.matches("age_ms").count(), "{state}");
        after.wait(601).tick();
        assert_eq!(after.ledger.active(), (0, 0, 0), "{state}: no time-out waits for a day");
    }
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_is_restored() {
    let (before, notebook) = Desk::kept(Rules::default());
    before.start("a", 1, &["3"]);
    before.reply("a", 314_000);
    before.start("b", 2, &["3"]);
    let mut records = notebook.records();
    let wrong: [&[u8]; 7] = [
        b"",
        b"\xff",
        b"[7]",
        b"{\"running\":[{}]}",
        b"{\"running\":[{\"id\":1,\"state\":\"dancing\",\"begun\":1,\"heard\":1}]}",
        b"{\"running\":[{\"id\":1,\"state\":\"active\",\"begun\":1,\"heard\":1,\"slots\":\"all\"}]}",
        b"{\"touched\":-1}",
    ];
    for (at, wrong) in wrong.iter().enumerate() {
        records.gateways.push((format!("WRONG{at}").into(), wrong.to_vec()));
        records.ended.push((1_000 + at as u64, wrong.to_vec()));
    }
    let (after, _, restored) = before.after_a_restart(Rules::default(), &Notebook::with(records));
    assert_eq!((restored.gateways, restored.running, restored.ended, restored.unreadable.len()), (1, 1, 1, 14));
    assert!(restored.unreadable.iter().any(|error| error.to_string().contains("WRONG3")));
    assert!(after.start("c", 3, &["3"]).refused.is_some());
    after.reply("b", 314_000);
    let places = after.ledger.records().ended;
    assert!(places.last().is_some_and(|(place, _)| *place > 1_006), "no place is given out twice");
}

#[test]
fn lower_limits_let_the_oldest_go_but_never_what_is_running() {
    let (before, notebook) = Desk::kept(Rules::default());
    for gateway in ["A", "B", "C", "D", "E"] {
        for data in 0..4 {
            let bid = format!("{gateway}{data}");
            let say = |body| {
                let event = Event { client: gateway, is_here: true, tid: &bid, bid: &bid, body };
                before.wait(1).ledger.apply(gateway, &event, before.now());
            };
            say(Body::Start(Start { digest: Some(Digest(data)), ..Start::default() }));
            if data < 3 || gateway > "C" {
                say(Body::StartReply(Some(1)));
            }
        }
    }
    let rules = Rules {
        history_per_gateway: 2,
        history_total: 5,
        max_gateways: 2,
        reply_timeout: secs(600),
        ..Rules::default()
    };
    let (after, notebook, restored) = before.after_a_restart(rules, &notebook);
    let views = after.ledger.gateways(after.now());
    let kept: Vec<_> = views.iter().map(|view| (&*view.gateway, view.running.len(), view.ended)).collect();
    // Of 17 ended uploads each gateway keeps 2, all together 5, and the idle gateways go with theirs.
    assert_eq!(kept, [("A", 1, 0), ("B", 1, 0), ("C", 1, 1)]);
    assert_eq!((restored.gateways, restored.running, restored.ended, restored.forgotten), (3, 3, 1, 7 + 5 + 2));
    after.ledger.flush(after.now());
    assert_eq!(notebook.records(), after.ledger.records());
}

/// The process died after the one and before the other.
#[test]
fn of_two_records_that_contradict_each_other_the_newer_one_counts() {
    let (before, notebook) = Desk::kept(Rules::default());
    let later =
        |gateway: &Records, ended: &Records| Records { gateways: gateway.gateways.clone(), ended: ended.ended.clone() };
    before.start("a", 1, &["3"]);
    let running = notebook.records();
    before.wait(15).tick();
    let ended = notebook.records();
    before.progress("a", "in_progress", &[]);
    let revived = notebook.records();
    before.wait(600).tick();
    let ended_again = notebook.records();

    for (records, state, count) in [
        (later(&running, &ended), vec![], 1),
        (later(&revived, &ended), vec!["active"], 0),
        (later(&revived, &ended_again), vec![], 1),
    ] {
        let (after, notebook, _) = before.after_a_restart(Rules::default(), &Notebook::with(records));
        assert_eq!((after.states(), after.ledger.held().1), (state, count));
        after.ledger.flush(after.now());
        assert_eq!(notebook.records(), after.ledger.records());
    }
    let twice = Records { ended: [ended.ended, ended_again.ended].concat(), gateways: ended_again.gateways };
    let (after, notebook, _) = before.after_a_restart(Rules::default(), &Notebook::with(twice));
    assert_eq!((after.outcomes(), notebook.records().ended.len()), (vec![Outcome::Stalled], 1));
}

/// What has been written once must be read for ever.
#[test]
fn a_record_as_the_first_version_wrote_it_is_read() {
    let gateway = json!({
        "running": [{
            "id": 3, "state": "cancelling", "slots": "dock", "digest": 18_446_744_073_709_551_615_u64,
            "aliases": [{"tid": "t", "bid": "b", "is_answered": true, "result": 0}],
            "files": [{"module": "3", "device_sn": "S", "key": "k", "fingerprint": "f", "status": "file_zip", "size": 5,
                "progress": 50, "current_step": 1, "total_step": 2, "upload_rate": 0.5, "result": 0, "cancelling": 1_600}],
            "begun": 1_000, "heard": 1_500, "cancelling": 1_600, "status": "in_progress", "retries": 1,
        }],
        "asked": [{"method": "update", "tid": "c", "bid": "c", "modules": "dock", "accepted": true}],
        "seen": [7], "let_through": ["x"], "refused": 2, "touched": 1_600, "is_started": true, "own": {"gone": 1_550},
        "speaker": {"client": "bridge", "gone": 1_540}, "buried": 2,
    });
    let ended = json!({
        "gateway": DOCK, "outcome": "failed", "by": "event", "code": 324_012, "at": 900,
        "upload": {"id": 1, "adopted": true, "state": "active", "slots": "both", "begun": 800, "heard": 850,
            "files": [{"module": "7", "over": "failed", "is_given_up": true, "finish_time": 880}], "status": "failed"},
    });
    let records = Records {
        gateways: vec![(DOCK.into(), gateway.to_string().into_bytes())],
        ended: vec![(2, ended.to_string().into_bytes())],
    };
    let (ledger, restored) = Ledger::restore(Rules::default(), Arc::new(Notebook::default()), records, Now(2_000));
    assert_eq!((restored.running, restored.ended, restored.unreadable.len()), (1, 1, 0));
    let written = ledger.records();
    let as_json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    assert_eq!(as_json(&written.gateways[0].1), gateway);
    assert_eq!(as_json(&written.ended[0].1), ended);

    // As a later version may write it.
    let mut later = gateway.clone();
    later["invented"] = json!({"x": 1});
    later["running"][0]["invented"] = json!([1]);
    let records = Records { gateways: vec![(DOCK.into(), later.to_string().into_bytes())], ended: Vec::new() };
    let (_, restored) = Ledger::restore(Rules::default(), Arc::new(Notebook::default()), records, Now(2_000));
    assert_eq!((restored.running, restored.unreadable.len()), (1, 0));
}

#[test]
fn history_without_its_gateway_is_kept_and_its_gateway_with_it() {
    let (before, notebook) = Desk::kept(Rules::default());
    before.start("a", 1, &["3"]);
    before.reply("a", 314_000);
    let records = Records { gateways: Vec::new(), ..notebook.records() };
    let (after, notebook, restored) = before.after_a_restart(Rules::default(), &Notebook::with(records));
    assert_eq!((restored.gateways, after.outcomes()), (1, vec![Outcome::Rejected]));
    after.tick();
    assert_eq!(notebook.records(), after.ledger.records());
}

#[test]
fn names_and_rings_stay_within_their_bounds() {
    let many = |count: u64| (0..count).map(|at| json!({"tid": at.to_string(), "bid": ""})).collect::<Vec<_>>();
    let upload =
        json!({"id": u64::MAX, "state": "active", "slots": "both", "begun": 1, "heard": 1, "aliases": many(99)});
    let asked: Vec<_> = (0..99).map(|at| json!({"method": "list", "tid": at.to_string()})).collect();
    let record = json!({"running": [upload], "asked": asked, "seen": (0..99).collect::<Vec<_>>(),
        "let_through": (0..99).map(|at| at.to_string()).collect::<Vec<_>>(), "buried": u64::MAX});
    let records = Records { gateways: vec![(DOCK.into(), record.to_string().into_bytes())], ended: Vec::new() };
    let (ledger, _) = Ledger::restore(Rules::default(), Arc::new(Notebook::default()), records, Now(2_000));
    let state = ledger.gateways.get(DOCK).expect("restored");
    assert_eq!((state.running[0].aliases.len(), state.asked.len(), state.seen.len()), (64, 16, 32));
    assert_eq!((state.let_through.len(), &*state.let_through[15], state.seen[31]), (16, "98", 98));
}
