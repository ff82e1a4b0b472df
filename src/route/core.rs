//! The routing core: rumqttd, behind a wall. No other module names it.
//!
//! rumqttd 0.20 moves messages through in-memory commit logs on a thread of its own. It must never see a client, though,
//! and what it holds must not grow with what clients do: it keeps 360 bytes for every distinct topic and a commit log for
//! every distinct filter for ever, dies of topics whose first character is not ASCII, and knows neither our quality of
//! service nor a queue's bound. So it is given *lanes*: a fixed number of topics of our own, each with one publishing link
//! and one subscribing link that live as long as the process. A publisher's messages go down one lane, which keeps their
//! order, as opaque payloads; at the other end [`Lane::receive`] hands them to the edge, which knows the subscribers.
//!
//! What follows from what rumqttd does, row by row:
//! - topics, filters and link names are three constants a lane: nothing that a client sends reaches its maps;
//! - links never disconnect, so no slab index is ever reused, no group ever empties, and nothing is woken after its end;
//! - payloads are never empty, because a [`Message`] has a header: no accidental removal of retained messages;
//! - a lane takes at most `LANE_BYTES` that have not been delivered at the other end, well below what its log keeps, so the
//!   log never overruns, and at most about `LANE_MESSAGES`; publishers wait for room ([`Lane::room`]) by not reading their sockets;
//! - at most one event of a lane is in the router's queue of 1,000, so that `LinkTx::publish` never blocks.

use crate::message::Message;
use bytes::Bytes;
use parking_lot::Mutex;
use rumqttd::local::{LinkRx, LinkTx};
use rumqttd::protocol::{Packet, Publish};
use rumqttd::{Broker, Config, Notification, RouterConfig};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// Bytes in a lane that have not been delivered yet; more wait outside.
const LANE_BYTES: usize = 1 << 20;
/// The same in messages: what is in a lane may be delivered to thousands, and who comes last waits for all of that.
const LANE_MESSAGES: u64 = 2048;
/// A log drops its oldest segment when it has this many: so `LANE_BYTES` are never dropped unread. Until then it keeps what has
/// been delivered, too, and several times as much memory as it counts bytes of small messages.
const SEGMENTS: usize = 6;
const SEGMENT_BYTES: usize = 256 << 10;
/// Messages taken out of a lane at a time.
const RECEIVE: usize = 256;

/// The routing core could not be started or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the routing core (rumqttd's router thread) does not answer")]
pub struct CoreDown;

/// What a lane must have room for.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    bytes: usize,
    messages: u64,
}

/// One way through the routing core.
pub struct Lane {
    topic: Bytes,
    tx: Mutex<LinkTx>,
    inflight: AtomicUsize,
    /// Messages that ever went in, and those of them that have been delivered.
    sent: AtomicU64,
    delivered: AtomicU64,
    room: Notify,
    down: AtomicBool,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("topic", &self.topic).field("inflight", &self.inflight).finish_non_exhaustive()
    }
}

/// The far end of a lane.
#[derive(Debug)]
pub struct LaneEnd(LinkRx);

/// Starts the routing core and opens `lanes` ways through it.
///
/// # Errors
/// [`CoreDown`] if the router does not accept a link.
pub fn start(lanes: usize) -> Result<Vec<(Lane, LaneEnd)>, CoreDown> {
    let broker = Broker::new(Config {
        id: 0,
        router: RouterConfig {
            max_connections: 2 * lanes,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            custom_segment: None,
            initialized_filters: None,
            shared_subscriptions_strategy: rumqttd::Strategy::RoundRobin,
        },
        v4: None,
        v5: None,
        ws: None,
        cluster: None,
        console: None,
        bridge: None,
        prometheus: None,
        metrics: None,
    });
    (0..lanes).map(|index| open(&broker, index)).collect()
}

fn open(broker: &Broker, index: usize) -> Result<(Lane, LaneEnd), CoreDown> {
    let down = |_| CoreDown;
    let topic = format!("lane-{index}");
    let (mut subscribe, mut end) = broker.link(&format!("out-{index}")).map_err(down)?;
    subscribe.subscribe(&topic).map_err(down)?;
    // The SUBACK says that the log exists: a publish without a matching log would disconnect its link.
    while !matches!(end.recv().map_err(down)?, Some(Notification::DeviceAck(_))) {}
    let (tx, _acknowledgements) = broker.link(&format!("in-{index}")).map_err(down)?;
    let lane = Lane {
        topic: Bytes::from(topic),
        tx: Mutex::new(tx),
        inflight: AtomicUsize::new(0),
        sent: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        room: Notify::new(),
        down: AtomicBool::new(false),
    };
    Ok((lane, LaneEnd(end)))
}

