//! Publishers pour messages over many topics as fast as the broker takes them, and subscribers count what arrives.
//!
//! Never more than [`WINDOW`] messages are on their way, so that memory afterwards is what topics and filters take, and
//! not what queues took.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dockgate::bench::{Version, process};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Times;
use crate::client::Client;
use crate::client::packet::{self, Message, PUBLISH};
use crate::figures::Measured;

/// Messages that are on their way at most: enough that nobody waits for the network.
const WINDOW: u64 = 5_000;
const PUBLISHERS: usize = 10;
/// Messages that a publisher puts into one write.
const BATCH: usize = 10;
const PAYLOAD: [u8; 256] = [b'x'; 256];
/// A run whose subscribers get nothing for so long has lost what is missing.
const SILENCE: Duration = Duration::from_secs(3);
const SUBSCRIBER_BUFFER: usize = 256 * 1024;
const PUBLISHER_BUFFER: usize = 1024;
/// Filters in one SUBSCRIBE.
const FILTERS_A_PACKET: usize = 100;

/// Who subscribes to what: the filters of each subscriber.
pub(crate) type Filters = Vec<Vec<String>>;

#[derive(Debug, Default)]
struct Tally {
    sent: AtomicU64,
    received: AtomicU64,
    /// Something has arrived.
    arrival: Notify,
    faults: Mutex<Vec<String>>,
}

/// Subscribes, publishes once to each topic and then over all of them for a time. Every message reaches one subscriber.
pub(crate) async fn pour(
    address: SocketAddr,
    pid: u32,
    topics: &[String],
    filters: &Filters,
    times: Times,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut receiving = JoinSet::new();
    let tally = Arc::new(Tally::default());
    for (number, filters) in filters.iter().enumerate() {
        let mut client = Client::open_clean(address, &format!("growth-sub-{number}"), SUBSCRIBER_BUFFER).await?;
        for some in filters.chunks(FILTERS_A_PACKET) {
            client.subscribe(some, 0).await?;
        }
        receiving.spawn(receive(client, Arc::clone(&tally)));
    }
    measured.add("subscribed s", started.elapsed().as_secs_f64());
    let mut publishers = Vec::new();
    for number in 0..PUBLISHERS {
        publishers.push(Client::open_clean(address, &format!("growth-pub-{number}"), PUBLISHER_BUFFER).await?);
    }
    let packets: Arc<[Vec<u8>]> = topics.iter().map(|topic| publish(topic)).collect();

    let once = Instant::now();
    publishers = publish_all(publishers, &packets, Until::Once, &tally).await?;
    measured.add("first messages/s", packets.len() as f64 / once.elapsed().as_secs_f64());

    let (cpu, before) = (process::cpu_time(pid)?, tally.received.load(SeqCst));
    let start = Instant::now();
    let _publishers = publish_all(publishers, &packets, Until::Time(start + times.load), &tally).await?;
    let delivered = (tally.received.load(SeqCst) - before) as f64;
    let spent = process::cpu_time(pid)?.saturating_sub(cpu);
    measured.add("messages/s", delivered / start.elapsed().as_secs_f64());
    measured.add("CPU µs/message", spent.as_secs_f64() * 1e6 / delivered.max(1.0));
    tokio::time::sleep(times.settle).await;
    measured.add("resident MiB", process::resident_kib(pid)? as f64 / 1024.0);
    let extra = tally.received.load(SeqCst).saturating_sub(tally.sent.load(SeqCst));
    if extra > 0 {
        measured.note(format!("{extra} messages arrived more than once"));
    }
    Ok(())
}

fn publish(topic: &str) -> Vec<u8> {
    let message = Message { topic, payload: &PAYLOAD, qos: 0, retain: false };
    packet::publish(Version::V311, 0, &message)
}

/// When there is enough.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// After one message to each topic.
    Once,
    Time(Instant),
}

/// Lets all publish, each beginning at another topic, and waits until everything has arrived.
async fn publish_all(
    clients: Vec<Client>,
    packets: &Arc<[Vec<u8>]>,
    until: Until,
    tally: &Arc<Tally>,
) -> anyhow::Result<Vec<Client>> {
    let mut publishing = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let (packets, tally) = (Arc::clone(packets), Arc::clone(tally));
        let share = |publisher: usize| publisher * packets.len() / PUBLISHERS;
        let (begin, own) = (share(number), share(number + 1) - share(number));
        publishing.spawn(async move {
            let mut sent = 0;
            let mut bytes = Vec::with_capacity(BATCH * 400);
            loop {
                let batch = match until {
                    Until::Once => BATCH.min(own - sent),
                    Until::Time(end) if Instant::now() < end => BATCH,
                    Until::Time(_) => 0,
                };
                if batch == 0 {
                    return anyhow::Ok(client);
                }
                bytes.clear();
                for at in sent..sent + batch {
                    bytes.extend_from_slice(&packets[(begin + at) % packets.len()]);
                }
                sent += batch;
                tally.room(batch as u64).await?;
                client.send(&bytes).await.context("a publisher")?;
                // The others' turn.
                tokio::task::yield_now().await;
            }
        });
    }
    let mut kept = Vec::new();
    while let Some(client) = publishing.join_next().await {
        kept.push(client??);
    }
    tally.wait_until(|sent, received| received >= sent).await?;
    Ok(kept)
}

impl Tally {
    /// Takes so many places in the window, as soon as they are free.
    async fn room(&self, messages: u64) -> anyhow::Result<()> {
        self.wait_until(|sent, received| sent + messages <= received + WINDOW).await?;
        self.sent.fetch_add(messages, SeqCst);
        Ok(())
    }

    async fn wait_until(&self, enough: impl Fn(u64, u64) -> bool) -> anyhow::Result<()> {
        loop {
            let arrival = self.arrival.notified();
            tokio::pin!(arrival);
            arrival.as_mut().enable();
            let (sent, received) = (self.sent.load(SeqCst), self.received.load(SeqCst));
            if enough(sent, received) {
                return Ok(());
            }
            if tokio::time::timeout(SILENCE, arrival).await.is_err() {
                match self.faults.lock().first() {
                    Some(fault) => bail!("{fault}"),
                    None => bail!("{} of {sent} messages did not arrive", sent - received),
                }
            }
        }
    }
}

async fn receive(client: Client, tally: Arc<Tally>) {
    if let Err(error) = try_receive(client, &tally).await {
        tally.faults.lock().push(format!("a subscriber: {error:#}"));
    }
}

async fn try_receive(mut client: Client, tally: &Tally) -> anyhow::Result<()> {
    loop {
        client.fill().await?;
        let mut received = 0;
        while let Some(packet) = client.reader.next()? {
            if packet.kind() != PUBLISH {
                bail!("got a packet of type {:#04x} instead of a PUBLISH", packet.first);
            }
            received += 1;
        }
        if received > 0 {
            tally.received.fetch_add(received, SeqCst);
            tally.arrival.notify_waiters();
        }
    }
}
