//! A client that publishes retained messages: ever newer ones on each of its topics, and at times the empty one that
//! deletes.

use std::time::Duration;

use crate::actors::RETAINED;
use crate::client::Client;
use crate::fact::Kind;
use crate::random::Random;
use crate::scene::{Scene, Stage};

/// A publisher of retained messages.
#[derive(Debug)]
pub(crate) struct Retainer {
    client: Client,
    topics: Vec<&'static str>,
    window: usize,
    random: Random,
}

impl Retainer {
    pub(crate) fn new(client: Client, window: usize, random: Random) -> Self {
        let own = RETAINED.iter().filter(|(_, writer)| **writer == *client.name);
        let topics = own.map(|(topic, _)| *topic).collect();
        Self { client, topics, window, random }
    }

    pub(crate) fn play(mut self, scene: &Scene) {
        while !scene.is_over() {
            self.client.news.clear();
            let may_publish = self.client.connect() && scene.stage() == Stage::Load;
            if may_publish && self.client.open() < self.window {
                let deletes = self.random.percent(15);
                let topic = *self.random.pick(&self.topics);
                self.client.publish(topic, 1, Kind::Retained { deletes }, deletes.then(Vec::new));
            }
            self.client.poll(Duration::from_millis(self.random.between(5, 30)));
        }
    }
}