impl Lane {
    /// Sends messages, in their order, and leaves `messages` empty. When [`Lane::delivered`] reaches the number returned, they
    /// are delivered.
    ///
    /// # Errors
    /// What it needs, if the lane is too full for that; then nothing is sent.
    pub fn try_send(&self, messages: &mut Vec<Message>) -> Result<u64, Need> {
        let need = Need { bytes: messages.iter().map(Message::size).sum(), messages: messages.len() as u64 };
        if !self.reserve(need) {
            return Err(need);
        }
        Ok(self.push(messages))
    }

    /// Waits until the lane may have room for that, and for some more, so that not each message is waited for.
    pub async fn room(&self, need: Need) {
        let bytes = need.bytes.max(LANE_BYTES / 2);
        let messages = need.messages.max(LANE_MESSAGES / 2);
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let inflight = self.inflight();
            let has_room = inflight + bytes <= LANE_BYTES && self.waiting() + messages <= LANE_MESSAGES;
            if inflight == 0 || has_room || self.is_down() {
                return;
            }
            room.await;
        }
    }

    /// Sends one small message of the broker's own without waiting for room.
    pub fn send_now(&self, message: Message) {
        self.inflight.fetch_add(message.size(), SeqCst);
        self.push(&mut vec![message]);
    }

    /// Bytes that went in and have not been delivered.
    #[must_use]
    pub fn inflight(&self) -> usize {
        self.inflight.load(SeqCst)
    }

    /// Messages that went in and have not been delivered.
    fn waiting(&self) -> u64 {
        self.sent().saturating_sub(self.delivered())
    }

    /// Messages that ever went in.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }

    /// Messages that ever have been delivered.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(SeqCst)
    }

    /// Whether the routing core is known to have ended.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.load(SeqCst)
    }

    /// Waits for messages at the lane's far end and adds those that are there to `received`. They count as in the lane until
    /// [`Lane::note_delivered`] says that they are not.
    ///
    /// # Errors
    /// [`CoreDown`] when the routing core has ended.
    pub async fn receive(&self, end: &mut LaneEnd, received: &mut Vec<Message>) -> Result<(), CoreDown> {
        let mut paused = false;
        let mut next = end.0.next().await.map_err(|_| self.went_down())?;
        loop {
            match next {
                Some(Notification::Forward(forward)) => received.extend(Message::from_bytes(forward.publish.payload)),
                Some(Notification::Unschedule) => paused = true,
                _ => {}
            }
            if received.len() >= RECEIVE {
                break;
            }
            match poll_once(end.0.next()) {
                Poll::Ready(another) => next = another.map_err(|_| self.went_down())?,
                Poll::Pending => break,
            }
        }
        // The router pauses a link after 200 messages until it is told to go on.
        if paused {
            end.0.wake().await.map_err(|_| self.went_down())?;
        }
        Ok(())
    }

    /// Takes note that what has been received is where it was to go.
    pub fn note_delivered(&self, messages: &mut Vec<Message>) {
        self.delivered.fetch_add(messages.len() as u64, SeqCst);
        let bytes = messages.drain(..).map(|message| message.size()).sum();
        self.inflight.fetch_sub(bytes, SeqCst);
        self.room.notify_waiters();
    }

    fn reserve(&self, Need { bytes, messages }: Need) -> bool {
        // With the core down messages go nowhere, and nobody should wait for it: the watchdog ends the process.
        if self.is_down() {
            return true;
        }
        let waiting = self.waiting();
        if waiting > 0 && waiting + messages > LANE_MESSAGES {
            return false;
        }
        let fits = |inflight: usize| (inflight == 0 || inflight + bytes <= LANE_BYTES).then_some(inflight + bytes);
        self.inflight.fetch_update(SeqCst, SeqCst, fits).is_ok()
    }

    fn push(&self, messages: &mut Vec<Message>) -> u64 {
        let mut tx = self.tx.lock();
        // Under the lock: they come out in this order.
        let count = messages.len() as u64;
        let sent = self.sent.fetch_add(count, SeqCst) + count;
        let last = {
            let mut buffer = tx.buffer();
            // A buffer with something in it has been announced to the router already.
            let last = if buffer.is_empty() { messages.pop() } else { None };
            let publish = |message: Message| Publish::new(self.topic.clone(), message.into_bytes(), false);
            buffer.extend(messages.drain(..).map(|message| Packet::Publish(publish(message), None)));
            last
        };
        if let Some(last) = last
            && tx.publish(self.topic.clone(), last.into_bytes()).is_err()
        {
            self.went_down();
        }
        sent
    }

    /// What the end of the router's thread does.
    pub(super) fn went_down(&self) -> CoreDown {
        self.down.store(true, SeqCst);
        self.room.notify_waiters();
        CoreDown
    }
}

