//! Wildcard subscribers, and the tasks that take messages from the lanes to them.

use super::core::{Lane, LaneEnd};
use super::{Options, RUN, SLICE, Subscriber, Target, Via};
use crate::message::{Message, NEVER, Parts, QoS};
use crate::tree::TopicTree;
use ahash::AHashMap;
use dashmap::DashMap;
use parking_lot::RwLock;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// The publisher of a watchdog's probe; sessions count from 1.
const PROBE: u64 = u64::MAX;
/// Bytes of a probe. With small ones, a log that carries nothing else would grow for days until it drops its oldest segment; so
/// it has its size after minutes.
const PROBE_BYTES: usize = 4 << 10;
/// Topics of which the subscribers are remembered; a fleet of 1,000 docks publishes to about as many.
const REMEMBERED_TOPICS: usize = 8192;
/// What is remembered of a topic: the generation that it holds for, and its subscribers.
type Remembered = (u64, Option<Arc<Matches>>);

/// All subscriptions with a wildcard.
#[derive(Debug, Default)]
pub(super) struct Wildcards {
    tree: RwLock<TopicTree<Vec<Target>>>,
    /// Filters in the tree, to be read without the lock.
    filters: AtomicUsize,
    /// Counts changes, so that remembered matches can be told to be old.
    generation: AtomicU64,
    remembered: DashMap<Box<str>, Remembered, ahash::RandomState>,
    /// The last probe that came through, by lane.
    probes: RwLock<AHashMap<usize, u64>>,
}

/// The wildcard subscribers of a topic, each once.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// Those that always get their messages in the publisher's task.
    pub(super) direct: Vec<Match>,
    /// Those that may get them at the end of a lane.
    pub(super) others: Vec<Match>,
}

/// One subscriber with all its wildcard subscriptions that match a topic.
#[derive(Debug, Clone)]
pub(super) struct Match {
    pub(super) subscriber: Arc<dyn Subscriber>,
    pub(super) options: SmallVec<[Options; 1]>,
}

impl Match {
    /// Whether one of the subscriptions has QoS 1 or 2.
    pub(super) fn wants_lasting(&self) -> bool {
        self.options.iter().any(|options| options.qos != QoS::AtMostOnce)
    }
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
        // What is old is not found any more, but it would keep ended sessions in memory.
        self.remembered.clear();
    }

    pub(super) fn contains(&self, filter: &str) -> bool {
        self.tree.read().get(filter).is_some()
    }

    /// The subscribers of a topic; `None` if there are none.
    pub(super) fn matches(&self, topic: &str) -> Option<Arc<Matches>> {
        if self.len() == 0 {
            return None;
        }
        let generation = self.generation.load(SeqCst);
        if let Some(remembered) = self.remembered.get(topic)
            && remembered.0 == generation
        {
            return remembered.1.clone();
        }
        let matches = self.find(topic);
        if self.remembered.len() >= REMEMBERED_TOPICS {
            self.remembered.clear();
        }
        self.remembered.insert(topic.into(), (generation, matches.clone()));
        matches
    }

    /// The number of the last probe that has returned on a lane.
    pub(super) fn probe_returned(&self, lane: usize) -> u64 {
        self.probes.read().get(&lane).copied().unwrap_or(0)
    }

    /// Each subscriber once, however many of its filters match.
    fn find(&self, topic: &str) -> Option<Arc<Matches>> {
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
        let (direct, others) = matches.into_iter().partition(|found: &Match| found.subscriber.is_direct());
        let found = Matches { direct, others };
        (!found.direct.is_empty() || !found.others.is_empty()).then(|| Arc::new(found))
    }
}

/// A message that only says that the lane it went down works.
pub(super) fn probe(number: u64) -> Message {
    let mut payload = [0; PROBE_BYTES];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    Message::new(&Parts {
        qos: QoS::AtMostOnce,
        retain: false,
        publisher: PROBE,
        expires_at: NEVER,
        topic: "$probe",
        properties: &[],
        payload: &payload,
    })
}

/// Hands the messages that come out of a lane to the wildcard subscribers, until the routing core ends. Waits for nobody, but
/// lets the connections of those subscribers have their turn: one that takes nothing for a while is taken for dead.
pub(super) async fn deliver(lanes: Arc<[Lane]>, index: usize, mut end: LaneEnd, wildcards: Arc<Wildcards>) {
    let (mut received, mut deliveries) = (Vec::new(), 0);
    while lanes[index].receive(&mut end, &mut received).await.is_ok() {
        for run in received.chunk_by(|a, b| a.topic_bytes() == b.topic_bytes()).flat_map(|run| run.chunks(RUN)) {
            let message = &run[0];
            if message.publisher() == PROBE {
                let number = run[run.len() - 1].payload().first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
                wildcards.probes.write().insert(index, number);
                continue;
            }
            let matches = wildcards.matches(message.topic());
            for Match { subscriber, options } in matches.iter().flat_map(|matches| &matches.others) {
                // That it is behind is seen by those who publish to it next.
                let _delivered = subscriber.deliver(run, options, Via::Wildcard);
                deliveries += run.len();
            }
            if deliveries >= SLICE {
                deliveries = 0;
                tokio::task::yield_now().await;
            }
        }
        lanes[index].note_delivered(&mut received);
    }
    tracing::error!(lane = index, "the routing core has ended: wildcard subscribers get nothing any more");
}
