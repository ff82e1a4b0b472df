use serde_json::Value;

use super::super::ask::{self, Ask, What};
use super::super::packet::{Packet, decode};
use super::super::settings::Settings;
use super::*;

const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A dock that is idle but for what a test commands it, and what it has sent.
struct Scene {
    dock: Dock,
    out: Out,
    now: Duration,
}

impl Scene {
    fn new(fault: Option<Fault>) -> Self {
        let fleet = Arc::new(Fleet::new(Settings { flying: 0, ..Settings::of(1) }));
        let mut scene = Self { dock: Dock::new(fleet, 0, fault), out: Out::new(Version::V5), now: at(0) };
        scene.dock.online(scene.now, &mut scene.out);
        scene.out.take();
        scene
    }

    /// Lets the dock act for so long, and returns what it said on topics that end so.
    fn run(&mut self, millis: u64, topic_end: &str) -> Vec<Value> {
        let mut said = Vec::new();
        for _ in 0..millis / 10 {
            self.now += at(10);
            self.dock.act(self.now, &mut self.out);
            let bytes = self.out.take();
            let mut rest = &bytes[..];
            while let Some((Packet::Publish { topic, payload, .. }, length)) = decode(rest, Version::V5).unwrap() {
                if topic.ends_with(topic_end) {
                    said.push(serde_json::from_slice(payload).unwrap());
                }
                rest = &rest[length..];
            }
        }
        said
    }

    fn ask(&mut self, what: What) {
        let tid = self.dock.fleet.stamp(Stream::Command, 0, 1, self.now);
        let ask = Ask { dock: 0, bid: "the bid".to_owned(), what }.encode(tid.to_text(), 1);
        self.dock.hear("thing/product/8UUXN000000001/services", &ask, self.now, &mut self.out);
    }

    /// Has everything listed and its upload started.
    fn start(&mut self) -> Value {
        self.ask(What::List);
        let list = self.run(5000, "/services_reply").remove(0);
        self.ask(What::Start(ask::logs(&list, "the bid")));
        list
    }

    /// The status words of the progress events of 20 seconds, one for those that follow each other.
    fn progress(&mut self) -> Vec<String> {
        let events = self.run(20_000, "/events");
        let events = events.iter().filter(|event| event["method"] == cloud_api::PROGRESS);
        let mut words: Vec<String> =
            events.map(|event| event["data"]["output"]["status"].as_str().unwrap().to_owned()).collect();
        words.dedup();
        words
    }
}

#[test]
fn a_command_is_answered_25_to_50_ms_later() {
    let mut scene = Scene::new(None);
    scene.ask(What::Quality);
    assert_eq!(scene.run(20, "/services_reply"), Vec::<Value>::new());
    assert_eq!(scene.run(40, "/services_reply").len(), 1);
}

#[test]
fn a_late_dock_answers_after_seconds_and_tells_of_progress_after_the_end() {
    let mut scene = Scene::new(Some(Fault::Late));
    scene.ask(What::Quality);
    assert_eq!(scene.run(1900, "/services_reply").len(), 0);
    assert_eq!(scene.run(2200, "/services_reply").len(), 1);
    scene.start();
    assert_eq!(scene.progress(), ["in_progress", "ok", "in_progress"]);
}

#[test]
fn a_stalled_dock_tells_of_no_end() {
    let mut scene = Scene::new(Some(Fault::Stall));
    scene.start();
    assert_eq!(scene.progress(), ["in_progress"]);
    assert_eq!(scene.progress(), Vec::<String>::new());
}

#[test]
fn a_dock_that_restarts_wants_its_connection_cut_and_tells_of_the_failure_once_it_is_back() {
    let mut scene = Scene::new(Some(Fault::Reboot));
    scene.start();
    assert_eq!(scene.dock.cut(), None);
    assert_eq!(scene.progress(), ["in_progress"]);
    assert!(scene.dock.cut().is_some_and(|pause| pause >= at(1000)));
    scene.dock.offline(&scene.out);
    scene.now += at(5000);
    scene.dock.online(scene.now, &mut scene.out);
    assert_eq!(scene.dock.cut(), None);
    let told = scene.run(1000, "/events").remove(0);
    assert_eq!((&told["data"]["output"]["status"], &told["data"]["result"]), (&"failed".into(), &POWER_CUT.into()));
}

#[test]
fn a_dock_that_repeats_itself_sends_every_event_twice_with_one_tid() {
    let mut scene = Scene::new(Some(Fault::Duplicate));
    scene.start();
    let events = scene.run(3000, "/events");
    assert!(events.len() >= 10, "{}", events.len());
    assert!(events.chunks(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_dock_that_cannot_spell_is_wrong_in_lists_and_in_progress() {
    let mut scene = Scene::new(Some(Fault::Typo));
    let list = scene.start();
    assert!(list["data"]["files"][0]["list"][0]["end_ime"].is_u64(), "{list}");
    let event = scene.run(3000, "/events").remove(0);
    let file = &event["data"]["output"]["ext"]["files"][0];
    assert!(event["gateway"].is_null() && file["size"].is_string() && file["progress"]["prgress"].is_u64(), "{event}");
}

#[test]
fn a_dock_that_refuses_says_a_code_of_its_own() {
    for (fault, is_it) in
        [(Fault::Busy, (|code| code == BUSY) as fn(i64) -> bool), (Fault::Reject, |code| REJECTIONS.contains(&code))]
    {
        let mut scene = Scene::new(Some(fault));
        scene.start();
        let reply = scene.run(100, "/services_reply").remove(0);
        assert!(is_it(ask::result(&reply).unwrap()), "{reply}");
        assert_eq!(scene.progress(), Vec::<String>::new());
    }
}

#[test]
fn what_was_due_while_it_was_away_is_never_sent() {
    let mut scene = Scene::new(None);
    scene.dock.offline(&scene.out);
    scene.now += Duration::from_secs(3600);
    scene.dock.online(scene.now, &mut scene.out);
    let said = scene.run(10_000, "/osd");
    assert!(said.len() <= 2, "{} of the telemetry of an hour", said.len());
}
