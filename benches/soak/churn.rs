//! A population of clients of which some are always coming and some going.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::life::Life;

/// Names that are remembered, so that others publish to them: those who are there and those who have just left.
const ACQUAINTANCES: usize = 256;
/// Faults that are remembered in words.
const NAMED: usize = 10;

/// How much goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Clients at one time.
    pub(crate) clients: u32,
    /// Publishes a second in all.
    pub(crate) rate: u32,
    /// How long a client is there, on average.
    pub(crate) life: Duration,
    /// Seconds that a session of MQTT 5 outlives its connection, at most.
    pub(crate) expiry: u32,
}

/// What all clients share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Counts,
    number: AtomicU64,
    names: Mutex<VecDeque<String>>,
    /// Topics with a retained message, and when it is to be cleared.
    retained: Mutex<VecDeque<(Instant, String)>>,
    faults: Mutex<Vec<String>>,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connects: Count,
    pub(crate) published: Count,
    pub(crate) acknowledged: Count,
    pub(crate) received: Count,
    /// Lives that ended otherwise than they should.
    pub(crate) faults: Count,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// [`Counts`] at one time.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Done {
    pub(crate) connects: u64,
    pub(crate) published: u64,
    pub(crate) acknowledged: u64,
    pub(crate) received: u64,
    pub(crate) faults: u64,
}

impl World {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            counts: Counts::default(),
            number: AtomicU64::new(0),
            names: Mutex::default(),
            retained: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// A number that nobody had before.
    pub(crate) fn number(&self) -> u64 {
        self.number.fetch_add(1, Relaxed)
    }

    pub(crate) fn meet(&self, name: &str) {
        let mut names = self.names.lock();
        if names.len() == ACQUAINTANCES {
            names.pop_front();
        }
        names.push_back(name.to_owned());
    }

    /// The name of somebody who is there, or has been a moment ago.
    pub(crate) fn somebody(&self) -> String {
        let names = self.names.lock();
        fastrand::choice(names.iter()).cloned().unwrap_or_default()
    }

    pub(crate) fn retain(&self, topic: String, until: Instant) {
        self.retained.lock().push_back((until, topic));
    }

    /// The topics whose retained messages have been there long enough; whoever asks has to clear them.
    pub(crate) fn stale_retained(&self) -> Vec<String> {
        let mut retained = self.retained.lock();
        let now = Instant::now();
        let stale = retained.partition_point(|(until, _)| *until <= now);
        retained.drain(..stale).map(|(_, topic)| topic).collect()
    }

    /// All topics with a retained message.
    pub(crate) fn all_retained(&self) -> Vec<String> {
        self.retained.lock().drain(..).map(|(_, topic)| topic).collect()
    }

    pub(crate) fn done(&self) -> Done {
        let Counts { connects, published, acknowledged, received, faults } = &self.counts;
        Done {
            connects: connects.get(),
            published: published.get(),
            acknowledged: acknowledged.get(),
            received: received.get(),
            faults: faults.get(),
        }
    }

    /// The first faults, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().clone()
    }

    fn fault(&self, error: &anyhow::Error) {
        self.counts.faults.add(1);
        let mut faults = self.faults.lock();
        if faults.len() < NAMED {
            faults.push(format!("{error:#}"));
        }
    }
}

/// Keeps the population up until `end`, and waits until the last one has left.
pub(crate) async fn churn(world: Arc<World>, pace: Pace, end: Instant) {
    let pause = Duration::from_secs_f64(f64::from(pace.clients) / f64::from(pace.rate));
    let mut population = JoinSet::new();
    for _ in 0..pace.clients {
        population.spawn(succession(Arc::clone(&world), pace, pause, end));
    }
    population.join_all().await;
}

/// One client after another.
async fn succession(world: Arc<World>, pace: Pace, pause: Duration, end: Instant) {
    while Instant::now() < end {
        // From hardly anything to twice the average.
        let death = (Instant::now() + pace.life.mul_f64(2.0 * fastrand::f64())).min(end);
        if let Err(error) = Life::new(&world, pace.expiry).live(Arc::clone(&world), death, pause).await {
            world.fault(&error);
            // A broker that is gone must not be asked a million times.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
