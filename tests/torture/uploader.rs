//! A gateway's uploads: a backend and a dock, one step at a time, each of which is acknowledged before the next.
//!
//! So it is always known where the upload stands, and after each crash a conflicting start can be tried that must not
//! pass.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, News};
use crate::cloud;
use crate::common::{V5, V311};
use crate::fact::{Fact, Kind, Step};
use crate::label::{Label, Name};
use crate::random::Random;
use crate::scene::{Scene, Stage};

/// The backend and the dock of one gateway.
#[derive(Debug)]
pub(crate) struct Uploader {
    gateway: Name,
    backend: Client,
    dock: Client,
    /// QoS of the dock's events.
    qos: u8,
    /// Whether the backend's PUBACK tells it of a refusal; else the answer on `services_reply` does.
    is_told: bool,
    /// Life in which a conflicting start was last refused.
    tried: usize,
    random: Random,
}

/// Which of the two sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Backend,
    Dock,
}

impl Uploader {
    pub(crate) fn new(scene: &Arc<Scene>, gateway: &str, at: usize, random: Random) -> Self {
        let name = format!("backend-{gateway}");
        let (backend, dock) = match at % 4 {
            0 => (Client::clean(scene, V5, &name), Client::clean(scene, V311, gateway)),
            1 => (Client::persistent(scene, V311, &name), Client::clean(scene, V5, gateway)),
            2 => (Client::persistent(scene, V5, &name), Client::persistent(scene, V311, gateway)),
            _ => (Client::persistent(scene, V5, &name), Client::persistent(scene, V5, gateway)),
        };
        let is_told = backend.version() == V5;
        let qos = if at >= 2 { 2 } else { 1 };
        Self { gateway: gateway.into(), backend, dock, qos, is_told, tried: 0, random }
    }

    pub(crate) fn play(mut self, scene: &Scene) {
        if !self.is_told {
            self.backend.connect();
            self.backend.subscribe(&self.topic("services_reply"), 1);
        }
        let mut number = 0;
        while !scene.is_over() {
            self.turn();
            if scene.stage() == Stage::Load {
                number += 1;
                self.upload(scene, &format!("bid-{}-{number}", self.gateway));
                self.rest(scene);
            }
        }
    }

    /// One upload from its start to its end, or until the test is over.
    fn upload(&mut self, scene: &Scene, bid: &str) {
        let start = cloud::start(&self.backend.next_label(), bid);
        self.step(scene, Side::Backend, "services", &start, Step::Start(bid.to_owned()));
        self.rest_and_try(scene);
        if self.random.percent(10) {
            let refusal = cloud::reply(&self.dock.next_label(), &start, 314_000);
            return self.step(scene, Side::Dock, "services_reply", &refusal, Step::End("rejected"));
        }
        let accepted = cloud::reply(&self.dock.next_label(), &start, 0);
        self.step(scene, Side::Dock, "services_reply", &accepted, Step::Accept);
        self.rest_and_try(scene);
        for _ in 0..self.random.between(0, 3) {
            self.report(scene, bid, "file_uploading", Step::Advance);
        }
        self.rest_and_try(scene);
        match self.random.between(0, 2) {
            0 => self.report(scene, bid, "ok", Step::End("ok")),
            1 => self.report(scene, bid, "failed", Step::End("failed")),
            _ => {
                let cancel = cloud::cancel(&self.backend.next_label(), bid);
                self.step(scene, Side::Backend, "services", &cancel, Step::AskCancel);
                self.rest_and_try(scene);
                let agreed = cloud::reply(&self.dock.next_label(), &cancel, 0);
                self.step(scene, Side::Dock, "services_reply", &agreed, Step::Cancel);
                self.rest_and_try(scene);
                self.report(scene, bid, "canceled", Step::End("canceled"));
            }
        }
    }

    fn report(&mut self, scene: &Scene, bid: &str, status: &str, step: Step) {
        let label = self.dock.next_label();
        let event = cloud::progress(&label, bid, label.number % 100, status);
        self.step(scene, Side::Dock, "events", &event, step);
    }

    /// Publishes what causes a step, and waits through any crash until it is acknowledged.
    fn step(&mut self, scene: &Scene, side: Side, suffix: &str, message: &Value, step: Step) {
        let topic = self.topic(suffix);
        let qos = if suffix == "events" { self.qos } else { 1 };
        let kind = Kind::Upload { gateway: Arc::clone(&self.gateway), step };
        let client = if side == Side::Backend { &mut self.backend } else { &mut self.dock };
        client.connect();
        client.publish(&topic, qos, kind, Some(message.to_string().into_bytes()));
        while self.backend.open() + self.dock.open() > 0 && !scene.is_over() {
            self.turn();
        }
        let pause = self.random.between(0, 25);
        std::thread::sleep(Duration::from_millis(pause));
    }

    /// Often leaves everything as it is until the broker's next life, in which no second start may pass.
    fn rest_and_try(&mut self, scene: &Scene) {
        self.rest(scene);
        let number = scene.life().map_or(0, |life| life.number);
        if number != self.tried || self.random.percent(10) {
            self.try_conflict(scene);
            self.tried = number;
        }
    }

    fn rest(&mut self, scene: &Scene) {
        if !self.random.percent(40) {
            return;
        }
        let number = scene.life().map(|life| life.number);
        let until = Instant::now() + Duration::from_millis(self.random.between(50, 1500));
        while Instant::now() < until && scene.stage() == Stage::Load {
            self.turn();
            if scene.life().is_some_and(|life| Some(life.number) != number) {
                return;
            }
        }
    }

    /// Sends starts of another upload until one is answered: the broker may die in between.
    fn try_conflict(&mut self, scene: &Scene) {
        let topic = self.topic("services");
        while !scene.is_over() {
            self.turn();
            if !self.backend.is_connected() {
                continue;
            }
            let label = self.backend.next_label();
            let request = cloud::start(&label, &format!("conflict-{label}")).to_string().into_bytes();
            self.backend.publish(&topic, 1, Kind::Conflict { told: self.is_told }, Some(request));
            let is_answered = self.wait_for_answer(scene, &label);
            self.backend.give_up(&label);
            scene.record(Fact::Tried(label));
            if is_answered {
                return;
            }
        }
    }

    /// Whether an answer came before the connection ended. Which answer is right, the checker knows.
    fn wait_for_answer(&mut self, scene: &Scene, label: &Label) -> bool {
        while self.backend.is_connected() && !scene.is_over() {
            let is_told = self.is_told;
            let answers = |news: &News| match news {
                News::Acked(found) | News::Refused(found) => is_told && found == label,
                News::Message(message) => !is_told && Label::of(message).as_ref() == Ok(label),
                News::Pong => false,
            };
            if self.backend.news.iter().any(answers) {
                return true;
            }
            self.backend.news.clear();
            self.backend.poll(Duration::from_millis(5));
        }
        false
    }

    fn turn(&mut self) {
        for client in [&mut self.backend, &mut self.dock] {
            client.news.clear();
            client.connect();
            client.poll(Duration::from_millis(2));
        }
    }

    fn topic(&self, suffix: &str) -> String {
        format!("thing/product/{}/{suffix}", self.gateway)
    }
}
