//! Wildcard subscribers, and the tasks that take messages from the lanes to them.

use super::core::{Lane, LaneEnd};
use super::{Options, RUN, Subscriber, Target, Via};
use crate::message::{Message, NEVER, Parts, QoS};
use crate::metrics::Metrics;
use crate::tree::TopicTree;
use ahash::AHashMap;
use parking_lot::RwLock;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// The publisher of a watchdog's probe; sessions count from 1.
const PROBE: u64 = u64::MAX;
/// Topics of which a lane's task remembers the subscribers; a fleet of 1,000 docks publishes to about as many.
const REMEMBERED_TOPICS: usize = 8192;

/// All subscriptions with a wildcard.
#[derive(Debug, Default)]
pub(super) struct Wildcards {
    tree: RwLock<TopicTree<Vec<Target>>>,
    /// Filters in the tree, to be read without the lock.
    filters: AtomicUsize,
    /// Counts changes, so that remembered matches can be told to be old.
    generation: AtomicU64,
    /// The last probe that came through, by lane.
    probes: RwLock<AHashMap<usize, u64>>,
}

/// One subscriber with all its wildcard subscriptions that match a topic.
#[derive(Debug, Clone)]
struct Match {
    subscriber: Arc<dyn Subscriber>,
    options: SmallVec<[Options; 1]>,
}

impl Wildcards {
    pub(super) fn len(&self) -> usize {
        self.filters.load(SeqCst)
    }

    pub(super) fn insert(&self, filter: &str, target: Target) {
        let mut tree = self.tree.write();
        let mut targets = tree.remove(filter).unwrap_or_default();
        targets.retain(|other| other.subscriber.key() != target.subscriber.key());
        targets.push(target);
        tree.insert(filter, targets);
        self.changed(&tree);
    }

    pub(super) fn remove(&self, filter: &str, subscriber: u64) {
        let mut tree = self.tree.write();
        let Some(mut targets) = tree.remove(filter) else { return };
        targets.retain(|target| target.subscriber.key() != subscriber);
        if !targets.is_empty() {
            tree.insert(filter, targets);
        }
        self.changed(&tree);
    }

    fn changed(&self, tree: &TopicTree<Vec<Target>>) {
        self.filters.store(tree.len(), SeqCst);
        self.generation.fetch_add(1, SeqCst);
    }

    pub(super) fn any_match(&self, topic: &str) -> bool {
        if self.len() == 0 {
            return false;
        }
        let mut any = false;
        self.tree.read().filters_matching(topic, |_| {
            any = true;
            false
        });
        any
    }

    pub(super) fn probes_returned(&self, lanes: usize) -> Option<u64> {
        let probes = self.probes.read();
        Some((0..lanes).map(|lane| probes.get(&lane).copied().unwrap_or(0)).min().unwrap_or(0))
    }

    /// The subscribers of a topic, each once however many of its filters match.
    fn matches(&self, topic: &str) -> Arc<[Match]> {
        let mut matches: Vec<Match> = Vec::new();
        let mut places: AHashMap<u64, usize> = AHashMap::new();
        self.tree.read().filters_matching(topic, |targets| {
            for target in targets {
                let place = *places.entry(target.subscriber.key()).or_insert(matches.len());
                match matches.get_mut(place) {
                    Some(found) => found.options.push(target.options),
                    None => matches.push(Match {
                        subscriber: target.subscriber.clone(),
                        options: SmallVec::from_elem(target.options, 1),
                    }),
                }
            }
            true
        });
        matches.into()
    }
}

/// A message that only says that the lane it went down works.
pub(super) fn probe(number: u64) -> Message {
    Message::new(&Parts {
        qos: QoS::AtMostOnce,
        retain: false,
        publisher: PROBE,
        expires_at: NEVER,
        topic: "$probe",
        properties: &[],
        payload: &number.to_be_bytes(),
    })
}

/// Hands the messages that come out of a lane to the wildcard subscribers, until the routing core ends.
///
/// It waits at the gate of a subscriber that is behind, with all that is behind it in the lane: that is how the
/// publishers come to wait for room. [`super::Gate`] bounds how long.
pub(super) async fn deliver(
    lanes: Arc<[Lane]>,
    index: usize,
    mut end: LaneEnd,
    wildcards: Arc<Wildcards>,
    metrics: Arc<Metrics>,
) {
    let lane = &lanes[index];
    let mut remembered: AHashMap<Box<str>, Arc<[Match]>> = AHashMap::new();
    let mut generation = u64::MAX;
    let mut received = Vec::new();
    while lane.receive(&mut end, &mut received).await.is_ok() {
        let now = wildcards.generation.load(SeqCst);
        if now != generation || remembered.len() >= REMEMBERED_TOPICS {
            remembered = AHashMap::new();
            generation = now;
        }
        let runs = received.chunk_by(|a, b| a.topic_bytes() == b.topic_bytes());
        for run in runs.flat_map(|run| run.chunks(RUN)) {
            let message = &run[0];
            if message.publisher() == PROBE {
                let number = run[run.len() - 1].payload().try_into().map_or(0, u64::from_be_bytes);
                wildcards.probes.write().insert(index, number);
                continue;
            }
            let topic = message.topic();
            let found = match remembered.get(topic) {
                Some(found) => found,
                None => remembered.entry(topic.into()).or_insert_with(|| wildcards.matches(topic)),
            };
            let mut gate = None;
            for Match { subscriber, options } in found.iter() {
                gate = subscriber.deliver(run, options, Via::Wildcard).or(gate);
            }
            if let Some(gate) = gate {
                metrics.throttled();
                gate.wait().await;
            }
        }
        received.clear();
    }
    tracing::error!(lane = index, "the routing core has ended: wildcard subscribers get nothing any more");
}
