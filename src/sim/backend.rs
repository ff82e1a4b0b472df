//! A simulated backend on a real connection: MQTT 3.1.1, with the habits of DJI's demo backend and of
//! those that descend from it.
//!
//! It subscribes at QoS 1, publishes commands at QoS 0 or 1, answers a dock's status at QoS 2, and takes a
//! reply for its own only if tid and bid are both those of the request.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rumqttc::mqttbytes::v4::{Packet, SubscribeReasonCode};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, QoS, SubscribeFilter,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::error::SimError;
use super::inbox::Inbox;
use super::journal::Message;
use super::{MAX_PACKET, now_ms};
use crate::cloud_api::{self, Header, Reply, Request, ResultCode};

/// How long a connection, a subscription or a disconnection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What DJI's demo backend asks for.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Publishes that may wait for the connection.
const OUTBOX: usize = 64;
/// Messages that an inbox holds; who reads later than that is told how many it missed.
const INBOX: usize = 1024;

/// A backend that is connected. Dropping it breaks the connection off without a DISCONNECT.
#[derive(Debug)]
pub struct Backend {
    name: String,
    client: AsyncClient,
    commands_at: QoS,
    waiting: Waiting,
    /// Kept for its tail only: an inbox begins where this one would go on.
    messages: broadcast::Receiver<Message>,
    subacks: mpsc::Receiver<Vec<SubscribeReasonCode>>,
    listening: AbortOnDropHandle<()>,
    /// Why the connection ended, if nobody asked for it.
    failure: Arc<OnceLock<String>>,
}

/// Who waits for a reply, by tid.
type Waiting = Arc<Mutex<HashMap<String, Waiter>>>;

#[derive(Debug)]
struct Waiter {
    bid: String,
    reply: oneshot::Sender<Bytes>,
}

/// A command and its reply.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Of the command, and so of the reply.
    pub tid: String,
    /// Of the command, the reply and the events that follow.
    pub bid: String,
    /// The command as it was published.
    pub sent: Bytes,
    /// The reply as it came.
    pub reply: Bytes,
    /// From the one to the other.
    pub took: Duration,
    gateway: String,
    who: String,
}

impl Exchange {
    /// The reply's `data.result`.
    ///
    /// # Errors
    /// If there is none.
    pub fn result(&self) -> Result<i64, SimError> {
        Ok(self.data::<ResultCode>()?.result)
    }

    /// The reply's `data`.
    ///
    /// # Errors
    /// If it has another shape.
    pub fn data<D: DeserializeOwned>(&self) -> Result<D, SimError> {
        Ok(self.message::<Reply<D>>()?.data)
    }

    /// The whole reply.
    ///
    /// # Errors
    /// If it has another shape.
    pub fn message<M: DeserializeOwned>(&self) -> Result<M, SimError> {
        cloud_api::decode(&self.reply).map_err(|source| SimError::Unreadable {
            who: self.who.clone(),
            topic: cloud_api::services_reply(&self.gateway),
            source,
        })
    }
}

impl Backend {
    /// Connects, and subscribes to what a backend listens to before it knows any dock. `name` is the
    /// client identifier; `commands_at` the QoS of its commands (DJI's demo backend: 0, others: 1).
    ///
    /// # Errors
    /// If the broker does not answer, or refuses the connection or a subscription.
    pub async fn connect(address: SocketAddr, name: &str, commands_at: QoS) -> Result<Self, SimError> {
        let mut options = MqttOptions::new(name, address.ip().to_string(), address.port());
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(true)
            .set_max_packet_size(MAX_PACKET as usize, MAX_PACKET as usize);
        let (client, mut connection) = AsyncClient::new(options, OUTBOX);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        connection.set_network_options(network);

        let refused = |cause: String| SimError::Connect { who: name.to_owned(), address, cause };
        match time::timeout(PATIENCE, connection.poll()).await {
            Ok(Ok(_)) => {}
            Ok(Err(cause)) => return Err(refused(cause.to_string())),
            Err(_) => return Err(refused(format!("no CONNACK within {PATIENCE:?}"))),
        }

        let waiting = Waiting::default();
        let failure = Arc::new(OnceLock::new());
        let (sender, messages) = broadcast::channel(INBOX);
        let (acks, subacks) = mpsc::channel(1);
        let ears = Ears { client: client.clone(), waiting: Arc::clone(&waiting), messages: sender, subacks: acks };
        let listening = tokio::spawn(listen(connection, ears, Arc::clone(&failure)));
        let mut backend = Self {
            name: name.to_owned(),
            client,
            commands_at,
            waiting,
            messages,
            subacks,
            listening: AbortOnDropHandle::new(listening),
            failure,
        };
        backend.subscribe(&["sys/product/+/status", "thing/product/+/requests"]).await?;
        Ok(backend)
    }

    /// Listens to a dock's replies and events, as a backend does once it knows the dock.
    ///
    /// # Errors
    /// If the broker does not answer, or refuses a subscription.
    pub async fn watch(&mut self, gateway: &str) -> Result<(), SimError> {
        self.subscribe(&[&cloud_api::services_reply(gateway), &cloud_api::events(gateway)]).await
    }

    /// What comes from now on.
    pub fn inbox(&self) -> Inbox {
        Inbox::new(self.name.clone(), self.messages.resubscribe())
    }

