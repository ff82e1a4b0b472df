//! Delivery: from a message to those who subscribed to its topic.
//!
//! Exact subscriptions, which is what a dock has, are found by one hash look-up; who subscribed to a wildcard that matches is
//! remembered by topic (`wildcard`). Mostly these are a few, and the publisher's own task delivers to all of them. Where many
//! wildcard subscribers ([`WIDE`]) wait for a message, it goes down a lane of the routing core ([`core`]) to a task that hands
//! it to them: fanning out to hundreds costs the publisher nothing. Subscribers that are [*direct*](Subscriber::is_direct) never wait for
//! a lane: those whose messages are stored, since a publish and all that is stored of it are committed together, before
//! it is acknowledged. Either way it ends in [`Subscriber::deliver`], which queues it and never blocks; a queue that fills too
//! fast asks the publisher to wait at its [`Gate`].
//!
//! What one publisher sends arrives at a wildcard subscriber in its order, whatever the topics: it always takes the same lane,
//! and while something of its own is in there, all that it publishes to wildcard subscribers goes the same way. So a backend sees
//! the reply to a start before the first progress. (MQTT-4.6.0-6 asks for this within a topic only.)

pub mod core;
mod gate;
#[cfg(test)]
mod tests;
mod wildcard;

pub use gate::{Gate, Pressure};

use crate::message::{Message, QoS};
use crate::mqtt::topic::has_wildcard;
use crate::store::Ticket;
use core::{CoreDown, Lane, Need};
use dashmap::DashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use wildcard::{Match, Matches, Wildcards};

/// Messages delivered together; a subscriber that is behind is noticed after so many.
const RUN: usize = 16;

/// Deliveries after which a task lets others run: a few milliseconds.
const SLICE: usize = 16_384;

/// Wildcard subscribers of a topic from which on the routing core fans out to them.
pub const WIDE: usize = 64;

/// The bits of a publisher's key that say which lane its messages take.
pub const LANE_BITS: u32 = 6;

/// What a subscription asks for (MQTT 5, 3.8.3.1); the same whatever filter it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The highest QoS that the subscriber wants.
    pub qos: QoS,
    /// Not the subscriber's own messages.
    pub no_local: bool,
    /// Keep the RETAIN flag of the publish.
    pub retain_as_published: bool,
    /// Subscription identifier.
    pub id: Option<NonZeroU32>,
    /// The subscriber may read only some of what the filter matches: it asks for each topic.
    pub partial: bool,
}

/// Whoever takes messages: a session, or a shared group that passes them on to one of its sessions.
pub trait Subscriber: Send + Sync + std::fmt::Debug {
    /// Tells subscribers apart.
    fn key(&self) -> u64;

    /// Whether it always gets its messages in the publisher's task, also those of wildcard subscriptions. Never changes: a
    /// message on its way to it through a lane would be lost or come twice.
    fn is_direct(&self) -> bool;

    /// Takes messages on one topic for the subscriptions that match it. Called with no lock of the route held; never
    /// blocks.
    fn deliver(&self, messages: &[Message], matching: &[Options], via: Via) -> Delivered;

    /// Where somebody who is about to publish to it should wait first, if it is behind; `lasting` is QoS 1 or 2.
    fn pressure(&self, lasting: bool) -> Option<Pressure>;
}

/// What follows from a delivery for the publisher.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Where it should wait before it publishes more.
    pub pressure: Option<Pressure>,
    /// What it must wait for before it may take the message as delivered.
    pub ticket: Ticket,
}

impl Delivered {
    /// What follows from this and another delivery.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let pressure = match (self.pressure, other.pressure) {
            (Some(one), other) => Some(one.or(other)),
            (None, other) => other,
        };
        Self { pressure, ticket: self.ticket.max(other.ticket) }
    }
}

/// The way by which a message reached a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Its exact subscription, and no wildcard of the subscriber matches the topic.
    Exact,
    /// Its exact subscription; a wildcard of the same subscriber matches too, so that a second copy is on its way.
    ExactAndWildcard,
    /// One or more of its wildcard subscriptions.
    Wildcard,
}

#[derive(Debug, Clone)]
struct Target {
    subscriber: Arc<dyn Subscriber>,
    options: Options,
    overlapped: bool,
}

