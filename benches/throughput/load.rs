//! A closed-loop load on one broker: publishers write as fast as the broker takes it (at QoS 1 with a window of
//! unacknowledged messages), subscribers count what arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::batch::PublishBatch;
use crate::brokers::Running;
use crate::process;
use crate::scenario::Scenario;
use crate::wire::{self, Client};

/// A run whose subscribers get nothing for so long is over; what is missing then is lost.
const SILENCE: Duration = Duration::from_secs(3);
/// All clients of a scenario must be connected and subscribed within this.
const SETUP_DEADLINE: Duration = Duration::from_secs(30);
/// What a subscriber takes in one read. Large, so that the generator spends little on system calls.
const SUBSCRIBER_BUFFER: usize = 256 * 1024;
const PUBLISHER_BUFFER: usize = 4 * 1024;
/// DUP flag of a PUBLISH.
const DUP: u8 = 0x08;

/// How hard and how long to press.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) payload_bytes: usize,
    /// Messages that a publisher puts into one write.
    pub(crate) batch: usize,
    /// Messages that a QoS 1 publisher may have unacknowledged.
    pub(crate) window: usize,
    pub(crate) amount: Amount,
}

/// When a publisher has published enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Amount {
    /// After so long; brokers of very different speed then run equally long.
    Time(Duration),
    /// After that many messages of each publisher, rounded up to a whole batch.
    Messages(u64),
}

/// What one run measured.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    /// Messages that should have arrived, counting each subscriber's copy.
    pub(crate) expected: u64,
    pub(crate) received: u64,
    /// Deliveries flagged DUP, which nothing here should cause.
    pub(crate) duplicates: u64,
    /// From the start of publishing to the last arrival.
    pub(crate) elapsed: Duration,
    pub(crate) broker_cpu: Option<Duration>,
    pub(crate) generator_cpu: Duration,
    pub(crate) peak_kib: Option<u64>,
    /// Connections that broke, a broker that died.
    pub(crate) faults: Vec<String>,
}

/// Counters that all clients of a run share.
#[derive(Debug, Default)]
struct Tally {
    sent: AtomicU64,
    received: AtomicU64,
    duplicates: AtomicU64,
    /// Received when this is reached; `u64::MAX` until all publishers have finished.
    expected: AtomicU64,
    /// Nanoseconds after the start.
    last_arrival: AtomicU64,
    complete: Notify,
    faults: Mutex<Vec<String>>,
}

impl Tally {
    fn check_complete(&self) {
        if self.received.load(SeqCst) >= self.expected.load(SeqCst) {
            self.complete.notify_one();
        }
    }

    fn fault(&self, who: &str, error: &anyhow::Error) {
        self.faults.lock().push(format!("{who}: {error:#}"));
    }
}

/// Runs one scenario against one broker.
pub(crate) async fn run(scenario: &Scenario, plan: Plan, broker: &mut Running) -> anyhow::Result<Outcome> {
    let (subscribers, publishers) = tokio::time::timeout(SETUP_DEADLINE, connect_all(scenario, broker))
        .await
        .context("the clients were not connected and subscribed in time")??;

    if let Some(pid) = broker.pid {
        process::forget_peak(pid);
    }
    let generator = std::process::id();
    let broker_cpu = broker.pid.map(process::cpu_time).transpose()?;
    let generator_cpu = process::cpu_time(generator)?;

    let tally = Arc::new(Tally { expected: AtomicU64::new(u64::MAX), ..Tally::default() });
    let start = Instant::now();
    // Every PUBLISH of a run has one size; anything else is not what was published.
    let body = 2 + scenario.topics[0].len() + 2 * usize::from(scenario.qos > 0) + plan.payload_bytes;
    let mut receiving = JoinSet::new();
    for client in subscribers {
        let tally = Arc::clone(&tally);
        let qos = scenario.qos;
        receiving.spawn(async move {
            if let Err(error) = receive(client, qos, body, start, &tally).await {
                tally.fault("subscriber", &error);
            }
        });
    }
    let (go, gate) = watch::channel(false);
    let mut publishing = JoinSet::new();
    for (client, topic) in publishers.into_iter().zip(&scenario.topics) {
        let batch = PublishBatch::new(topic, plan.payload_bytes, scenario.qos, plan.batch);
        let tally = Arc::clone(&tally);
        let mut gate = gate.clone();
        let qos = scenario.qos;
        publishing.spawn(async move {
            // An error means that the sender is gone, and with it the run.
            let _ = gate.wait_for(|open| *open).await;
            match publish(client, batch, plan, qos, start, &tally).await {
                Ok(client) => Some(client),
                Err(error) => {
                    tally.fault("publisher", &error);
                    None
                }
            }
        });
    }
    go.send_replace(true);

    let copies = scenario.copies;
    let all_published = async {
        let mut kept = Vec::new(); // connections stay open, or their end would be part of the load
        while let Some(client) = publishing.join_next().await {
            kept.extend(client.ok().flatten());
        }
        tally.expected.store(tally.sent.load(SeqCst) * copies, SeqCst);
        tally.check_complete();
        tally.complete.notified().await;
        kept
    };
    tokio::select! {
        _ = all_published => {}
        () = silence(&tally, start) => {}
    }

    let mut outcome = Outcome {
        sent: tally.sent.load(SeqCst),
        expected: tally.sent.load(SeqCst) * copies,
        received: tally.received.load(SeqCst),
        duplicates: tally.duplicates.load(SeqCst),
        elapsed: Duration::from_nanos(tally.last_arrival.load(SeqCst)),
        broker_cpu: None,
        generator_cpu: process::cpu_time(generator)?.saturating_sub(generator_cpu),
        peak_kib: None,
        faults: std::mem::take(&mut *tally.faults.lock()),
    };
    if let Some(how) = broker.ended() {
        outcome.faults.push(format!("the broker {how}"));
    } else if let Some((pid, before)) = broker.pid.zip(broker_cpu) {
        // A broker that somebody else runs may be gone by now; its broken connections are among the faults.
        let after = process::cpu_time(pid).ok();
        outcome.broker_cpu = after.map(|after| after.saturating_sub(before));
        outcome.peak_kib = process::peak_resident_kib(pid).ok();
    }
    Ok(outcome)
}

