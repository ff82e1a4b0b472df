//! What a client controls is bounded.

use super::*;

fn end_one(desk: &Desk, gateway: &str, data: u64) {
    let bid = data.to_string();
    let start = Start { digest: Some(Digest(data)), ..Start::default() };
    for body in [Body::Start(start), Body::StartReply(Some(314_000))] {
        desk.ledger.apply(gateway, &Event { client: gateway, is_here: true, tid: &bid, bid: &bid, body }, desk.now());
    }
}

#[test]
fn history_is_bounded_per_gateway_and_in_all_and_the_oldest_go_first() {
    let desk = Desk::with(Rules { history_per_gateway: 3, history_total: 5, ..Rules::default() });
    for data in 0..10 {
        end_one(&desk, "A", data);
    }
    assert_eq!(desk.ledger.held(), (1, 3));
    for data in 10..14 {
        end_one(&desk, "B", data);
    }
    assert_eq!(desk.ledger.held(), (2, 5));
    let kept: Vec<String> = desk
        .ledger
        .uploads(&Wanted::default(), desk.now())
        .uploads
        .iter()
        .map(|upload| upload.aliases[0].bid.clone())
        .collect();
    assert_eq!(kept, ["13", "12", "11", "9", "8"]);
}

#[test]
fn without_room_for_history_uploads_still_end() {
    let desk = Desk::with(Rules { history_per_gateway: 0, ..Rules::default() });
    end_one(&desk, DOCK, 1);
    assert_eq!((desk.ledger.held(), desk.ledger.active()), ((1, 0), (0, 0, 0)));
}

#[test]
fn the_gateway_that_is_idle_longest_makes_room() {
    let desk = Desk::with(Rules { max_gateways: 3, ..Rules::default() });
    let list = |gateway: &str| {
        let event = Event { client: "backend", is_here: true, tid: "", bid: "", body: Body::List };
        desk.wait(1);
        desk.ledger.apply(gateway, &event, desk.now())
    };
    for gateway in ["A", "B", "C", "A"] {
        list(gateway);
    }
    assert!(saw(&list("D"), Observation::GatewaysEvicted));
    let kept: Vec<String> = desk.ledger.gateways(desk.now()).into_iter().map(|view| view.gateway).collect();
    assert_eq!(kept, ["A", "C", "D"]);
}

#[test]
fn a_gateway_with_an_upload_is_never_forgotten() {
    let desk = Desk::with(Rules { max_gateways: 2, ..Rules::default() });
    let start = |gateway: &str| {
        let body = Body::Start(Start { digest: Some(Digest(1)), ..Start::default() });
        desk.ledger.apply(gateway, &Event { client: "backend", is_here: true, tid: "t", bid: "b", body }, desk.now())
    };
    start("A");
    start("B");
    let third = start("C");
    assert_eq!((third.refused, saw(&third, Observation::GatewaysFull)), (None, true), "it fails open");
    assert_eq!(desk.ledger.held().0, 2);
    desk.wait(15);
    desk.tick();
    assert!(saw(&start("C"), Observation::GatewaysEvicted));
}

#[test]
fn a_gateway_that_goes_takes_its_history_deadlines_and_presence_along() {
    let desk = Desk::with(Rules { max_gateways: 1, ..Rules::default() });
    let start = Body::Start(Start { digest: Some(Digest(1)), ..Start::default() });
    for (client, body) in [("backend", start), ("bridge", Body::StartReply(Some(1)))] {
        desk.ledger.apply("A", &Event { client, is_here: true, tid: "t", bid: "b", body }, desk.now());
    }
    assert_eq!(desk.ledger.held(), (1, 1));
    end_one(&desk, "B", 2);
    assert_eq!(desk.ledger.held(), (1, 1));
    desk.ledger.client_gone("bridge", desk.now(), &|_| false);
    assert!(desk.ledger.gateway("A", desk.now()).is_none());
    desk.wait(15);
    assert!(desk.tick().is_empty());
    assert_eq!(desk.ledger.next_deadline(), None);
}

