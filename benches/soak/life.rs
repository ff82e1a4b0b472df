//! One client's life: it comes under a name that nobody had before, subscribes, publishes, changes its mind, leaves or
//! breaks off, and may come back to its session.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use dockgate::bench::Version;
use fastrand::Rng;
use tokio::time::{Instant, sleep_until, timeout};

use crate::churn::{Counts, World};
use crate::client::Client;
use crate::client::packet::{
    self, Connect, DISCONNECT, Message, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK,
};

const READ_BUFFER: usize = 4096;
/// How long a broker may take for a CONNACK.
const PATIENCE: Duration = Duration::from_secs(30);
/// Groups of shared subscriptions, each on topics of its own.
const GROUPS: u32 = 8;
const LARGEST_PAYLOAD: usize = 1024;
/// After how many publishes a client drops a filter and takes another, on average.
const CHANGE_OF_MIND: u32 = 20;
/// How long a retained message stays.
const RETAINED: Duration = Duration::from_secs(5);

/// A client, whether it is connected or not.
#[derive(Debug)]
pub(crate) struct Life {
    name: String,
    version: Version,
    /// Whether its session is kept while it is away.
    is_kept: bool,
    /// Seconds, for a session of MQTT 5 that is kept.
    expiry: u32,
    will: Option<String>,
    filters: Vec<String>,
    next_identifier: u16,
    payload: [u8; LARGEST_PAYLOAD],
    rng: Rng,
}

impl Life {
    /// Somebody new.
    pub(crate) fn new(world: &World, longest_expiry: u32) -> Self {
        let mut rng = Rng::new();
        let name = format!("soak-{:016x}", rng.u64(..));
        let will = rng.bool().then(|| format!("soak/will/{name}"));
        world.meet(&name);
        Self {
            version: if rng.u8(..10) < 4 { Version::V5 } else { Version::V311 },
            is_kept: rng.u8(..10) < 4,
            expiry: rng.u32(2..=longest_expiry.max(2)),
            will,
            filters: Vec::new(),
            next_identifier: 1,
            payload: [b'x'; LARGEST_PAYLOAD],
            rng,
            name,
        }
    }

    /// Lives until `death`, publishing at moments that are `pause` apart on average.
    pub(crate) async fn live(mut self, world: Arc<World>, death: Instant, pause: Duration) -> anyhow::Result<()> {
        let mut client = self.come(&world, false).await?;
        self.subscribe(&mut client).await?;
        // One that is kept goes away half-way, and comes back to what was queued meanwhile.
        let away = self.is_kept.then(|| Instant::now() + death.saturating_duration_since(Instant::now()) / 2);
        if let Some(away) = away {
            self.stay(&mut client, &world, away, pause).await?;
            self.go(client).await?;
            tokio::time::sleep(Duration::from_millis(self.rng.u64(100..1500))).await;
            client = self.come(&world, false).await?;
        }
        self.stay(&mut client, &world, death, pause).await?;
        self.go(client).await?;
        if self.is_kept && self.version == Version::V311 {
            // MQTT 3.1.1 knows no expiry: its last visit ends the session.
            let client = self.come(&world, true).await?;
            self.go(client).await?;
        }
        Ok(())
    }

    async fn come(&mut self, world: &World, clean: bool) -> anyhow::Result<Client> {
        let message = |topic| Message { topic, payload: b"gone", qos: 1, retain: false };
        let who = Connect {
            client_id: &self.name,
            version: self.version,
            clean: clean || !self.is_kept,
            expiry: if self.is_kept { self.expiry } else { 0 },
            will: self.will.as_deref().map(message),
        };
        let opened = timeout(PATIENCE, Client::open(world.address, &who, READ_BUFFER)).await;
        let (client, _) = opened.with_context(|| format!("no CONNACK within {PATIENCE:?}"))??;
        world.counts.connects.add(1);
        Ok(client)
    }