    /// Sends a command with a new tid and bid, and waits for the reply that has both.
    ///
    /// # Errors
    /// If none comes in time, or the connection ends.
    pub async fn request<D: Serialize>(
        &self,
        gateway: &str,
        method: &str,
        data: D,
        patience: Duration,
    ) -> Result<Exchange, SimError> {
        let (tid, bid) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let request =
            Request { bid: bid.clone(), tid: tid.clone(), timestamp: now_ms(), method: method.to_owned(), data };
        let sent = Bytes::from(cloud_api::encode(&request));
        let (reply, replied) = oneshot::channel();
        self.waiting.lock().insert(tid.clone(), Waiter { bid: bid.clone(), reply });
        let begun = Instant::now();
        let topic = cloud_api::services(gateway);
        let published = self.client.publish(topic, self.commands_at, false, sent.to_vec()).await;
        let reply = match published {
            Ok(()) => time::timeout(patience, replied).await,
            Err(_) => return Err(self.lost()),
        };
        match reply {
            Ok(Ok(reply)) => Ok(Exchange {
                tid,
                bid,
                sent,
                reply,
                took: begun.elapsed(),
                gateway: gateway.to_owned(),
                who: self.name.clone(),
            }),
            Ok(Err(_)) => Err(self.lost()),
            Err(_) => {
                self.waiting.lock().remove(&tid);
                let who = self.name.clone();
                Err(SimError::NoReply { who, method: method.to_owned(), waited: patience })
            }
        }
    }

    /// Leaves with a DISCONNECT.
    ///
    /// # Errors
    /// If the connection had already ended, or does not end in time.
    pub async fn disconnect(self) -> Result<(), SimError> {
        if self.client.disconnect().await.is_err() {
            return Err(self.lost());
        }
        let ended = time::timeout(PATIENCE, self.listening).await;
        let cause = match (self.failure.get(), ended) {
            (Some(cause), _) => cause.clone(),
            (None, Ok(Ok(()))) => return Ok(()),
            (None, Ok(Err(_))) => "its task broke off".to_owned(),
            (None, Err(_)) => "its end did not come".to_owned(),
        };
        Err(SimError::Lost { who: self.name, cause })
    }

    /// `&mut` so that the next SUBACK is the answer to this SUBSCRIBE.
    async fn subscribe(&mut self, filters: &[&str]) -> Result<(), SimError> {
        let wanted = filters.iter().map(|filter| SubscribeFilter::new((*filter).to_owned(), QoS::AtLeastOnce));
        if self.client.subscribe_many(wanted).await.is_err() {
            return Err(self.lost());
        }
        let who = self.name.clone();
        let names = filters.join(", ");
        match time::timeout(PATIENCE, self.subacks.recv()).await {
            Ok(Some(codes)) if codes.len() == filters.len() && !codes.contains(&SubscribeReasonCode::Failure) => Ok(()),
            Ok(Some(codes)) => {
                let codes = format!("{codes:?}");
                Err(SimError::SubscriptionRefused { who, filters: names, codes })
            }
            Ok(None) => Err(self.lost()),
            Err(_) => Err(SimError::NoSubAck { who, filters: names, waited: PATIENCE }),
        }
    }

    fn lost(&self) -> SimError {
        let cause = self.failure.get().map_or("it had ended before", String::as_str);
        SimError::Lost { who: self.name.clone(), cause: cause.to_owned() }
    }
}

/// Where what comes in goes.
struct Ears {
    client: AsyncClient,
    waiting: Waiting,
    messages: broadcast::Sender<Message>,
    subacks: mpsc::Sender<Vec<SubscribeReasonCode>>,
}

/// Reads until the DISCONNECT has gone out or the connection breaks, then lets go of all who wait.
async fn listen(mut connection: EventLoop, ears: Ears, failure: Arc<OnceLock<String>>) {
    if let Err(cause) = hear(&mut connection, &ears).await {
        // Only this task sets it, and only here, so it is empty.
        let _ = failure.set(cause.to_string());
    }
    ears.waiting.lock().clear();
}

async fn hear(connection: &mut EventLoop, ears: &Ears) -> Result<(), ConnectionError> {
    loop {
        match connection.poll().await? {
            Event::Incoming(Packet::Publish(publish)) => {
                ears.message(Message { topic: publish.topic, payload: publish.payload });
            }
            Event::Incoming(Packet::SubAck(ack)) => {
                // One SUBSCRIBE is under way at a time; a SUBACK that nobody waits for is dropped.
                let _ = ears.subacks.try_send(ack.return_codes);
            }
            Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
            _ => {}
        }
    }
}

impl Ears {
    fn message(&self, message: Message) {
        if let Ok(header) = cloud_api::decode::<Header>(&message.payload) {
            if message.topic.ends_with("/services_reply") {
                self.settle(&header, &message.payload);
            } else if message.topic.starts_with("sys/product/") {
                self.acknowledge(&message.topic, header);
            }
        }
        // Nobody may be listening.
        let _ = self.messages.send(message);
    }

    /// Hands a reply to whoever asked. One with another bid is left alone, as DJI's demo backend does.
    fn settle(&self, header: &Header, payload: &Bytes) {
        let mut waiting = self.waiting.lock();
        if waiting.get(&header.tid).is_some_and(|waiter| waiter.bid == header.bid)
            && let Some(waiter) = waiting.remove(&header.tid)
        {
            // Whoever asked may have given up just now.
            let _ = waiter.reply.send(payload.clone());
        }
    }

    /// A dock that gets no answer to its topology tells it again and again.
    fn acknowledge(&self, topic: &str, header: Header) {
        let reply = cloud_api::encode(&Reply {
            bid: header.bid,
            data: ResultCode { result: 0 },
            method: header.method,
            tid: header.tid,
            timestamp: now_ms(),
            gateway: None,
        });
        // Not awaited: this runs where the connection is read, which must not wait for its own writing.
        let _ = self.client.try_publish(format!("{topic}_reply"), QoS::ExactlyOnce, false, reply);
    }
}
