//! A simulated dock on a real connection: MQTT 5, its serial number as client identifier, answers and
//! events at QoS 1 (DOMAIN facts from recordings and simulators of docks).

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing};
use tokio::sync::mpsc;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use super::error::SimError;
use super::firmware::Firmware;
use super::journal::{Journal, Message};
use super::plan::Plan;
use super::random::Random;
use super::transfer::Transfers;
use super::{MAX_PACKET, now_ms};
use crate::cloud_api;

/// How long a connection, a subscription or a disconnection may take.
const PATIENCE: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Publishes that may wait for the connection.
const OUTBOX: usize = 64;
/// Milliseconds from a command to its reply: typical in a recording of a Dock 3.
const REPLY_LATENCY_MS: (u64, u64) = (25, 50);

/// A dock that is online. Dropping it breaks the connection off without a DISCONNECT.
#[derive(Debug)]
pub struct Dock {
    name: String,
    client: AsyncClient,
    listening: AbortOnDropHandle<()>,
    working: AbortOnDropHandle<()>,
    /// Why the connection ended, if nobody asked for it.
    failure: Arc<OnceLock<String>>,
}

impl Dock {
    /// Connects, subscribes to its commands and tells its topology. From then on it answers by itself.
    ///
    /// # Errors
    /// If the broker does not answer, or refuses the connection or the subscription.
    pub async fn connect(address: SocketAddr, plan: Plan, journal: Journal) -> Result<Self, SimError> {
        let name = format!("dock {}", plan.gateway);
        let mut options = MqttOptions::new(&plan.gateway, address.ip().to_string(), address.port());
        options.set_keep_alive(KEEP_ALIVE).set_clean_start(true).set_max_packet_size(Some(MAX_PACKET));
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, mut connection) = AsyncClient::new(options, OUTBOX);

        let filter = cloud_api::services(&plan.gateway);
        let subscribed = async {
            client.subscribe(&filter, QoS::AtLeastOnce).await.map_err(|e| e.to_string())?;
            next_suback(&mut connection).await.map_err(|e| e.to_string())
        };
        let codes = match time::timeout(PATIENCE, subscribed).await {
            Ok(Ok(codes)) => codes,
            Ok(Err(cause)) => {
                return Err(SimError::Connect { who: name, address, cause });
            }
            Err(_) => {
                return Err(SimError::NoSubAck { who: name, filters: filter, waited: PATIENCE });
            }
        };
        if !matches!(codes[..], [SubscribeReasonCode::Success(_)]) {
            let codes = format!("{codes:?}");
            return Err(SimError::SubscriptionRefused { who: name, filters: filter, codes });
        }

        // Unbounded, so that reading never waits for writing: each would wait for the other once both
        // queues are full. What fills it are a backend's commands, a few a minute.
        let (commands, inbox) = mpsc::unbounded_channel();
        let failure = Arc::new(OnceLock::new());
        let listening = tokio::spawn(listen(connection, commands, Arc::clone(&failure)));
        let working = tokio::spawn(
            Work {
                random: Random::new(plan.seed),
                status: cloud_api::status(&plan.gateway),
                replies: cloud_api::services_reply(&plan.gateway),
                events: cloud_api::events(&plan.gateway),
                clock_lag_ms: u64::try_from(plan.clock_lag.as_millis()).unwrap_or(0),
                report_every: plan.report_every,
                transfers: Transfers::new(plan.rate),
                firmware: Firmware::new(plan),
                client: client.clone(),
                journal,
            }
            .run(inbox),
        );
        Ok(Self {
            name,
            client,
            listening: AbortOnDropHandle::new(listening),
            working: AbortOnDropHandle::new(working),
            failure,
        })
    }

    /// Why the connection ended, if it did so by itself.
    pub fn failure(&self) -> Option<SimError> {
        let cause = self.failure.get()?.clone();
        Some(SimError::Lost { who: self.name.clone(), cause })
    }

    /// Leaves with a DISCONNECT.
    ///
    /// # Errors
    /// If the connection had already ended, or does not end in time.
    pub async fn disconnect(self) -> Result<(), SimError> {
        if self.client.disconnect().await.is_err() {
            return Err(self.failure().unwrap_or_else(|| self.lost("it had ended before")));
        }
        let ended = time::timeout(PATIENCE, async { (self.listening.await.is_ok(), self.working.await.is_ok()) });
        let ended = ended.await;
        if let Some(cause) = self.failure.get() {
            return Err(SimError::Lost { who: self.name, cause: cause.clone() });
        }
        match ended {
            Ok((true, true)) => Ok(()),
            Ok(_) => Err(SimError::Lost { who: self.name, cause: "its task broke off".to_owned() }),
            Err(_) => Err(SimError::Lost { who: self.name, cause: "its end did not come".to_owned() }),
        }
    }

    fn lost(&self, cause: &str) -> SimError {
        SimError::Lost { who: self.name.clone(), cause: cause.to_owned() }
    }
}

