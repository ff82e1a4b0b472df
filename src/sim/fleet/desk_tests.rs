use std::sync::atomic::Ordering;

use super::super::stream::Stream;
use super::*;
use crate::cloud_api;
use crate::sim::Plan;
use crate::sim::firmware::Firmware;

const NOW: u64 = 1_780_000_000_000;

/// A desk, and a dock that answers at once.
struct Scene {
    desk: Desk,
    dock: Firmware,
    book: Book,
    sequence: u32,
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Scene {
    fn new() -> Self {
        let book = Book::new(1);
        book.dock(0).is_online.store(true, Ordering::Relaxed);
        Self { desk: Desk::default(), dock: Firmware::new(Plan::from_seed(1, NOW)), book, sequence: 0 }
    }

    fn stamp(&mut self) -> Stamp {
        self.sequence += 1;
        let stream = Stream::Command as u8;
        Stamp { run: 1, stream, sender: 0, sequence: self.sequence, micros: 0 }
    }

    fn begin(&mut self, cancel_at: Option<u32>) -> (Stamp, Ask) {
        let bid = self.stamp();
        let job = Job { number: 1, at: at(0), dock: 0, backend: 0, cancel_at };
        (bid, self.desk.begin(job, bid, at(0)))
    }

    /// Sends a command and hands the dock's reply to the desk.
    fn exchange(&mut self, ask: &Ask) -> Option<Ask> {
        let tid = self.stamp();
        self.desk.sent(tid, ask, &self.book, at(1));
        let reply = self.dock.command(&ask.encode(tid.to_text(), NOW), NOW)?;
        self.desk.reply(tid, &reply, at(2))
    }

    fn advance(&mut self, bid: Stamp) -> Option<Ask> {
        let event = self.dock.advance(Duration::from_millis(500), NOW)?;
        self.desk.progress(bid, &cloud_api::encode(&event), at(3))
    }
}

#[test]
fn an_upload_is_listed_started_followed_and_over() {
    let mut scene = Scene::new();
    let (bid, list) = scene.begin(None);
    let start = scene.exchange(&list).unwrap();
    assert_eq!(start.command(), Command::Start);
    assert_eq!(scene.exchange(&start), None);
    assert_eq!(scene.desk.running(), 1);
    for _ in 0..100 {
        assert_eq!(scene.advance(bid), None);
    }
    assert_eq!((scene.desk.running(), scene.desk.outcome.ok), (0, 1));
    assert!(scene.desk.is_quiet(&scene.book));
}

#[test]
fn an_upload_is_canceled_once_where_it_is_to_be() {
    let mut scene = Scene::new();
    let (bid, list) = scene.begin(Some(30));
    let start = scene.exchange(&list).unwrap();
    scene.exchange(&start);
    let cancel = (0..100).find_map(|_| scene.advance(bid)).unwrap();
    assert_eq!(cancel.command(), Command::Cancel);
    assert_eq!(scene.advance(bid), None);
    scene.exchange(&cancel);
    scene.advance(bid);
    assert_eq!((scene.desk.running(), scene.desk.outcome.canceled), (0, 1));
}

#[test]
fn what_the_broker_and_what_the_dock_refuses_are_counted_apart() {
    for (code, refused, rejected) in [(CONFLICT, 1, 0), (314_000, 0, 1)] {
        let mut scene = Scene::new();
        let (_, list) = scene.begin(None);
        let start = scene.exchange(&list).unwrap();
        let tid = scene.stamp();
        scene.desk.sent(tid, &start, &scene.book, at(1));
        scene.desk.reply(tid, format!(r#"{{"data":{{"result":{code}}}}}"#).as_bytes(), at(1));
        let outcome = &scene.desk.outcome;
        assert_eq!((outcome.refused, outcome.rejected.len()), (refused, rejected));
        assert_eq!((scene.desk.fates[&Command::Start].refused, scene.desk.running()), (refused, 0));
    }
}

#[test]
fn a_reply_that_does_not_come_is_excused_if_the_dock_says_so_or_was_away() {
    type Excuse = fn(&mut Scene, Stamp);
    let cases: [(Excuse, u64); 3] = [
        (|_, _| {}, 0),
        (|scene, tid| scene.desk.ignored(tid), 1),
        (|scene, _| scene.book.dock(0).is_online.store(false, Ordering::Relaxed), 1),
    ];
    for (excuse, excused) in cases {
        let mut scene = Scene::new();
        let (_, list) = scene.begin(None);
        let tid = scene.stamp();
        scene.desk.sent(tid, &list, &scene.book, at(1));
        excuse(&mut scene, tid);
        assert_eq!(scene.desk.is_quiet(&scene.book), excused == 1);
        scene.desk.expire(&scene.book, at(15));
        assert_eq!(scene.desk.running(), 1);
        scene.desk.expire(&scene.book, at(16));
        let fate = &scene.desk.fates[&Command::List];
        assert_eq!((fate.excused, fate.unanswered), (excused, 1 - excused));
        assert_eq!((scene.desk.running(), scene.desk.outcome.unanswered), (0, 1));
        assert_eq!(scene.desk.reply(tid, b"{}", at(17)), None);
        assert_eq!(scene.desk.surplus, 1);
    }
}

#[test]
fn an_upload_of_which_nothing_is_heard_has_stalled_and_what_comes_then_is_late() {
    let mut scene = Scene::new();
    let (bid, list) = scene.begin(None);
    let start = scene.exchange(&list).unwrap();
    scene.exchange(&start);
    scene.advance(bid);
    scene.desk.expire(&scene.book, at(12));
    assert_eq!(scene.desk.outcome.stalled, 0);
    scene.desk.expire(&scene.book, at(13));
    assert_eq!((scene.desk.running(), scene.desk.outcome.stalled), (0, 1));
    scene.advance(bid);
    assert_eq!(scene.desk.outcome.late_events, 1);
}
