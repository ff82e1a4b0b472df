//! A client that subscribes and unsubscribes, and publishes to itself what shows whether that was remembered.

use std::time::{Duration, Instant};

use crate::client::{Client, News};
use crate::fact::Kind;
use crate::label::Label;
use crate::random::Random;
use crate::scene::{DEADLINE, Scene, Stage};

/// A client whose subscriptions change.
#[derive(Debug)]
pub(crate) struct Changer {
    client: Client,
    /// Each filter, a topic that only it matches, and whether it is subscribed to.
    filters: Vec<(String, String, bool)>,
    random: Random,
}

impl Changer {
    pub(crate) fn new(client: Client, random: Random) -> Self {
        let name = &client.name;
        let filters = vec![
            (format!("c/{name}/x"), format!("c/{name}/x"), false),
            (format!("c/{name}/+/z"), format!("c/{name}/y/z"), false),
            (format!("c/{name}/w/#"), format!("c/{name}/w"), false),
        ];
        Self { client, filters, random }
    }

    pub(crate) fn play(mut self, scene: &Scene) {
        while !scene.is_over() {
            if scene.stage() == Stage::Load {
                self.change(scene);
                self.rest_at_times(scene);
                self.probe(scene);
            } else {
                self.turn(5);
            }
        }
    }

    /// Subscribes or unsubscribes, and waits for the answer through any crash.
    fn change(&mut self, scene: &Scene) {
        let at = usize::try_from(self.random.between(0, 2)).expect("small");
        let (filter, _, is_subscribed) = self.filters[at].clone();
        if is_subscribed {
            self.client.unsubscribe(&filter);
        } else {
            let qos = u8::try_from(self.random.between(1, 2)).expect("small");
            self.client.subscribe(&filter, qos);
        }
        while self.client.is_asking() && !scene.is_over() {
            self.turn(5);
        }
        self.filters[at].2 = !is_subscribed;
    }

    /// Waits for the next life of the broker, so that it is what was written that holds.
    fn rest_at_times(&mut self, scene: &Scene) {
        if !self.random.percent(50) {
            return;
        }
        let number = scene.life().map(|life| life.number);
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until && scene.stage() == Stage::Load {
            self.turn(10);
            if scene.life().is_some_and(|life| Some(life.number) != number) {
                return;
            }
        }
    }

    /// Publishes to each topic. What comes of the topics that are not subscribed to, the checker sees.
    fn probe(&mut self, scene: &Scene) {
        let mut wanted: Vec<Label> = Vec::new();
        for (_, topic, is_subscribed) in self.filters.clone() {
            let qos = u8::try_from(self.random.between(1, 2)).expect("small");
            let label = self.client.publish(&topic, qos, Kind::Plain, None);
            if is_subscribed {
                wanted.push(label);
            }
        }
        // What does not come is the checker's to report, at the end.
        let until = Instant::now() + DEADLINE;
        while (self.client.open() > 0 || !wanted.is_empty()) && !scene.is_over() && Instant::now() < until {
            self.turn(5);
            for news in self.client.news.drain(..) {
                if let News::Message(message) = news {
                    wanted.retain(|label| Label::of(&message).as_ref() != Ok(label));
                }
            }
        }
    }

    fn turn(&mut self, milliseconds: u64) {
        self.client.connect();
        self.client.poll(Duration::from_millis(milliseconds));
    }
}
