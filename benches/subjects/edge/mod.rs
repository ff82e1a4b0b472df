//! Messages all the way through the edge: out of a publisher's stream, through a broker, and into subscribers' streams.
//!
//! Broker and clients share one thread ([`stage`]), so that the instructions of a round are nearly the same each time. A
//! round of a scenario: every publisher writes a batch of messages at once, gets its acknowledgements, and every subscriber
//! takes, and acknowledges, all that is for it.

mod client;
mod stage;

use super::Subject;
use super::packet::{Publish, V311};
use super::payload::{self, Changing, GATEWAY};
use client::Client;
use dockgate::access::Role;
use stage::Stage;

/// Bytes of a message, and clients, unless a name says something else.
const PAYLOAD: usize = 256;
const CLIENTS: usize = 10;
const MANY_CLIENTS: usize = 100;

/// Rounds that are played before anything is counted.
const REHEARSALS: usize = 20;

/// One who publishes again and again.
struct Publisher {
    client: Client,
    /// Whole packets, which may change each time.
    batch: Changing,
    /// Acknowledgements that a batch gets.
    acknowledgements: usize,
}

impl Publisher {
    fn new(client: Client, message: Publish, qos: u8, batch: usize) -> Self {
        let packets = (1..).take(batch).flat_map(|pid| message.clone().qos(qos, pid).bytes(V311));
        let acknowledgements = if qos == 0 { 0 } else { batch };
        Self { client, batch: Changing::new(packets.collect()), acknowledgements }
    }
}

/// A scenario, with everybody in their places.
struct Scene {
    stage: Stage,
    publishers: Vec<Publisher>,
    subscribers: Vec<Client>,
    /// Messages that each subscriber gets in a round.
    each: usize,
}

impl Scene {
    fn play(&mut self) {
        let Self { stage, publishers, subscribers, each } = self;
        stage.runtime.block_on(async {
            for publisher in publishers.iter_mut() {
                publisher.client.send(publisher.batch.next()).await;
            }
            for publisher in publishers.iter_mut() {
                publisher.client.take_acknowledgements(publisher.acknowledgements).await;
            }
            for subscriber in subscribers {
                subscriber.take_messages(*each).await;
            }
        });
    }

    fn rehearsed(mut self) -> Subject {
        for _ in 0..REHEARSALS {
            self.play();
        }
        let messages = self.subscribers.len() * self.each;
        Subject::round(u32::try_from(messages).expect("a few hundred"), move || self.play())
    }
}

fn topic(number: usize) -> String {
    format!("bench/{number:03}")
}

fn message(topic: &str) -> Publish {
    Publish::new(topic, [b'x'; PAYLOAD])
}

/// 10 publishers, each with a topic of its own, and one subscriber with a wildcard.
pub(crate) fn fan_in(qos: u8, batch: usize) -> Subject {
    let stage = Stage::open();
    let subscribers = vec![stage.subscriber("subscriber", "bench/+", qos, None)];
    let publisher = |number: usize| {
        Publisher::new(stage.client(&format!("publisher{number}"), None), message(&topic(number)), qos, batch)
    };
    let publishers = (0..CLIENTS).map(publisher).collect();
    Scene { stage, publishers, subscribers, each: CLIENTS * batch }.rehearsed()
}

/// One publisher, and 100 subscribers with this filter.
pub(crate) fn fan_out(filter: &str, qos: u8, batch: usize) -> Subject {
    let stage = Stage::open();
    let subscriber = |number: usize| stage.subscriber(&format!("subscriber{number}"), filter, qos, None);
    let subscribers = (0..MANY_CLIENTS).map(subscriber).collect();
    let publishers = vec![Publisher::new(stage.client("publisher", None), message(&topic(0)), qos, batch)];
    Scene { stage, publishers, subscribers, each: batch }.rehearsed()
}

/// 10 publishers, each with a subscriber to its topic.
pub(crate) fn pairs(qos: u8, batch: usize) -> Subject {
    let stage = Stage::open();
    let subscriber = |number: usize| stage.subscriber(&format!("subscriber{number}"), &topic(number), qos, None);
    let subscribers = (0..CLIENTS).map(subscriber).collect();
    let publisher = |number: usize| {
        Publisher::new(stage.client(&format!("publisher{number}"), None), message(&topic(number)), qos, batch)
    };
    let publishers = (0..CLIENTS).map(publisher).collect();
    Scene { stage, publishers, subscribers, each: batch }.rehearsed()
}

/// A dock and a backend, each with its role: the backend subscribes to what all docks say on a topic like the message's.
fn dock_to_backend(stage: Stage, level: &str, qos: u8, payload: Vec<u8>) -> Subject {
    let backend = stage.subscriber("backend", &format!("thing/product/+/{level}"), 1, Some(Role::Backend));
    let message = Publish::new(&format!("thing/product/{GATEWAY}/{level}"), payload);
    let dock = Publisher::new(stage.client(GATEWAY, Some(Role::Dock)), message, qos, 1);
    Scene { stage, publishers: vec![dock], subscribers: vec![backend], each: 1 }.rehearsed()
}

/// Telemetry, which is most of what a dock says.
pub(crate) fn dock_telemetry() -> Subject {
    dock_to_backend(Stage::open(), "osd", 0, payload::event(None, 800))
}

/// An event that the hook looks at, and which is not of the remote log.
pub(crate) fn dock_event() -> Subject {
    dock_to_backend(Stage::open(), "events", 1, payload::event(Some("hms"), 800))
}

/// Progress of an upload that the ledger knows.
pub(crate) fn dock_progress() -> Subject {
    let stage = Stage::open();
    let start = Publish::new(&format!("thing/product/{GATEWAY}/services"), payload::start());
    let mut starter = Publisher::new(stage.client("starter", Some(Role::Backend)), start, 1, 1);
    stage.runtime.block_on(async {
        starter.client.send(starter.batch.next()).await;
        starter.client.take_acknowledgements(1).await;
    });
    dock_to_backend(stage, "events", 1, payload::progress())
}