    /// Leaves with a DISCONNECT, or without one, and then its will is published.
    async fn go(&mut self, mut client: Client) -> anyhow::Result<()> {
        match self.rng.bool() {
            true => client.send(&DISCONNECT).await?,
            false => socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO))?,
        }
        Ok(())
    }

    /// Subscribes to its own topic, to a filter with a wildcard that is its own, and as one of a group.
    async fn subscribe(&mut self, client: &mut Client) -> anyhow::Result<()> {
        let group = self.rng.u32(..GROUPS);
        let filters = [
            format!("soak/own/{}", self.name),
            format!("soak/+/{}/#", self.name),
            format!("$share/{group}/soak/shared/{group}/#"),
            "soak/will/+".to_owned(),
        ];
        // Few hear of every end: what each says would go to all.
        let count = if self.rng.u8(..20) == 0 { 4 } else { self.rng.usize(1..=3) };
        self.filters = filters[..count].to_vec();
        let (identifier, qos) = (self.identifier(), self.rng.u8(..3));
        client.send(&packet::subscribe(self.version, identifier, &self.filters, qos)).await?;
        Ok(())
    }

    /// Publishes at its moments and takes what comes, until then.
    async fn stay(
        &mut self,
        client: &mut Client,
        world: &World,
        until: Instant,
        pause: Duration,
    ) -> anyhow::Result<()> {
        let mut next = Instant::now() + pause.mul_f64(self.rng.f64());
        take(client, &world.counts).await?; // what came with the CONNACK
        loop {
            let is_due = tokio::select! {
                filled = client.fill() => { filled?; false }
                () = sleep_until(next.min(until)) => true,
            };
            if !is_due {
                take(client, &world.counts).await?;
            } else if Instant::now() >= until {
                return Ok(());
            } else {
                // By the clock: whoever was late catches up.
                next += pause.mul_f64(2.0 * self.rng.f64());
                self.act(client, world).await?;
            }
        }
    }

    async fn act(&mut self, client: &mut Client, world: &World) -> anyhow::Result<()> {
        if self.rng.u32(..CHANGE_OF_MIND) == 0 {
            self.change_a_filter(client).await?;
        }
        let number = world.number();
        let length = self.rng.usize(16..=LARGEST_PAYLOAD);
        match self.rng.u8(..10) {
            0..4 => self.publish(client, world, &format!("soak/own/{}", world.somebody()), false, length).await,
            4..7 => self.publish(client, world, &format!("soak/{number}/{}/x", world.somebody()), false, length).await,
            7..9 => {
                let group = self.rng.u32(..GROUPS);
                self.publish(client, world, &format!("soak/shared/{group}/{number}"), false, length).await
            }
            _ => {
                let topic = format!("soak/retained/{number}");
                self.publish(client, world, &topic, true, length).await?;
                world.retain(topic, Instant::now() + RETAINED);
                Ok(())
            }
        }
    }

    async fn publish(
        &mut self,
        client: &mut Client,
        world: &World,
        topic: &str,
        retain: bool,
        length: usize,
    ) -> anyhow::Result<()> {
        let (identifier, qos) = (self.identifier(), self.rng.u8(..3));
        let message = Message { topic, payload: &self.payload[..length], qos, retain };
        client.send(&packet::publish(self.version, identifier, &message)).await?;
        world.counts.published.add(1);
        Ok(())
    }

    async fn change_a_filter(&mut self, client: &mut Client) -> anyhow::Result<()> {
        let at = self.rng.usize(..self.filters.len());
        let new = format!("soak/+/{:016x}/+", self.rng.u64(..));
        let old = std::mem::replace(&mut self.filters[at], new.clone());
        let mut packets = packet::unsubscribe(self.version, self.identifier(), &[old]);
        packets.extend(packet::subscribe(self.version, self.identifier(), &[new], 1));
        client.send(&packets).await?;
        Ok(())
    }

    /// Goes round, and is never 0 [MQTT-2.3.1-1].
    fn identifier(&mut self) -> u16 {
        let identifier = self.next_identifier;
        self.next_identifier = identifier.checked_add(1).unwrap_or(1);
        identifier
    }
}

/// Answers all packets that have come, as a client has to.
async fn take(client: &mut Client, counts: &Counts) -> anyhow::Result<()> {
    let mut answers = Vec::new();
    while let Some(packet) = client.reader.next()? {
        let kind = packet.kind();
        let identifier = || packet.identifier().context("a packet without its identifier");
        match kind {
            PUBLISH => {
                counts.received.add(1);
                match packet.qos() {
                    0 => {}
                    1 => answers.extend(packet::acknowledgement(PUBACK, identifier()?)),
                    _ => answers.extend(packet::acknowledgement(PUBREC, identifier()?)),
                }
            }
            PUBREC => answers.extend(packet::acknowledgement(PUBREL, identifier()?)),
            PUBREL => answers.extend(packet::acknowledgement(PUBCOMP, identifier()?)),
            PUBACK | PUBCOMP => counts.acknowledged.add(1),
            SUBACK if packet.body.iter().skip(2).any(|code| *code >= 0x80) => bail!("a filter was refused"),
            SUBACK | UNSUBACK => {}
            other => bail!("got a packet of type {other:#04x}"),
        }
    }
    if !answers.is_empty() {
        client.send(&answers).await?;
    }
    Ok(())
}