/// What a future has to say right now.
fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{NEVER, Parts, QoS};

    fn message(payload: &[u8]) -> Message {
        let topic = "温度/1";
        let (qos, retain, publisher, expires_at) = (QoS::AtLeastOnce, false, 1, NEVER);
        Message::new(&Parts { qos, retain, publisher, expires_at, topic, properties: &[], payload })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_burst_far_above_the_log_arrives_whole_and_in_order() {
        const MESSAGES: u32 = 40_000;
        let (lane, mut end) = start(1).unwrap().remove(0);
        let lane = std::sync::Arc::new(lane);
        let sender = tokio::spawn({
            let lane = lane.clone();
            async move {
                for first in (0..MESSAGES).step_by(50) {
                    let mut payload = vec![0; 1000];
                    let mut batch = Vec::new();
                    for n in first..first + 50 {
                        payload[..4].copy_from_slice(&n.to_be_bytes());
                        batch.push(message(&payload));
                    }
                    while let Err(need) = lane.try_send(&mut batch) {
                        lane.room(need).await;
                    }
                }
            }
        });
        let (mut received, mut n) = (Vec::new(), 0u32);
        while n < MESSAGES {
            lane.receive(&mut end, &mut received).await.unwrap();
            for message in &received {
                assert_eq!(message.payload()[..4], n.to_be_bytes());
                n += 1;
            }
            assert!(lane.inflight() <= LANE_BYTES && lane.waiting() <= LANE_MESSAGES);
            lane.note_delivered(&mut received);
        }
        sender.await.unwrap();
        assert_eq!(lane.inflight(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn messages_of_more_than_half_a_lane_wait_without_spinning() {
        let (lane, mut end) = start(1).unwrap().remove(0);
        let lane = std::sync::Arc::new(lane);
        let sender = tokio::spawn({
            let lane = lane.clone();
            async move {
                for size in [LANE_BYTES * 3 / 4, LANE_BYTES * 2 / 5].repeat(5) {
                    let mut batch = vec![message(&vec![0; size])];
                    while let Err(need) = lane.try_send(&mut batch) {
                        lane.room(need).await;
                    }
                }
            }
        });
        let (mut received, mut count) = (Vec::new(), 0);
        while count < 10 {
            lane.receive(&mut end, &mut received).await.unwrap();
            count += received.len();
            lane.note_delivered(&mut received);
        }
        sender.await.unwrap();
    }

    /// However small they are: each may go to thousands.
    #[tokio::test]
    async fn a_lane_takes_so_many_messages_and_no_more() {
        let (lane, mut end) = start(1).unwrap().remove(0);
        while lane.try_send(&mut vec![message(b"x"); 100]).is_ok() {
            assert!(lane.waiting() <= LANE_MESSAGES);
        }
        assert!(lane.waiting() + 100 > LANE_MESSAGES);
        let mut received = Vec::new();
        while lane.waiting() > 0 {
            lane.receive(&mut end, &mut received).await.unwrap();
            lane.note_delivered(&mut received);
        }
        let mut many = vec![message(b"x"); 2 * LANE_MESSAGES as usize];
        assert!(lane.try_send(&mut many).is_ok(), "an empty lane takes what is read at once");
    }

    #[tokio::test]
    async fn a_message_larger_than_the_lane_passes_alone() {
        let (lane, mut end) = start(1).unwrap().remove(0);
        let big = vec![7; 2 * LANE_BYTES];
        lane.try_send(&mut vec![message(&big)]).unwrap();
        let mut received = Vec::new();
        lane.receive(&mut end, &mut received).await.unwrap();
        assert_eq!(received[0].payload().len(), big.len());
    }
}
