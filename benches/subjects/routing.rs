//! From a topic to its one subscriber among many subscriptions, in the publisher's task.

use super::Subject;
use dockgate::message::{Message, NEVER, Parts, QoS};
use dockgate::route::{Batch, Delivered, Options, Pressure, Route, Subscriber, Via};
use std::hint::black_box;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Topics that are published to in turn.
const TOPICS: usize = 100;
/// As many topics that the route has forgotten a topic when its turn comes again.
const NEW_TOPICS: usize = 20_000;

/// Takes messages as fast as they come.
#[derive(Debug)]
struct Sink;

impl Subscriber for Sink {
    fn key(&self) -> u64 {
        1
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn deliver(&self, messages: &[Message], matching: &[Options], _: Via) -> Delivered {
        black_box((messages, matching));
        Delivered::default()
    }

    fn pressure(&self, _: bool) -> Option<Pressure> {
        None
    }
}

struct Routing {
    /// Keeps what the route has spawned.
    _runtime: Runtime,
    route: Arc<Route>,
    messages: Vec<Message>,
    next: usize,
    batch: Batch,
}

impl Routing {
    fn new(filters: impl Iterator<Item = String>, topics: impl Iterator<Item = String>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
        let route = runtime.block_on(async { Route::start(1) }).expect("the routing core starts");
        let sink: Arc<dyn Subscriber> = Arc::new(Sink);
        let (qos, id) = (QoS::AtLeastOnce, None);
        let options = Options { qos, no_local: false, retain_as_published: false, id, partial: false };
        for filter in filters {
            route.subscribe(&filter, &sink, options, false);
        }
        let message = |topic: String| {
            let (qos, publisher, topic) = (QoS::AtLeastOnce, 64, &topic[..]);
            let (retain, expires_at, properties, payload) = (false, NEVER, &[][..], &[b'x'; 256][..]);
            Message::new(&Parts { qos, retain, publisher, expires_at, topic, properties, payload })
        };
        let messages = topics.map(message).collect();
        let batch = route.batch(64);
        Self { _runtime: runtime, route, messages, next: 0, batch }
    }

    fn publish_next(&mut self) {
        self.next = (self.next + 1) % self.messages.len();
        let message = self.messages[self.next].clone();
        assert!(self.route.publish(message, &mut self.batch));
        self.route.deliver(&mut self.batch);
    }

    /// Each topic has been published to before.
    fn of_known_topics(mut self) -> Subject {
        for _ in 0..self.messages.len() {
            self.publish_next();
        }
        Subject::part(move || self.publish_next())
    }
}

fn gateways(subscriptions: usize, topics: usize) -> impl Iterator<Item = usize> {
    (0..topics).map(move |topic| topic * 7_919 % subscriptions)
}

/// Among so many subscriptions without wildcards.
pub(crate) fn exact(subscriptions: usize) -> Subject {
    let topic = |gateway| format!("thing/product/{gateway}/services");
    Routing::new((0..subscriptions).map(topic), gateways(subscriptions, TOPICS).map(topic)).of_known_topics()
}

/// Among so many wildcard subscriptions, on topics that have been published to before.
pub(crate) fn wildcard(subscriptions: usize) -> Subject {
    let filters = (0..subscriptions).map(|gateway| format!("thing/product/{gateway}/+"));
    let topics = gateways(subscriptions, TOPICS).map(|gateway| format!("thing/product/{gateway}/events"));
    Routing::new(filters, topics).of_known_topics()
}

/// The same on topics that nobody has published to before.
pub(crate) fn wildcard_new_topic(subscriptions: usize) -> Subject {
    let filters = (0..subscriptions).map(|gateway| format!("thing/product/{gateway}/+"));
    let topics = gateways(subscriptions, NEW_TOPICS).zip(0..);
    let topics = topics.map(|(gateway, number)| format!("thing/product/{gateway}/{number}"));
    let mut routing = Routing::new(filters, topics);
    Subject::part(move || routing.publish_next())
}