/// What one publisher has published and the route has not delivered yet. [`Route::batch`] makes it.
///
/// Messages on one topic that follow each other are delivered together: one look-up, and one lock a subscriber.
#[derive(Debug)]
pub struct Batch {
    /// Messages on one topic.
    run: Vec<Message>,
    /// The exact subscribers of that topic.
    targets: Option<Arc<[Target]>>,
    /// Its wildcard subscribers.
    matches: Option<Arc<Matches>>,
    /// Whether those of them that are not direct get it by the lane.
    by_lane: bool,
    /// The lane of this publisher.
    lane: usize,
    /// What is to be sent down the lane.
    unsent: Vec<Message>,
    /// When so many messages of the lane are delivered, those of this publisher are.
    sent: u64,
    /// Messages delivered, each as often as there are subscribers, since the batch was last sent.
    deliveries: usize,
    /// What came of all that has been delivered.
    delivered: Delivered,
}

impl Batch {
    /// Whether a subscriber asks to be waited for before more is published.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.delivered.pressure.is_some()
    }

    /// Whether so much has been delivered that others should have their turn before more is published.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.deliveries >= SLICE
    }

    /// What is published must not be acknowledged before this.
    pub fn wait_for(&mut self, ticket: Ticket) {
        self.delivered.ticket = self.delivered.ticket.max(ticket);
    }

    /// Takes out what has to be waited for before what has been delivered may be acknowledged.
    pub fn take_ticket(&mut self) -> Ticket {
        std::mem::take(&mut self.delivered.ticket)
    }

    fn note(&mut self, delivered: Delivered) {
        self.delivered = std::mem::take(&mut self.delivered).and(delivered);
    }
}

/// Something that a publisher waits for before it reads more.
#[derive(Debug)]
pub enum Wait {
    /// Room in a lane.
    Lane(Arc<[Lane]>, usize, Need),
    /// A subscriber that is behind.
    Gate(Pressure),
}

impl Wait {
    /// Waits.
    pub async fn over(self) {
        match self {
            Self::Lane(lanes, index, need) => lanes[index].room(need).await,
            Self::Gate(pressure) => pressure.over().await,
        }
    }
}

/// Who subscribed to what, and the way there.
#[derive(Debug)]
pub struct Route {
    exact: DashMap<Box<str>, Arc<[Target]>, ahash::RandomState>,
    wildcards: Arc<Wildcards>,
    lanes: Arc<[Lane]>,
}

impl Route {
    /// Starts the routing core with `lanes` lanes and, in the present tokio runtime, a task at the end of each.
    ///
    /// # Errors
    /// [`CoreDown`] if the routing core does not start.
    pub fn start(lanes: usize) -> Result<Arc<Self>, CoreDown> {
        let (lanes, ends): (Vec<_>, Vec<_>) = core::start(lanes)?.into_iter().unzip();
        let lanes: Arc<[Lane]> = lanes.into();
        let wildcards = Arc::new(Wildcards::default());
        for (index, end) in ends.into_iter().enumerate() {
            tokio::spawn(wildcard::deliver(lanes.clone(), index, end, wildcards.clone()));
        }
        Ok(Arc::new(Self { exact: DashMap::default(), wildcards, lanes }))
    }

    /// Subscribes, or changes the options of a subscription that is there.
    ///
    /// `overlapped` says, for a filter without wildcards, that the same subscriber has a wildcard that matches it.
    pub fn subscribe(&self, filter: &str, subscriber: &Arc<dyn Subscriber>, options: Options, overlapped: bool) {
        let target = Target { subscriber: subscriber.clone(), options, overlapped };
        if has_wildcard(filter) {
            self.wildcards.insert(filter, target);
            return;
        }
        let mut targets = self.exact.entry(filter.into()).or_insert_with(|| Arc::new([]));
        let others = targets.iter().filter(|other| other.subscriber.key() != subscriber.key()).cloned();
        let changed = others.chain([target]).collect();
        *targets = changed;
    }

    /// Ends a subscription; nothing happens if there is none.
    pub fn unsubscribe(&self, filter: &str, subscriber: u64) {
        if has_wildcard(filter) {
            self.wildcards.remove(filter, subscriber);
            return;
        }
        self.exact.remove_if_mut(filter, |_, targets| {
            let others = targets.iter().filter(|target| target.subscriber.key() != subscriber).cloned();
            let changed: Arc<[Target]> = others.collect();
            *targets = changed;
            targets.is_empty()
        });
    }

