//! What is put is there after a restart.

use super::*;
use redb::ReadableTableMetadata as _;
use std::num::NonZeroU32;

#[test]
fn everything_that_was_committed_is_there_at_the_next_start() {
    let bench = Bench::new();
    let (store, saved) = bench.open();
    assert!(saved.sessions.is_empty() && saved.retained.is_empty() && store.is_enabled());
    let key = saved.digest_key.unwrap();
    assert_eq!(store.epoch(), 1);
    let scope = store.scope();
    store.put_session(7, b"{\"client\":1}".to_vec());
    store.put_will(7, Some(Will { message: message("will", b"w"), expiry: Some(3), delay_ms: 4 }));
    store.subscribe(7, "a/+", b"{\"qos\":1}".to_vec());
    store.subscribe(7, "$share/g/b", b"{\"qos\":2}".to_vec());
    let shared = Some("$share/g/b".into());
    let ids = std::iter::once(NonZeroU32::new(5).unwrap()).collect();
    store.put_message(7, 2, Entry { qos: QoS::ExactlyOnce, retain: true, ids, shared, ..entry("second") });
    store.put_message(7, 1, entry("first"));
    store.sent(7, 1, id(9));
    store.put_message(7, 3, entry("third"));
    store.sent(7, 3, id(10));
    store.released(7, 3, id(10));
    store.received(7, id(40_000));
    store.received(7, id(3));
    store.put_session(8, b"{}".to_vec());
    store.retain(&message("r/1", b"one"));
    store.put_gateway("SN1", Some(b"{\"gateway\":1}".to_vec()));
    let ticket = store.put_ended(12, Some(b"{\"ended\":1}".to_vec()));
    drop(scope);
    assert!(ticket.is_some());
    assert_eq!(settle(&store, ticket), Settled::Committed);
    assert_eq!(store.settled(ticket), Some(Settled::Committed));

    store.close();
    let (store, saved) = bench.open();
    assert_eq!((store.epoch(), saved.digest_key), (2, Some(key)));
    let [seven, eight] = &*saved.sessions else { panic!("{saved:?}") };
    assert_eq!((seven.session, &*seven.record), (7, &b"{\"client\":1}"[..]));
    let will = seven.will.as_ref().unwrap();
    assert_eq!((will.message.topic(), will.expiry, will.delay_ms), ("will", Some(3), 4));
    let filters: Vec<_> = seven.subscriptions.iter().map(|(filter, record)| (&**filter, &**record)).collect();
    assert_eq!(filters, [("$share/g/b", &b"{\"qos\":2}"[..]), ("a/+", &b"{\"qos\":1}"[..])]);
    let [
        (1, SavedMessage::Sent(sent, first)),
        (2, SavedMessage::Queued(second)),
        (3, SavedMessage::Released(released)),
    ] = &*seven.messages
    else {
        panic!("{:?}", seven.messages)
    };
    assert_eq!((sent.get(), released.get(), first.message.payload()), (9, 10, &b"first"[..]));
    assert_eq!((second.qos, second.retain, second.ids.len()), (QoS::ExactlyOnce, true, 1));
    assert_eq!(second.shared.as_deref(), Some("$share/g/b"));
    assert_eq!(seven.received, [id(3), id(40_000)]);
    assert!(eight.messages.is_empty() && eight.will.is_none());
    assert_eq!((saved.retained.len(), saved.retained[0].payload()), (1, &b"one"[..]));
    assert_eq!(saved.gateways, [("SN1".into(), b"{\"gateway\":1}".to_vec())]);
    assert_eq!(saved.ended, [(12, b"{\"ended\":1}".to_vec())]);
}

