//! What is said of a store that no broker has open.

use super::*;

/// A store with something in every table, whose broker was killed.
fn killed() -> TempDir {
    let bench = Bench::new();
    let (store, _) = bench.open();
    put(&store, 1, "a secret");
    let scope = store.scope();
    store.sent(1, 1, id(3));
    store.put_message(1, 2, entry("a secret"));
    store.put_will(1, Some(Will { message: message("w", b"a secret"), expiry: Some(2), delay_ms: 3 }));
    store.subscribe(1, "a/#", b"{\"qos\":1}".to_vec());
    store.received(1, id(4));
    store.retain(&message("r", b"a secret"));
    store.put_gateway("SN", Some(b"{\"gateway\":true}".to_vec()));
    store.sent(7, 1, id(1));
    let ticket = store.put_ended(5, Some(b"not JSON".to_vec()));
    drop(scope);
    assert_eq!(settle(&store, ticket), Settled::Committed);
    let copy = tempfile::tempdir().unwrap();
    std::fs::write(copy.path().join("dockgate.redb"), bench.switch.disk()).unwrap();
    copy
}

#[test]
fn a_check_counts_what_a_killed_broker_has_left_and_changes_nothing() {
    let folder = killed();
    let file = folder.path().join("dockgate.redb");
    let before = std::fs::read(&file).unwrap();
    let text = check(folder.path()).unwrap();
    for line in [
        &format!("OK: {} can be used", file.display()),
        "format 1, started 1 times, not closed: its broker was killed, or power went",
        &format!("{} bytes, all sums right", before.len()),
        "1 sessions, ",
        "1 wills, ",
        "1 subscriptions, ",
        "2 messages that wait for sessions, ",
        "2 messages under way to clients, ",
        "1 QoS 2 messages that clients have not released, ",
        "1 retained messages, ",
        "1 gateways, ",
        "1 ended uploads, ",
        "1 remains of what has ended, which the next start clears away",
    ] {
        assert!(text.lines().any(|there| there.starts_with(line)), "{line} in {text}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn a_dump_has_every_row_but_no_payload_and_no_key() {
    let folder = killed();
    let dumped = dump(folder.path()).unwrap();
    let session = &dumped["sessions"][0];
    assert_eq!(session["session"], 1);
    assert_eq!(session["subscriptions"]["a/#"]["qos"], 1);
    assert_eq!(session["will"]["message"]["topic"], "w");
    assert_eq!(session["messages"][0]["state"], "sent");
    assert_eq!(session["messages"][0]["packet_id"], 3);
    assert_eq!(session["messages"][1]["delivery"]["message"]["payload_bytes"], 8);
    assert_eq!(session["received"], serde_json::json!([4]));
    assert_eq!(dumped["retained"][0]["topic"], "r");
    assert_eq!(dumped["gateways"]["SN"]["gateway"], true);
    assert_eq!(dumped["ended"][0]["record"]["not_json_bytes"], 8);
    assert_eq!((&dumped["format"], &dumped["starts"]), (&1.into(), &1.into()));
    let text = dumped.to_string();
    assert!(!text.contains("secret") && !text.contains("digest"), "{text}");
}

#[test]
fn a_store_that_a_broker_has_is_left_to_it() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    assert!(matches!(check(bench.folder.path()), Err(OpenError::InUse { .. })));
    store.close();
    assert!(check(bench.folder.path()).unwrap().contains(", closed\n"));
    // Those who only look do not keep each other out.
    let _looking = folder::Folder::share(bench.folder.path()).unwrap();
    dump(bench.folder.path()).unwrap();
    assert!(matches!(Store::open(&options(bench.folder.path())), Err(OpenError::InUse { .. })));
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for place in [folder.path().to_owned(), folder.path().join("below")] {
        assert!(matches!(check(&place), Err(OpenError::Missing { .. })));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn damage_is_found_wherever_it_is() {
    // In one that was not closed, a last commit that is damaged cannot be told from one that was cut short.
    let folder = killed();
    Store::open(&options(folder.path())).unwrap().0.close();
    let file = folder.path().join("dockgate.redb");
    let sound = std::fs::read(&file).unwrap();
    let mut found = 0;
    let every = sound.len() / 100;
    for at in (0..sound.len()).step_by(every) {
        let mut bytes = sound.clone();
        bytes[at..(at + 64).min(sound.len())].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&file, &bytes).unwrap();
        match check(folder.path()) {
            Ok(text) => assert!(text.contains("2 messages that wait"), "{text}"),
            Err(OpenError::Damaged { .. } | OpenError::Newer { .. }) => found += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(found > 0);
}
