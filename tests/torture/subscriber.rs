//! A client with a persistent session that receives, and comes and goes in its own way.

use std::time::{Duration, Instant};

use crate::client::{Client, Manner};
use crate::random::Random;
use crate::scene::{Scene, Stage};

/// What it is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Stays connected, through every kill.
    Steady,
    /// Comes and goes, often, with or without a word.
    Flighty,
    /// Is away for longer than it is here.
    Away,
    /// Acknowledges late, or not before it goes.
    Slow,
    /// Often goes between PUBREC and PUBCOMP.
    WithoutPubcomp,
}

/// A subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    client: Client,
    filters: Vec<(String, u8)>,
    habit: Habit,
    random: Random,
}

impl Subscriber {
    pub(crate) fn new(client: Client, filters: Vec<(String, u8)>, habit: Habit, random: Random) -> Self {
        Self { client, filters, habit, random }
    }

    pub(crate) fn play(mut self, scene: &Scene) {
        for (filter, qos) in std::mem::take(&mut self.filters) {
            self.client.connect();
            self.client.subscribe(&filter, qos);
            while self.client.is_asking() && !scene.is_over() {
                self.client.connect();
                self.client.poll(Duration::from_millis(5));
            }
        }
        while !scene.is_over() {
            if scene.stage() == Stage::Load {
                self.visit(scene);
                self.stay_away(scene);
            } else {
                // Whatever it was like, now it takes all that there is. PUBREL comes again only over a new connection.
                if self.client.manner == Manner::WithoutPubcomp {
                    self.client.disconnect(false);
                }
                self.client.manner = Manner::Prompt;
                self.client.connect();
                self.client.release();
                self.client.poll(Duration::from_millis(10));
                self.client.news.clear();
            }
        }
        self.client.disconnect(true);
    }

    /// Connects and receives for a while.
    fn visit(&mut self, scene: &Scene) {
        let until = match self.habit {
            Habit::Steady => None,
            Habit::Away => Some(Instant::now() + self.milliseconds(5, 100)),
            _ => Some(Instant::now() + self.milliseconds(20, 700)),
        };
        self.client.manner = match self.habit {
            Habit::Slow => Manner::Holding,
            Habit::WithoutPubcomp if self.random.percent(70) => Manner::WithoutPubcomp,
            Habit::Flighty if self.random.percent(30) => Manner::Holding,
            _ => Manner::Prompt,
        };
        while scene.stage() == Stage::Load && until.is_none_or(|until| Instant::now() < until) {
            self.client.connect();
            let patience = self.milliseconds(1, 20);
            self.client.poll(patience);
            self.client.news.clear();
            if self.client.manner == Manner::Holding && self.random.percent(15) {
                self.client.release();
            }
        }
    }

    /// Goes, with a word or without one, in the middle of whatever it did.
    fn stay_away(&mut self, scene: &Scene) {
        if self.habit == Habit::Steady || scene.stage() != Stage::Load {
            return;
        }
        let with_a_word = self.random.percent(50);
        self.client.disconnect(with_a_word);
        let away = if self.habit == Habit::Away { self.milliseconds(100, 1500) } else { self.milliseconds(0, 300) };
        let until = Instant::now() + away;
        while scene.stage() == Stage::Load && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn milliseconds(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.random.between(low, high))
    }
}