async fn connect_all(scenario: &Scenario, broker: &Running) -> anyhow::Result<(Vec<Client>, Vec<Client>)> {
    let mut subscribers = Vec::new();
    for (i, filter) in scenario.filters.iter().enumerate() {
        let name = format!("bench-sub-{i}");
        let mut client = Client::connect(broker.address, &name, SUBSCRIBER_BUFFER).await?;
        client.subscribe(std::slice::from_ref(filter), scenario.qos).await?;
        subscribers.push(client);
    }
    let mut publishers = Vec::new();
    for i in 0..scenario.topics.len() {
        let name = format!("bench-pub-{i}");
        publishers.push(Client::connect(broker.address, &name, PUBLISHER_BUFFER).await?);
    }
    Ok((subscribers, publishers))
}

/// Returns when nothing has arrived for [`SILENCE`].
async fn silence(tally: &Tally, start: Instant) {
    loop {
        let last = Duration::from_nanos(tally.last_arrival.load(Relaxed));
        let quiet = start.elapsed().saturating_sub(last);
        if quiet >= SILENCE {
            return;
        }
        tokio::time::sleep(SILENCE - quiet).await;
    }
}

async fn publish(
    mut client: Client,
    mut batch: PublishBatch,
    plan: Plan,
    qos: u8,
    start: Instant,
    tally: &Tally,
) -> anyhow::Result<Client> {
    let mut sent = 0;
    let mut unacknowledged = 0;
    loop {
        let enough = match plan.amount {
            Amount::Time(time) => start.elapsed() >= time,
            Amount::Messages(messages) => sent >= messages,
        };
        if enough {
            break;
        }
        while qos > 0 && unacknowledged + plan.batch > plan.window {
            unacknowledged -= acknowledged(&mut client).await?;
        }
        client.stream.write_all(batch.next()).await?;
        sent += plan.batch as u64;
        unacknowledged += plan.batch;
        tally.sent.fetch_add(plan.batch as u64, SeqCst);
        // The others' turn: a hundred clients do not publish one after another.
        tokio::task::yield_now().await;
    }
    while qos > 0 && unacknowledged > 0 {
        unacknowledged -= acknowledged(&mut client).await?;
    }
    Ok(client)
}

/// Waits for PUBACKs and counts those that came.
async fn acknowledged(client: &mut Client) -> anyhow::Result<usize> {
    client.reader.fill(&client.stream).await?;
    let mut count = 0;
    while let Some(packet) = client.reader.next()? {
        if packet.first != wire::PUBACK {
            bail!("got a packet of type {:#04x} instead of a PUBACK", packet.first);
        }
        count += 1;
    }
    Ok(count)
}

async fn receive(mut client: Client, qos: u8, body: usize, start: Instant, tally: &Tally) -> anyhow::Result<()> {
    let mut acknowledgements = Vec::new();
    loop {
        client.reader.fill(&client.stream).await?;
        let mut received = 0;
        let mut duplicates = 0;
        while let Some(packet) = client.reader.next()? {
            if !packet.is_publish() || packet.body.len() != body || packet.qos() != qos {
                bail!(
                    "got a packet of type {:#04x} and {} bytes, not the PUBLISH of {body} bytes that was sent",
                    packet.first,
                    packet.body.len()
                );
            }
            received += 1;
            duplicates += u64::from(packet.first & DUP != 0);
            if qos > 0 {
                let [high, low] = packet.identifier().context("a PUBLISH without identifier")?;
                acknowledgements.extend_from_slice(&[wire::PUBACK, 2, high, low]);
            }
        }
        if received > 0 {
            tally.received.fetch_add(received, SeqCst);
            tally.duplicates.fetch_add(duplicates, Relaxed);
            tally.last_arrival.fetch_max(start.elapsed().as_nanos() as u64, Relaxed);
            tally.check_complete();
        }
        if !acknowledgements.is_empty() {
            client.stream.write_all(&acknowledgements).await?;
            acknowledgements.clear();
        }
    }
}