async fn next_suback(connection: &mut EventLoop) -> Result<Vec<SubscribeReasonCode>, ConnectionError> {
    loop {
        if let Event::Incoming(Packet::SubAck(ack)) = connection.poll().await? {
            return Ok(ack.return_codes);
        }
    }
}

/// Reads until the DISCONNECT has gone out or the connection breaks. `rumqttc` would connect again at the
/// next poll; a broken connection is what the simulation's user wants to hear of.
async fn listen(mut connection: EventLoop, commands: mpsc::UnboundedSender<Message>, failure: Arc<OnceLock<String>>) {
    loop {
        match connection.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                if commands.send(Message { topic, payload: publish.payload }).is_err() {
                    return;
                }
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(_) => {}
            Err(cause) => {
                // Only this task sets it, and only here, so it is empty.
                let _ = failure.set(cause.to_string());
                return;
            }
        }
    }
}

/// The dock's own work: answering, and telling how far its upload is.
struct Work {
    firmware: Firmware,
    client: AsyncClient,
    journal: Journal,
    random: Random,
    status: String,
    replies: String,
    events: String,
    clock_lag_ms: u64,
    report_every: Duration,
    transfers: Transfers,
}

impl Work {
    /// Works until the connection ends.
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Message>) {
        let topology = self.firmware.topology(self.clock());
        if self.publish(self.status.clone(), topology).await.is_err() {
            return;
        }
        let mut tick = time::interval(self.report_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => {
                        let was_uploading = self.firmware.is_uploading();
                        let done = self.answer(command).await;
                        if !was_uploading {
                            tick.reset();
                        }
                        done
                    }
                    None => return,
                },
                _ = tick.tick(), if self.firmware.is_uploading() => {
                    let event = self.firmware.advance(self.report_every, self.clock());
                    match event {
                        Some(event) => self.publish(self.events.clone(), cloud_api::encode(&event)).await,
                        None => Ok(()),
                    }
                }
                news = self.transfers.next() => {
                    self.firmware.note(news);
                    Ok(())
                }
            };
            self.firmware.settle(&mut self.transfers);
            if done.is_err() {
                return;
            }
        }
    }

    async fn answer(&mut self, command: Message) -> Result<(), rumqttc::v5::ClientError> {
        let reply = self.firmware.command(&command.payload, self.clock());
        self.journal.note_received(command);
        let Some(reply) = reply else { return Ok(()) };
        let latency = self.random.between(REPLY_LATENCY_MS.0, REPLY_LATENCY_MS.1);
        time::sleep(Duration::from_millis(latency)).await;
        self.publish(self.replies.clone(), reply).await
    }

    /// Fails once the connection has ended, which ends the work.
    async fn publish(&self, topic: String, payload: Vec<u8>) -> Result<(), rumqttc::v5::ClientError> {
        let message = Message { topic: topic.clone(), payload: payload.clone().into() };
        // Noted before it goes, so that whoever receives it finds it noted.
        self.journal.note_sent(message);
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).await
    }

    fn clock(&self) -> u64 {
        now_ms().saturating_sub(self.clock_lag_ms)
    }
}
