use super::*;
use crate::message::{NEVER, Parts, QoS};

fn id(id: u16) -> NonZeroU16 {
    NonZeroU16::new(id).unwrap()
}

fn message(topic: &str) -> Message {
    let (qos, properties, payload) = (QoS::AtLeastOnce, &[][..], &b"payload"[..]);
    Message::new(&Parts { qos, retain: false, publisher: 1, expires_at: NEVER, topic, properties, payload })
}

fn entry() -> Entry {
    let (message, ids) = (message("a"), smallvec::SmallVec::new());
    Entry { message, qos: QoS::AtLeastOnce, retain: false, ids, shared: None }
}

fn record() -> Option<Value> {
    Some(Value::Record(b"{}".to_vec()))
}

/// What the committer does with a store, by hand.
#[derive(Default)]
struct Store {
    pending: Pending,
    on_disk: OnDisk,
}

impl Store {
    fn change(&mut self, key: &Key, value: Option<Value>) {
        self.pending.change(key.clone(), value, &self.on_disk);
    }

    fn end(&mut self, session: u64) {
        self.pending.end_session(session, &self.on_disk);
    }

    fn take(&mut self) -> Pending {
        let batch = std::mem::take(&mut self.pending);
        self.on_disk.begin(&batch);
        batch
    }

    fn commit(&mut self) {
        let batch = self.take();
        self.on_disk.committed(&batch);
    }
}

fn body(pending: &Pending) -> &'static str {
    match pending.messages.get(&(1, 1)).map(|slot| &slot.body) {
        None => "no slot",
        Some(Of::Unchanged) => "unchanged",
        Some(Of::Put(_)) => "put",
        Some(Of::Delete) => "delete",
    }
}

fn flight(pending: &Pending) -> Option<Of<Flight>> {
    pending.messages.get(&(1, 1)).map(|slot| match slot.flight {
        Of::Unchanged => Of::Unchanged,
        Of::Put(flight) => Of::Put(flight),
        Of::Delete => Of::Delete,
    })
}

#[test]
fn a_message_that_comes_and_goes_within_a_batch_leaves_no_trace() {
    let mut store = Store::default();
    store.pending.put_message(1, 1, entry());
    store.pending.sent(1, 1, id(7));
    assert_eq!((body(&store.pending), flight(&store.pending)), ("put", Some(Of::Put(Flight::Sent(id(7))))));
    store.pending.released(1, 1, id(7));
    assert_eq!((body(&store.pending), flight(&store.pending)), ("unchanged", Some(Of::Put(Flight::Released(id(7))))));
    store.pending.done(1, 1);
    assert!(store.pending.is_empty());
}

#[test]
fn what_the_batch_before_has_written_is_deleted_by_name() {
    let mut store = Store::default();
    store.pending.put_message(1, 1, entry());
    store.commit();
    store.pending.sent(1, 1, id(7));
    assert_eq!(body(&store.pending), "unchanged");
    store.pending.released(1, 1, id(7));
    assert_eq!((body(&store.pending), flight(&store.pending)), ("delete", Some(Of::Put(Flight::Released(id(7))))));
    store.pending.done(1, 1);
    assert_eq!((body(&store.pending), flight(&store.pending)), ("delete", Some(Of::Delete)));
}

#[test]
fn a_message_of_a_failed_batch_that_is_done_meanwhile_leaves_no_trace() {
    let mut store = Store::default();
    store.pending.put_message(1, 1, entry());
    let failed = store.take();
    store.pending.done(1, 1);
    assert_eq!(body(&store.pending), "delete", "it may be on the disk by now");
    store.pending.take_back(failed, &mut store.on_disk);
    assert!(store.pending.is_empty());
}

#[test]
fn a_message_of_a_failed_batch_waits_again_with_what_has_become_of_it() {
    let mut store = Store::default();
    store.pending.put_message(1, 1, entry());
    let failed = store.take();
    store.pending.sent(1, 1, id(7));
    store.pending.take_back(failed, &mut store.on_disk);
    assert_eq!((body(&store.pending), flight(&store.pending)), ("put", Some(Of::Put(Flight::Sent(id(7))))));
    store.pending.done(1, 1);
    assert!(store.pending.is_empty(), "nothing of it is on the disk");
}

#[test]
fn a_failed_deletion_is_tried_again() {
    let mut store = Store::default();
    store.pending.put_message(1, 1, entry());
    store.commit();
    store.pending.done(1, 1);
    let failed = store.take();
    store.pending.take_back(failed, &mut store.on_disk);
    assert_eq!((body(&store.pending), flight(&store.pending)), ("delete", Some(Of::Delete)));
}

fn keys() -> [Key; 7] {
    [
        Key::Session(1),
        Key::Will(1),
        Key::Subscription(1, "a/#".into()),
        Key::Received(1, 7),
        Key::Retained("a".into()),
        Key::Gateway("SN".into()),
        Key::Ended(3),
    ]
}

