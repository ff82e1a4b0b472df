//! What a store that cannot be opened says.

use super::*;
use redb::ReadableTable as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

fn open(folder: &Path) -> Result<(Arc<Store>, Saved), OpenError> {
    Store::open(&options(folder))
}

#[track_caller]
fn refused(folder: &Path) -> (OpenError, String) {
    let error = open(folder).map(drop).unwrap_err();
    let text = error.to_string();
    (error, text)
}

#[test]
fn the_folder_and_its_files_are_nobody_elses_business() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("deep/data");
    drop(open(&data).unwrap());
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let file = data.join("dockgate.redb");
    assert_eq!((mode(&file), mode(&data.join("dockgate.lock"))), (0o600, 0o600));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&data).unwrap());
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn two_brokers_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path()).unwrap();
    let (error, text) = refused(folder.path());
    assert!(matches!(error, OpenError::InUse { .. }), "{text}");
    assert!(text.contains(folder.path().to_str().unwrap()) && text.contains("another dockgate"), "{text}");
    assert_eq!(probe(folder.path()).unwrap(), Probe::InUse);
    drop(store);
    assert_eq!(probe(folder.path()).unwrap(), Probe::Usable);
    open(folder.path()).unwrap();
}

#[test]
fn a_folder_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let (error, text) = refused(&path);
        assert!(matches!(error, OpenError::Folder { .. }) && text.contains(path.to_str().unwrap()), "{text}");
        probe(&path).unwrap_err();
    }
    let new = folder.path().join("new/folder");
    assert_eq!(probe(&new).unwrap(), Probe::New);
    assert!(!folder.path().join("new").exists());
}

#[test]
fn a_later_format_is_left_alone_and_an_earlier_one_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path()).unwrap();
    put(&store, 1, "one");
    store.close();
    drop(store);
    let migrations: [Migration; 2] = [
        |txn| {
            txn.open_table(tables::SESSIONS)?.insert(1, &b"{\"second\":true}"[..])?;
            Ok(())
        },
        |txn| {
            let mut sessions = txn.open_table(tables::SESSIONS)?;
            let before = sessions.get(1)?.map(|record| record.value().to_vec()).unwrap_or_default();
            sessions.insert(2, &*before)?;
            Ok(())
        },
    ];
    let open_with = |migrations| Store::open_over(&options(folder.path()), medium::plain(), migrations);
    let (store, saved) = open_with(&migrations).unwrap();
    let records: Vec<_> = saved.sessions.iter().map(|session| &*session.record).collect();
    assert_eq!(records, [b"{\"second\":true}", b"{\"second\":true}"]);
    put(&store, 3, "three");
    store.close();
    drop(store);
    // It is migrated once.
    let (store, saved) = open_with(&migrations).unwrap();
    assert_eq!((saved.sessions.len(), store.epoch()), (3, 3));
    drop(store);
    let (error, text) = refused(folder.path());
    assert!(matches!(error, OpenError::Newer { found: 3, known: 1, .. }), "{text}");
    assert!(text.contains("format 3") && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    assert_eq!(open_with(&migrations).unwrap().0.epoch(), 4, "who was refused has changed nothing");
}

#[test]
fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dockgate.redb");
    for bytes in [b"hello".to_vec(), vec![0; 100_000], vec![0xa5; 3_000_000]] {
        std::fs::write(&file, &bytes).unwrap();
        let (error, text) = refused(folder.path());
        assert!(matches!(error, OpenError::Damaged { .. }) && text.contains("dockgate.redb"), "{text}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
    }
}

#[test]
fn a_damaged_file_is_an_error_or_reads_the_same_but_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dockgate.redb");
    let (store, _) = open(folder.path()).unwrap();
    for session in 0..300 {
        put(&store, session, "payload");
    }
    store.close();
    drop(store);
    let sound = std::fs::read(&file).unwrap();
    let mut refused = 0;
    for at in (0..sound.len()).step_by(sound.len() / 150) {
        let mut bytes = sound.clone();
        let end = (at + 64).min(bytes.len());
        bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&file, &bytes).unwrap();
        match open(folder.path()) {
            Ok((_store, saved)) => assert!(saved.sessions.len() <= 300),
            Err(OpenError::Damaged { .. } | OpenError::Newer { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    for length in [1, 100, 4096, sound.len() / 2, sound.len() - 1] {
        std::fs::write(&file, &sound[..length]).unwrap();
        refused += u32::from(open(folder.path()).is_err());
    }
    assert!(refused > 0);
}

#[test]
fn a_row_that_makes_no_sense_is_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let db = redb::Database::open(folder.path().join("dockgate.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(tables::MESSAGES).unwrap().insert((1, 5), &b"nonsense"[..]).unwrap();
    txn.commit().unwrap();
    drop(db);
    let (_, text) = refused(folder.path());
    assert!(text.contains("number 5 of session 1") && text.contains("table messages"), "{text}");
}

#[test]
fn a_disk_that_takes_nothing_is_found_at_the_start() {
    use crate::store::faults::{ENOSPC, Fault};
    let bench = Bench::new();
    bench.switch.set(Some(Fault::Write(ENOSPC)));
    let opened = Store::open_over(&options(bench.folder.path()), bench.switch.wrap(), MIGRATIONS);
    let error = opened.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::File { .. }) && error.to_string().contains("dockgate.redb"), "{error}");
    bench.switch.set(None);
    bench.open();
}