    /// Whether anybody is subscribed to this topic.
    #[must_use]
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.exact.contains_key(topic) || self.wildcards.matches(topic).is_some()
    }

    /// A batch for what the session with this key publishes, or for the broker itself with 0. Nothing in it overtakes what the
    /// lane holds now: what an earlier connection of the session has published.
    #[must_use]
    pub fn batch(&self, publisher: u64) -> Batch {
        let client = publisher & ((1 << LANE_BITS) - 1);
        let lane = usize::try_from(client % self.lanes.len() as u64).unwrap_or(0);
        Batch {
            run: Vec::new(),
            targets: None,
            matches: None,
            by_lane: false,
            lane,
            unsent: Vec::new(),
            sent: self.lanes[lane].sent(),
            deliveries: 0,
            delivered: Delivered::default(),
        }
    }

    /// Takes a message into `batch`. Says whether anybody is subscribed to its topic.
    pub fn publish(&self, message: Message, batch: &mut Batch) -> bool {
        let same =
            |last: &Message| last.publisher() == message.publisher() && last.topic_bytes() == message.topic_bytes();
        if !batch.run.last().is_some_and(same) || batch.run.len() >= RUN {
            self.deliver(batch);
            let topic = message.topic();
            // The guard must be gone before anybody is called.
            batch.targets = self.exact.get(topic).map(|targets| targets.clone());
            batch.matches = self.wildcards.matches(topic);
            let follows = !batch.unsent.is_empty() || self.lanes[batch.lane].delivered() < batch.sent;
            let others = batch.matches.as_ref().map_or(0, |matches| matches.others.len());
            batch.by_lane = others >= WIDE || (others > 0 && follows);
            // Whom a lane leads to cannot say so at its end. To ask them takes a fraction of a delivery.
            if batch.by_lane {
                batch.deliveries += others / 8;
            }
            for found in batch.matches.iter().filter(|_| batch.by_lane).flat_map(|matches| &matches.others) {
                let lasting = message.qos() != QoS::AtMostOnce && found.wants_lasting();
                if let Some(pressure) = found.subscriber.pressure(lasting) {
                    batch.delivered.pressure = Some(pressure.or(batch.delivered.pressure.take()));
                }
            }
        }
        batch.run.push(message);
        batch.matches.is_some() || batch.targets.is_some()
    }

    /// Delivers what is in `batch`; what goes by a lane only when it is sent.
    pub fn deliver(&self, batch: &mut Batch) {
        for target in batch.targets.take().iter().flat_map(|targets| targets.iter()) {
            let via = if target.overlapped { Via::ExactAndWildcard } else { Via::Exact };
            let delivered = target.subscriber.deliver(&batch.run, &[target.options], via);
            batch.note(delivered);
            batch.deliveries += batch.run.len();
        }
        if let Some(matches) = batch.matches.take() {
            let others = if batch.by_lane { &[][..] } else { &matches.others };
            for Match { subscriber, options } in matches.direct.iter().chain(others) {
                let delivered = subscriber.deliver(&batch.run, options, Via::Wildcard);
                batch.note(delivered);
                batch.deliveries += batch.run.len();
            }
            if batch.by_lane {
                batch.unsent.append(&mut batch.run);
            }
        }
        batch.run.clear();
    }

    /// Sends what `batch` holds. If something has to be waited for first, says what: wait, and send again.
    pub fn send(&self, batch: &mut Batch) -> Option<Wait> {
        self.deliver(batch);
        batch.deliveries = 0;
        if !batch.unsent.is_empty() {
            match self.lanes[batch.lane].try_send(&mut batch.unsent) {
                Ok(sent) => batch.sent = sent,
                Err(need) => return Some(Wait::Lane(self.lanes.clone(), batch.lane, need)),
            }
        }
        batch.delivered.pressure.take().map(Wait::Gate)
    }

    /// Whether one more distinct wildcard filter would be over `most`.
    #[must_use]
    pub fn is_over(&self, filter: &str, most: usize) -> bool {
        self.wildcards.len() >= most && !self.wildcards.contains(filter)
    }

    /// Bytes on their way through the routing core.
    #[must_use]
    pub fn inflight(&self) -> usize {
        self.lanes.iter().map(Lane::inflight).sum()
    }

    /// Sends a probe down every lane, for the watchdog: see [`Route::behind`].
    pub fn probe(&self, number: u64) {
        for lane in self.lanes.iter() {
            lane.send_now(wildcard::probe(number));
        }
    }

    /// The lanes on which the probe with this number has not returned, each with what it has delivered in all; `None` when
    /// the routing core has ended.
    #[must_use]
    pub fn behind(&self, number: u64) -> Option<Vec<(usize, u64)>> {
        if self.lanes.iter().any(Lane::is_down) {
            return None;
        }
        let lanes = self.lanes.iter().enumerate();
        let behind = lanes.filter(|(lane, _)| self.wildcards.probe_returned(*lane) < number);
        Some(behind.map(|(lane, way)| (lane, way.delivered())).collect())
    }

    /// As if the router's thread had ended.
    #[cfg(test)]
    pub(crate) fn break_down(&self) {
        for lane in self.lanes.iter() {
            let _down = lane.went_down();
        }
    }
}