#[test]
fn names_files_and_texts_are_bounded() {
    let desk = Desk::with(Rules { max_aliases: 4, ..Rules::default() });
    let long = "机".repeat(10_000);
    for bid in 0..100 {
        let modules: Vec<String> = (0..100).map(|module| format!("{module}{long}")).collect();
        let files = modules.iter().map(|module| StartFile {
            module: Module::read(module),
            object_key: &long,
            device_sn: &long,
        });
        let start = Start { digest: Some(Digest(1)), files: files.collect(), ambiguous: false };
        desk.say("backend", &format!("{long}{bid}"), &format!("{bid}{long}"), Body::Start(start));
    }
    let mut files: Vec<ProgressFile<'_>> = (0..100).map(|_| file("3", &long, &long)).collect();
    for file in &mut files {
        (file.fingerprint, file.device_sn) = (&long, &long);
    }
    let progress = Progress { status: &long, files: files.into_iter().collect(), ..Progress::default() };
    desk.say(&long, &long, &long, Body::Progress(progress));
    let running = &desk.view().running[0];
    assert_eq!((running.aliases.len(), running.files.len(), running.retries), (4, 8, 99));
    let size = serde_json::to_vec(&desk.view()).expect("a view serialises").len();
    assert!(size < 16_384, "{size}");
}

#[test]
fn lists_are_cut_but_their_length_is_known() {
    let desk = Desk::with(Rules { max_listed_files: 10, ..Rules::default() });
    for module in 0..20 {
        let entry = ListedFile { boot_index: Some(1), start_time: None, end_time: None, size: Some(2) };
        let module = ListedModule {
            module: Module::read(&module.to_string()),
            device_sn: "",
            result: Some(0),
            files: vec![entry; 50],
            offered: 70,
        };
        let reply = ListReply { result: Some(0), modules: [module].into_iter().collect() };
        desk.say(DOCK, "t", "b", Body::ListReply(reply));
    }
    let listed = desk.view().listed;
    assert_eq!((listed.len(), listed[0].files.as_deref().unwrap_or_default().len(), listed[0].offered), (4, 10, 70));
}

#[test]
fn ten_thousand_docks_that_reconnect_at_once_cost_a_look_up_each() {
    let desk = Desk::with(Rules { max_gateways: 12_000, ..Rules::default() });
    let names: Vec<String> = (0..10_000).map(|dock| format!("DOCK{dock:05}")).collect();
    for name in &names {
        let progress = Body::Progress(Progress { status: "in_progress", ..Progress::default() });
        desk.ledger.apply(name, &Event { client: name, is_here: true, tid: "", bid: "b", body: progress }, desk.now());
    }
    let begun = std::time::Instant::now();
    for name in &names {
        desk.ledger.client_gone(name, desk.now(), &|_| false);
    }
    for name in &names {
        desk.ledger.client_back(name, desk.now());
    }
    // A scan of all gateways for each of them would be 200 million steps.
    assert!(begun.elapsed() < secs(2), "{:?}", begun.elapsed());
    desk.wait(130);
    assert!(desk.tick().is_empty());
    assert_eq!(desk.ledger.active(), (0, 10_000, 0));
}

/// Eight threads say all kinds of things about nine gateways.
pub(super) fn storm(ledger: &Ledger, now: Now) {
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            scope.spawn(move || {
                for step in 0..2_000_u64 {
                    let gateway = format!("G{}", (thread * 31 + step * 7) % 9);
                    let bid = (step % 5).to_string();
                    let now = now.after(Duration::from_millis(step * 20));
                    let body = match (thread + step) % 5 {
                        0 => Body::Start(Start { digest: Some(Digest(step)), ..Start::default() }),
                        1 => Body::StartReply(Some(i64::from(step % 2 == 0))),
                        2 => Body::Progress(Progress {
                            status: if step % 3 == 0 { "ok" } else { "in_progress" },
                            ..Progress::default()
                        }),
                        3 => Body::Cancel(Slots::ALL),
                        _ => Body::List,
                    };
                    let client = if step % 2 == 0 { "bridge" } else { gateway.as_str() };
                    let event = Event { client, is_here: true, tid: &bid, bid: &bid, body };
                    ledger.apply(&gateway, &event, now);
                    match step % 7 {
                        0 => ledger.client_gone(client, now, &|_| false),
                        1 => ledger.client_back(client, now),
                        2 => drop(ledger.tick(now)),
                        3 => drop((ledger.gateways(now), ledger.uploads(&Wanted::default(), now))),
                        _ => {}
                    }
                }
            });
        }
    });
}