#[test]
fn what_is_taken_back_is_gone_at_the_next_start() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    put(&store, 1, "one");
    put(&store, 2, "two");
    store.put_will(2, Some(Will { message: message("w", b""), expiry: None, delay_ms: 0 }));
    store.subscribe(1, "a", b"{}".to_vec());
    store.subscribe(2, "a", b"{}".to_vec());
    store.received(2, id(1));
    store.sent(1, 1, id(1));
    store.retain(&message("r", b""));
    store.put_gateway("SN", Some(Vec::new()));
    let ticket = store.put_ended(1, Some(Vec::new()));
    assert_eq!(settle(&store, ticket), Settled::Committed);
    let scope = store.scope();
    store.end_session(1);
    store.put_will(2, None);
    store.unsubscribe(2, "a");
    store.unreceived(2, id(1));
    store.done(2, 1);
    store.unretain("r");
    store.put_gateway("SN", None);
    store.put_ended(1, None);
    drop(scope);
    let saved = bench.close(store);
    let [two] = &*saved.sessions else { panic!("{saved:?}") };
    assert!(two.will.is_none() && two.subscriptions.is_empty() && two.received.is_empty() && two.messages.is_empty());
    assert!(saved.retained.is_empty() && saved.gateways.is_empty() && saved.ended.is_empty());
}

#[test]
fn closing_commits_what_is_pending_and_refuses_what_comes_later() {
    for sync in [Sync::Always, Sync::Interval] {
        let bench = Bench::new();
        let (store, _) = Store::open(&Options { sync, ..options(bench.folder.path()) }).unwrap();
        let ticket = put(&store, 1, "one");
        assert_eq!(ticket.is_some(), sync == Sync::Always);
        store.close();
        assert_eq!(store.settled(ticket), Some(Settled::Committed));
        let late = put(&store, 2, "two");
        assert_eq!(settle(&store, late), if sync == Sync::Always { Settled::Failed } else { Settled::Committed });
        assert_eq!(payloads(&bench.close(store)), ["one"]);
    }
}

#[test]
fn a_message_that_its_client_has_at_once_never_touches_the_disk() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    let before = bench.switch.syncs();
    let scope = store.scope();
    store.put_message(1, 1, entry("one"));
    store.sent(1, 1, id(1));
    let ticket = store.done(1, 1);
    drop(scope);
    assert_eq!(settle(&store, ticket), Settled::Committed);
    assert_eq!(bench.switch.syncs(), before);
}

#[test]
fn changes_under_one_scope_share_one_commit() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    // The thread would take each change alone, if the scope did not keep it.
    let scope = store.scope();
    let first = store.put_session(1, b"{}".to_vec());
    let more: Vec<Ticket> = (0..1_000).map(|number| store.put_message(1, number, entry("x"))).collect();
    assert!(more.iter().all(|ticket| *ticket == first));
    assert_eq!(store.settled(first), None);
    drop(scope);
    assert_eq!(settle(&store, first), Settled::Committed);
    assert!(store.put_session(2, b"{}".to_vec()) > first);
}

#[test]
fn what_was_left_of_a_session_that_is_gone_is_cleared_away() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    put(&store, 1, "kept");
    store.sent(1, 99, id(1));
    store.put_message(2, 1, entry("orphan"));
    store.subscribe(3, "a", Vec::new());
    store.received(4, id(1));
    store.close();
    let (store, saved) = bench.open();
    assert_eq!((saved.sessions.len(), payloads(&saved)), (1, vec!["kept".to_owned()]));
    store.close();
    let db = redb::Database::open(bench.file()).unwrap();
    let txn = db.begin_read().unwrap();
    assert_eq!(txn.open_table(tables::MESSAGES).unwrap().len().unwrap(), 1);
    assert!(txn.open_table(tables::FLIGHTS).unwrap().is_empty().unwrap());
    assert!(txn.open_table(tables::SUBSCRIPTIONS).unwrap().is_empty().unwrap());
    assert!(txn.open_table(tables::RECEIVED).unwrap().is_empty().unwrap());
}

#[test]
fn no_store_keeps_nothing_and_makes_nobody_wait() {
    let store = Store::none();
    let _scope = store.scope();
    let ticket = put(&store, 1, "one");
    assert!(!ticket.is_some() && !store.is_enabled() && !store.is_failing() && store.trouble().is_none());
    assert_eq!((settle(&store, ticket), store.epoch()), (Settled::Committed, 0));
    store.close();
}