#[test]
fn a_row_that_comes_and_goes_within_a_batch_leaves_no_trace() {
    let mut store = Store::default();
    for key in keys() {
        store.change(&key, record());
        store.change(&key, None);
    }
    assert!(store.pending.is_empty());
}

#[test]
fn deleting_what_is_not_there_is_no_change() {
    let mut store = Store::default();
    keys().iter().for_each(|key| store.change(key, None));
    store.end(1);
    assert!(store.pending.is_empty());
}

#[test]
fn a_row_on_the_disk_is_deleted_once_and_is_new_after_that() {
    let mut store = Store::default();
    for key in keys() {
        store.change(&key, record());
        store.commit();
        store.change(&key, record());
        store.change(&key, None);
        assert!(store.pending.rows[&key].value.is_none(), "{key:?}");
        store.commit();
        store.change(&key, record());
        store.change(&key, None);
        assert!(store.pending.is_empty(), "{key:?}");
    }
}

#[test]
fn a_row_of_a_failed_batch_that_is_deleted_meanwhile_leaves_no_trace() {
    let mut store = Store::default();
    keys().iter().for_each(|key| store.change(key, record()));
    let failed = store.take();
    keys().iter().for_each(|key| store.change(key, None));
    assert_eq!(store.pending.len(), keys().len(), "they may be on the disk by now");
    store.pending.take_back(failed, &mut store.on_disk);
    assert!(store.pending.is_empty());
    assert!(store.on_disk.0.is_empty());
}

#[test]
fn a_later_value_wins_over_that_of_a_failed_batch() {
    let mut store = Store::default();
    store.change(&Key::Session(1), record());
    let failed = store.take();
    store.change(&Key::Session(1), Some(Value::Record(b"later".to_vec())));
    store.pending.take_back(failed, &mut store.on_disk);
    let Some(Value::Record(record)) = &store.pending.rows[&Key::Session(1)].value else { panic!() };
    assert_eq!(record, b"later");
}

#[test]
fn the_end_of_a_session_takes_along_what_waits_for_it_and_nothing_else() {
    let mut store = Store::default();
    for session in 1..=3 {
        store.change(&Key::Session(session), record());
        store.change(&Key::Will(session), record());
        store.change(&Key::Subscription(session, "".into()), record());
        store.change(&Key::Subscription(session, "z".into()), record());
        store.change(&Key::Received(session, u16::MAX), record());
        store.pending.put_message(session, u64::MAX, entry());
    }
    store.end(2);
    let left: Vec<_> = store.pending.rows.keys().map(|key| key.session().unwrap()).collect();
    assert_eq!(left.iter().filter(|session| **session == 2).count(), 0);
    assert_eq!((left.len(), store.pending.messages.len(), store.pending.ended.len()), (10, 2, 0));
}

#[test]
fn a_session_on_the_disk_ends_there_and_takes_nothing_any_more() {
    let mut store = Store::default();
    store.change(&Key::Session(1), record());
    store.change(&Key::Subscription(1, "a".into()), record());
    store.commit();
    store.end(1);
    store.change(&Key::Received(1, 2), record());
    store.pending.put_message(1, 1, entry());
    store.pending.sent(1, 1, id(1));
    store.pending.done(1, 1);
    assert_eq!((store.pending.len(), store.pending.ended.contains(&1)), (1, true));
    store.commit();
    assert!(store.on_disk.0.is_empty());
}

#[test]
fn a_session_of_a_failed_batch_that_ends_meanwhile_leaves_no_trace() {
    let mut store = Store::default();
    store.change(&Key::Session(1), record());
    store.change(&Key::Retained("kept".into()), Some(Value::Message(message("kept"))));
    store.pending.put_message(1, 1, entry());
    let failed = store.take();
    store.end(1);
    assert!(store.pending.ended.contains(&1), "it may be on the disk by now");
    store.pending.take_back(failed, &mut store.on_disk);
    assert_eq!(store.pending.rows.keys().collect::<Vec<_>>(), [&Key::Retained("kept".into())]);
    assert_eq!(store.pending.len(), 1);
}

#[test]
fn a_failing_store_holds_no_more_than_what_its_callers_hold() {
    let mut store = Store::default();
    for round in 0..1_000u64 {
        store.change(&Key::Session(round), record());
        store.change(&Key::Subscription(round, "a".into()), record());
        store.change(&Key::Retained(format!("topic/{round}").into()), record());
        store.pending.put_message(round, 1, entry());
        let failed = store.take();
        store.change(&Key::Retained(format!("topic/{round}").into()), None);
        store.end(round);
        store.pending.take_back(failed, &mut store.on_disk);
    }
    assert!(store.pending.is_empty() && store.on_disk.0.is_empty());
}