#[test]
fn many_threads_at_once_leave_nothing_behind() {
    let desk = Desk::with(Rules { max_gateways: 5, history_total: 7, ..Rules::default() });
    storm(&desk.ledger, desk.now());
    let (gateways, history) = desk.ledger.held();
    assert!(gateways <= 5 && history <= 7, "{gateways} {history}");
    let views = desk.ledger.gateways(desk.now());
    assert_eq!(views.len(), gateways);
    assert_eq!(views.iter().map(|view| view.ended).sum::<usize>(), history);
    desk.wait(7_200);
    while desk.ledger.next_deadline().is_some() {
        desk.tick();
    }
    assert_eq!(desk.ledger.active(), (0, 0, 0));
    assert!(desk.ledger.gateways(desk.now()).iter().all(|view| view.running.is_empty()));
}

fn report(desk: &Desk, gateway: &str) -> Effects {
    let body = Body::Progress(Progress { status: "in_progress", ..Progress::default() });
    desk.ledger.apply(gateway, &Event { client: "x", is_here: true, tid: "", bid: "b", body }, desk.now())
}

fn begin(desk: &Desk, gateway: &str) -> Effects {
    let body = Body::Start(Start { digest: Some(Digest(1)), ..Start::default() });
    desk.ledger.apply(gateway, &Event { client: "backend", is_here: true, tid: "t", bid: "b", body }, desk.now())
}

#[test]
fn an_idle_gateway_makes_room_however_many_busy_ones_are_older() {
    let desk = Desk::with(Rules { max_gateways: 100, ..Rules::default() });
    for gateway in 0..99 {
        begin(&desk, &format!("BUSY{gateway}"));
    }
    desk.wait(1);
    end_one(&desk, "IDLE", 1);
    assert!(saw(&begin(&desk, "REAL"), Observation::GatewaysEvicted));
    assert!(desk.ledger.gateway("IDLE", desk.now()).is_none());
    assert!(saw(&begin(&desk, "NEXT"), Observation::GatewaysFull), "now all are busy");
}

#[test]
fn invented_gateways_leave_a_place_for_real_starts() {
    let desk = Desk::with(Rules { max_gateways: 100, ..Rules::default() });
    let mut full = 0;
    for gateway in 0..200 {
        full += usize::from(saw(&report(&desk, &format!("INVENTED{gateway}")), Observation::GatewaysFull));
    }
    assert_eq!((desk.ledger.held().0, full), (90, 110));
    for gateway in 0..10 {
        let effects = begin(&desk, &format!("REAL{gateway}"));
        assert!(effects.forward_until.is_some() && effects.observations[..] == [Observation::Started]);
    }
    assert!(saw(&begin(&desk, "ONE MORE"), Observation::GatewaysFull));
}

#[test]
fn a_gateway_that_has_had_a_start_makes_no_room_for_more_than_nine_tenths_of_invented_ones() {
    let desk = Desk::with(Rules { max_gateways: 10, ..Rules::default() });
    for gateway in 0..10 {
        end_one(&desk, &format!("REAL{gateway}"), 1);
    }
    for gateway in 0..50 {
        report(&desk, &format!("INVENTED{gateway}"));
    }
    let kept = desk.ledger.gateways(desk.now());
    assert_eq!(kept.iter().filter(|view| view.gateway.starts_with("REAL")).count(), 1);
    assert!(begin(&desk, "NEW").forward_until.is_some());
}

