//! Who publishes what to whom.

use std::ops::Range;

use super::payload::Form;
use super::scenario::{Flood, Hook, Scenario, Sizes};

/// The topics and filters of a run.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// One publisher each.
    pub(super) publishers: Vec<Publisher>,
    /// One subscriber each.
    pub(super) subscribers: Vec<Subscriber>,
    /// How many subscribers each message reaches.
    pub(super) copies: u32,
}

/// A client that publishes on a topic.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    pub(super) topic: String,
    pub(super) form: Form,
    /// The dock whose upload runs meanwhile.
    pub(super) uploading: Option<String>,
}

/// A client that subscribes to one filter.
#[derive(Debug, Clone)]
pub(super) struct Subscriber {
    pub(super) filter: String,
    /// Whose messages it gets.
    pub(super) hears: Range<u32>,
}

impl Shape {
    /// The topics and filters of a scenario, if it has some. `root` is what the run's topics begin with, and `run`
    /// tells its docks from those of other runs.
    pub(super) fn of(scenario: Scenario, payload: usize, root: &str, run: &str) -> Option<Self> {
        let plain = |topic: String| Publisher { topic, form: Form::plain(payload), uploading: None };
        let numbered = |count: u32| (0..count).map(|n| plain(format!("{root}/{n:03}"))).collect::<Vec<_>>();
        let own = |n: u32| Subscriber { filter: format!("{root}/{n:03}"), hears: n..n + 1 };
        let wild = |hears: Range<u32>| Subscriber { filter: format!("{root}/#"), hears };
        Some(match scenario {
            Scenario::PointToPoint(sizes) | Scenario::FanOut(sizes) => Self::by_topic(sizes, plain, root),
            Scenario::SharedSub(sizes) => {
                let filter = format!("$share/{}/{root}/#", root.replace('/', "-"));
                let member = Subscriber { filter, hears: 0..sizes.publishers };
                let subscribers = vec![member; sizes.subscribers as usize];
                Self { subscribers, copies: 1, ..Self::by_topic(sizes, plain, root) }
            }
            Scenario::Flood(Flood::FanIn) => {
                Self { publishers: numbered(100), subscribers: vec![wild(0..100)], copies: 1 }
            }
            Scenario::Flood(Flood::FanOut) => {
                Self { publishers: numbered(1), subscribers: vec![own(0); 100], copies: 100 }
            }
            Scenario::Flood(Flood::FanOutWild) => {
                Self { publishers: numbered(1), subscribers: vec![wild(0..1); 100], copies: 100 }
            }
            Scenario::Flood(Flood::Pairs) => {
                Self { publishers: numbered(50), subscribers: (0..50).map(own).collect(), copies: 1 }
            }
            Scenario::Hook(hook) => Self::of_docks(hook, payload, run),
            Scenario::Connections(..) | Scenario::Docks(_) | Scenario::Idle(_) => return None,
        })
    }

    /// Each topic has as many publishers, and as many subscribers, as every other one.
    fn by_topic(sizes: Sizes, plain: impl Fn(String) -> Publisher, root: &str) -> Self {
        let Sizes { publishers, subscribers, topics, .. } = sizes;
        let topic = |n: u32| format!("{root}/{n:06}");
        let share = publishers / topics;
        Self {
            publishers: (0..publishers).map(|n| plain(topic(n / share))).collect(),
            subscribers: (0..subscribers)
                .map(|n| n % topics)
                .map(|n| Subscriber { filter: topic(n), hears: n * share..(n + 1) * share })
                .collect(),
            copies: subscribers / topics,
        }
    }

    /// Pairs of a dock and somebody who hears it.
    fn of_docks(hook: Hook, payload: usize, run: &str) -> Self {
        let dock = |n: u32| {
            let gateway = serial(run, n);
            let (level, form) = match hook {
                Hook::Off => ("osd", Form::of_other_event(&gateway, payload)),
                Hook::On => ("events", Form::of_other_event(&gateway, payload)),
                Hook::Uploads => ("events", Form::of_progress(&gateway, payload)),
            };
            let topic = format!("thing/product/{gateway}/{level}");
            Publisher { topic, form, uploading: (hook == Hook::Uploads).then_some(gateway) }
        };
        let publishers: Vec<Publisher> = (0..50).map(dock).collect();
        let hears = publishers
            .iter()
            .zip(0..)
            .map(|(publisher, n)| Subscriber { filter: publisher.topic.clone(), hears: n..n + 1 });
        Self { subscribers: hears.collect(), publishers, copies: 1 }
    }
}

/// A dock's serial number, of the shape that those of the Dock 3 have.
fn serial(run: &str, number: u32) -> String {
    format!("8UUXN{run}{number:04}")
}

/// The bytes of the shortest payload of a hook scenario.
pub(super) fn shortest_event() -> usize {
    Form::of_progress(&serial("00000", 0), 0).bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &str) -> Shape {
        Shape::of(name.parse().unwrap(), 100, "bench/x", "12345").unwrap()
    }

    /// Filters are matched with topics as a broker does it, and every subscriber must hear whom it should.
    #[test]
    fn everybody_hears_whom_they_should() {
        for (name, publishers, subscribers, copies) in [
            ("p2p-6-6-6-10", 6, 6, 1),
            ("p2p-6-4-2-10", 6, 4, 2),
            ("fanout-2-10-1-10", 2, 10, 10),
            ("sharedsub-8-3-4-10", 8, 3, 1),
            ("fanin", 100, 1, 1),
            ("fanout", 1, 100, 100),
            ("fanoutw", 1, 100, 100),
            ("pairs", 50, 50, 1),
            ("hook-off", 50, 50, 1),
            ("hook-on", 50, 50, 1),
            ("hook-uploads", 50, 50, 1),
        ] {
            let shape = shape(name);
            assert_eq!(
                (shape.publishers.len(), shape.subscribers.len(), shape.copies),
                (publishers, subscribers, copies)
            );
            for subscriber in &shape.subscribers {
                let filter = subscriber.filter.strip_prefix("$share/bench-x/").unwrap_or(&subscriber.filter);
                for (n, publisher) in (0..).zip(&shape.publishers) {
                    let matches = match filter.strip_suffix('#') {
                        Some(prefix) => publisher.topic.starts_with(prefix),
                        None => publisher.topic == filter,
                    };
                    assert_eq!(matches, subscriber.hears.contains(&n), "{name}: {filter} {}", publisher.topic);
                }
            }
        }
    }

    #[test]
    fn docks_have_serial_numbers_and_the_guard_reads_their_topics() {
        use crate::hook::Hook as Guard;
        let topic = |name: &str| shape(name).publishers[7].topic.clone();
        assert_eq!(topic("hook-on"), "thing/product/8UUXN123450007/events");
        assert!(Guard::concerns(&topic("hook-on")).is_some());
        assert!(Guard::concerns(&topic("hook-off")).is_none());
        assert!(Guard::concerns(&topic("hook-uploads")).is_some());
    }
}
