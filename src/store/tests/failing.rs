//! A disk that fails, and works again.

use super::*;
use crate::store::faults::{EIO, ENOSPC, Fault};

/// Waits until the store no longer fails, as a change that is put again and again shows.
#[track_caller]
fn wait_for_recovery(store: &Arc<Store>) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while store.is_failing() {
        assert!(std::time::Instant::now() < deadline, "{:?}", store.trouble());
        settle(store, store.put_session(99, b"{}".to_vec()));
    }
}

fn up_and_failures(store: &Store) -> (bool, bool) {
    store.refresh_gauges();
    let metrics = store.0.as_ref().unwrap().shared.metrics.text().unwrap();
    let text = String::from_utf8(metrics).unwrap();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    (value("dockgate_store_up ") == 1, value("dockgate_store_failures_total ") > 0)
}

#[test]
fn each_fault_fails_the_tickets_is_told_of_and_passes_without_a_restart() {
    let faults = [
        (Fault::Write(ENOSPC), "No space left on device"),
        (Fault::Write(EIO), "Input/output error"),
        (Fault::Space(0), "No space left on device"),
        (Fault::Space(5_000), "No space left on device"),
        (Fault::Sync, "Input/output error"),
        (Fault::Panic, "the file is not what it was"),
    ];
    for (fault, text) in faults {
        let bench = Bench::new();
        let (store, _) = bench.open();
        let before = put(&store, 1, "before");
        assert_eq!(settle(&store, before), Settled::Committed);
        assert_eq!(up_and_failures(&store), (true, false));

        bench.switch.set(Some(fault));
        let during = put(&store, 2, "during");
        assert_eq!(settle(&store, during), Settled::Failed, "{fault:?}");
        assert!(store.is_failing());
        let trouble = store.trouble().unwrap();
        assert!(trouble.contains("dockgate.redb") && trouble.contains(text), "{fault:?}: {trouble}");
        assert_eq!(settle(&store, store.refused()), Settled::Failed);
        assert_eq!(up_and_failures(&store), (false, true));
        // Waits for the next try, and fails with it.
        let again = put(&store, 3, "again");
        assert_eq!(settle(&store, again), Settled::Failed, "{fault:?}");
        store.done(2, 1);

        bench.switch.set(None);
        wait_for_recovery(&store);
        assert_eq!(store.trouble(), None);
        assert_eq!(up_and_failures(&store), (true, true));
        assert_eq!(store.settled(during), Some(Settled::Committed), "it is on the disk after all");
        assert_eq!(store.settled(store.refused()), Some(Settled::Failed));
        let after = put(&store, 4, "after");
        assert_eq!(settle(&store, after), Settled::Committed);
        assert_eq!(payloads(&bench.close(store)), ["before", "again", "after"], "{fault:?}");
    }
}

#[test]
fn what_was_committed_is_there_when_the_broker_dies_on_a_failing_disk() {
    for fault in [Fault::Write(ENOSPC), Fault::Space(3_000), Fault::Space(20_000), Fault::Sync] {
        let bench = Bench::new();
        let (store, _) = bench.open();
        for session in 0..50 {
            put(&store, session, "before");
        }
        assert_eq!(settle(&store, put(&store, 50, "before")), Settled::Committed);
        bench.switch.set(Some(fault));
        assert_eq!(settle(&store, put(&store, 51, "during")), Settled::Failed);
        store.close();
        drop(store);
        bench.switch.set(None);
        let (store, saved) = bench.open();
        let payloads = payloads(&saved);
        assert_eq!(payloads.iter().filter(|payload| *payload == "before").count(), 51, "{fault:?}");
        assert!(payloads.len() <= 52);
        store.close();
    }
}

#[test]
fn after_a_failed_fsync_power_may_go_as_soon_as_something_is_committed() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    assert_eq!(settle(&store, put(&store, 1, "before")), Settled::Committed);
    bench.switch.set(Some(Fault::Sync));
    assert_eq!(settle(&store, put(&store, 2, "during")), Settled::Failed);
    bench.switch.set(None);
    wait_for_recovery(&store);
    assert_eq!(settle(&store, put(&store, 3, "after")), Settled::Committed);

    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("dockgate.redb"), bench.switch.disk()).unwrap();
    let (_store, saved) = Store::open(&options(other.path())).unwrap();
    assert_eq!(payloads(&saved), ["before", "during", "after"]);
}

#[test]
fn power_may_go_at_any_time() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    for session in 1..=20 {
        assert_eq!(settle(&store, put(&store, session, "x")), Settled::Committed);
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("dockgate.redb"), bench.switch.disk()).unwrap();
        let (_store, saved) = Store::open(&options(other.path())).unwrap();
        assert_eq!(payloads(&saved).len() as u64, session);
    }
}

#[test]
fn what_gathers_behind_a_slow_disk_shares_one_commit() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    bench.switch.set(Some(Fault::Stall));
    let first = put(&store, 1, "first");
    bench.switch.wait_for_stall();
    let second = put(&store, 2, "second");
    let third = put(&store, 3, "third");
    assert_eq!((store.settled(first), store.settled(second)), (None, None));
    assert!(first < second && second == third);
    assert!(!store.is_failing());
    bench.switch.set(None);
    assert_eq!(settle(&store, third), Settled::Committed);
    assert_eq!(payloads(&bench.close(store)), ["first", "second", "third"]);
}

#[test]
fn a_stalled_disk_counts_as_failing_until_it_answers() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    bench.switch.set(Some(Fault::Stall));
    let first = put(&store, 1, "first");
    bench.switch.wait_for_stall();
    let second = put(&store, 2, "second");
    let shared = &store.0.as_ref().unwrap().shared;
    assert!(!store.is_failing() && store.trouble().is_none());
    shared.set_patience(Duration::ZERO);
    assert!(store.is_failing());
    assert!(store.trouble().unwrap().contains("has not finished"));
    assert_eq!((store.settled(first), store.settled(second)), (Some(Settled::Failed), Some(Settled::Failed)));
    shared.set_patience(DEADLINE);
    bench.switch.set(None);
    assert_eq!(settle(&store, put(&store, 3, "third")), Settled::Committed);
    assert!(!store.is_failing() && store.trouble().is_none());
    assert_eq!(payloads(&bench.close(store)), ["first", "second", "third"]);
}

#[test]
fn a_file_that_was_taken_away_while_the_disk_failed_is_not_made_anew() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    assert_eq!(settle(&store, put(&store, 1, "before")), Settled::Committed);
    bench.switch.set(Some(Fault::Sync));
    assert_eq!(settle(&store, put(&store, 2, "during")), Settled::Failed);
    let aside = bench.folder.path().join("aside");
    std::fs::rename(bench.file(), &aside).unwrap();
    bench.switch.set(None);
    assert_eq!(settle(&store, put(&store, 3, "missing")), Settled::Failed);
    std::fs::write(bench.file(), b"").unwrap();
    assert_eq!(settle(&store, put(&store, 4, "empty")), Settled::Failed);
    let other = tempfile::tempdir().unwrap();
    Store::open(&options(other.path())).unwrap().0.close();
    std::fs::copy(other.path().join("dockgate.redb"), bench.file()).unwrap();
    assert_eq!(settle(&store, put(&store, 5, "another's")), Settled::Failed);
    std::fs::rename(aside, bench.file()).unwrap();
    wait_for_recovery(&store);
    assert_eq!(payloads(&bench.close(store)).len(), 5);
}