#[test]
fn a_bridge_of_many_idle_gateways_costs_nothing_when_it_reconnects() {
    let desk = Desk::new();
    for gateway in 0..1_000 {
        let gateway = format!("DOCK{gateway:05}");
        report(&desk, &gateway);
        let body = Body::Progress(Progress { status: "ok", ..Progress::default() });
        desk.ledger.apply(&gateway, &Event { client: "x", is_here: true, tid: "", bid: "b", body }, desk.now());
    }
    let asked = std::cell::Cell::new(0);
    desk.ledger.client_gone("x", desk.now(), &|_| {
        asked.set(asked.get() + 1);
        false
    });
    assert_eq!(asked.get(), 0, "none has an upload that is running");
    assert!(!desk.ledger.gateway("DOCK00001", desk.now()).expect("known").present);
}

#[test]
fn all_lists_together_are_bounded_and_room_comes_back() {
    let desk = Desk::with(Rules { max_gateways: 700, max_listed_files: 1_000, ..Rules::default() });
    let entry = ListedFile { boot_index: Some(1), start_time: None, end_time: None, size: None };
    let nothing = ListedFile { boot_index: None, ..entry };
    let list = |gateway: &str, entry: ListedFile| {
        let files = vec![entry; 1_000];
        let module = ListedModule { module: Module::Dock, device_sn: "", result: None, files, offered: 1_000 };
        let body = Body::ListReply(ListReply { result: Some(0), modules: vec![module] });
        desk.ledger.apply(gateway, &Event { client: "x", is_here: true, tid: "", bid: "", body }, desk.now());
        let listed = desk.ledger.gateway(gateway, desk.now()).expect("known").listed.remove(0);
        (listed.files.unwrap_or_default().len(), listed.offered)
    };
    for gateway in 0..500 {
        assert_eq!(list(&format!("G{gateway}"), entry), (1_000, 1_000));
    }
    assert_eq!(list("MORE", entry), (0, 1_000));
    assert_eq!(list("G0", nothing), (0, 1_000), "what says nothing is not kept");
    assert_eq!(list("MORE", entry), (1_000, 1_000), "in the place of another");
    desk.wait(1);
    for gateway in 0..600 {
        list(&format!("NEW{gateway}"), nothing);
    }
    assert_eq!(list("LAST", entry), (1_000, 1_000), "forgotten gateways have given theirs back");
}

#[test]
fn an_ended_upload_keeps_few_names_and_among_them_the_accepted_one() {
    let desk = Desk::new();
    for bid in 0..20 {
        desk.start(&bid.to_string(), 1, &["3"]);
    }
    desk.reply("19", 0);
    desk.progress("19", "ok", &[]);
    assert_eq!(desk.view().history.unwrap_or_default()[0].aliases.len(), 8);
    assert!(saw(&desk.progress("19", "in_progress", &[]), Observation::Late));
}

#[test]
fn only_the_wanted_uploads_are_shown_and_all_that_match_are_counted() {
    let desk = Desk::new();
    for data in 0..5 {
        end_one(&desk, "A", data);
    }
    desk.start("running", 9, &["3"]);
    let found = |wanted: Wanted<'_>| {
        let found = desk.ledger.uploads(&wanted, desk.now());
        (found.matching, found.uploads.iter().map(|upload| upload.aliases[0].bid.clone()).collect::<Vec<_>>())
    };
    assert_eq!(found(Wanted { limit: 2, ..Wanted::default() }), (6, vec!["running".to_owned(), "4".to_owned()]));
    assert_eq!(found(Wanted { ended: false, ..Wanted::default() }).0, 1);
    assert_eq!(found(Wanted { running: false, gateway: Some("A"), ..Wanted::default() }).0, 5);
    assert_eq!(found(Wanted { gateway: Some("B"), ..Wanted::default() }).0, 0);
}

#[test]
fn the_single_view_says_that_there_is_nothing_and_what_the_progress_said() {
    let desk = Desk::new();
    desk.start("a", 1, &["3"]);
    let progress = Progress { result: Some(324_012), status: "", ..Progress::default() };
    desk.say(DOCK, "", "a", Body::Progress(progress));
    let view = serde_json::to_value(desk.view()).expect("a view serialises");
    assert_eq!(view["history"], serde_json::json!([]));
    assert_eq!((&view["running"][0]["status"], &view["running"][0]["code"]), (&"".into(), &324_012.into()));
    assert!(view["running"][0]["meaning"].is_string());
}
