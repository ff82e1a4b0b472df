//! A client that publishes, several messages at a time, and finishes what it began through every crash.

use std::time::Duration;

use crate::client::{Client, Manner};
use crate::fact::Kind;
use crate::random::Random;
use crate::scene::{Scene, Stage};

/// The topics; each has exact and wildcard subscribers.
const TOPICS: [&str; 3] = ["t/a", "t/b", "t/c/d"];

/// A publisher.
#[derive(Debug)]
pub(crate) struct Publisher {
    client: Client,
    /// From which it takes the QoS of each message.
    qos: &'static [u8],
    random: Random,
}

impl Publisher {
    pub(crate) fn new(client: Client, qos: &'static [u8], random: Random) -> Self {
        Self { client, qos, random }
    }

    pub(crate) fn play(mut self, scene: &Scene) {
        while !scene.is_over() {
            self.client.news.clear();
            if self.client.connect() && scene.stage() == Stage::Load {
                self.burst();
                self.hold_at_times();
                self.leave_at_times();
            } else if scene.stage() == Stage::Settle {
                self.client.manner = Manner::Prompt;
                self.client.release();
            }
            self.client.poll(Duration::from_millis(self.random.between(2, 25)));
        }
    }

    fn burst(&mut self) {
        // A few at a time, and now and then so many that the broker takes a while to go through them.
        let (most, window) = if self.random.percent(3) { (40, 60) } else { (3, self.random.between(1, 12)) };
        for _ in 0..self.random.between(0, most) {
            if self.client.open() < usize::try_from(window).expect("small") {
                let (topic, qos) = (*self.random.pick(&TOPICS), *self.random.pick(self.qos));
                self.client.publish(topic, qos, Kind::Plain, None);
            }
        }
    }

    /// PUBREL may be late, so that it often comes to another life of the broker than its message.
    fn hold_at_times(&mut self) {
        if self.random.percent(5) {
            self.client.manner = *self.random.pick(&[Manner::Prompt, Manner::Holding]);
        }
        if self.client.manner == Manner::Prompt || self.random.percent(10) {
            self.client.release();
        }
    }

    /// Connections end without crashes, too, and with messages on their way.
    fn leave_at_times(&mut self) {
        if self.random.between(1, 300) == 1 {
            let with_a_word = self.random.percent(50);
            self.client.disconnect(with_a_word);
        }
    }
}
