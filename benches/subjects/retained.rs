//! The look-up of a new subscription among 100,000 retained messages: 100 of each of 1,000 docks.

use super::Subject;
use dockgate::message::{Message, NEVER, Parts, QoS};
use dockgate::tree::TopicTree;
use std::hint::black_box;

const DOCKS: usize = 1_000;
const TOPICS: usize = 100;

/// Finds so many messages, as a session gets them.
fn find(filter: &'static str, count: usize) -> Subject {
    let mut tree = TopicTree::default();
    for (dock, topic) in (0..DOCKS).flat_map(|dock| (0..TOPICS).map(move |topic| (dock, topic))) {
        let (topic, qos, publisher) = (&format!("thing/product/dock{dock}/state{topic}")[..], QoS::AtLeastOnce, 1);
        let (retain, expires_at, properties, payload) = (true, NEVER, &[][..], &[b'x'; 16][..]);
        tree.insert(topic, Message::new(&Parts { qos, retain, publisher, expires_at, topic, properties, payload }));
    }
    Subject::part(move || {
        let mut found = Vec::new();
        tree.topics_matching(black_box(filter), |message: &Message| found.push(message.clone()));
        assert_eq!(black_box(found).len(), count);
    })
}

pub(crate) fn of_one_dock() -> Subject {
    find("thing/product/dock500/+", TOPICS)
}

pub(crate) fn of_every_dock() -> Subject {
    find("thing/product/+/state50", DOCKS)
}
