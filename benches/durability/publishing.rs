//! The publishers: each writes to the topics of its sessions and takes the time until each PUBACK.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use dockgate::bench::PacketReader;
use hdrhistogram::Histogram;
use tokio::net::TcpStream;

use crate::client::packet::PUBACK;
use crate::client::{self, Client};
use crate::fleet;
use crate::message::Numbered;

/// A broker that acknowledges nothing for so long has lost what it was sent.
const PATIENCE: Duration = Duration::from_secs(60);
const READ_BUFFER: usize = 4 * 1024;
/// Latencies are kept in microseconds, with three digits.
const LONGEST_MICROS: u64 = 600_000_000;

/// A client with what it has to publish.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) client: Client,
    /// By session, in turn.
    pub(crate) messages: Vec<(usize, Numbered)>,
}

/// Connects publishers and gives them the sessions in turn.
pub(crate) async fn connect(
    mqtt: SocketAddr,
    publishers: usize,
    sessions: usize,
    payload_bytes: usize,
) -> anyhow::Result<Vec<Publisher>> {
    let mut all = Vec::new();
    for number in 0..publishers {
        let client = Client::open_clean(mqtt, &format!("publisher-{number:06}"), READ_BUFFER).await?;
        let sessions = (number..sessions).step_by(publishers);
        let messages = sessions.map(|session| (session, Numbered::new(&fleet::topic(session), payload_bytes)));
        all.push(Publisher { client, messages: messages.collect() });
    }
    Ok(all)
}

/// What the publishers got done.
#[derive(Debug)]
pub(crate) struct Published {
    /// Messages to each session, all of them acknowledged.
    pub(crate) sent: Vec<u64>,
    /// From the first PUBLISH to the last PUBACK.
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Histogram<u64>,
}

impl Published {
    pub(crate) fn total(&self) -> u64 {
        self.sent.iter().sum()
    }

    /// A latency in milliseconds: that of the quantile, 1 for the longest.
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Adds up what the publishers have counted.
    pub(crate) fn of(publishers: &[Publisher], sessions: usize, elapsed: Duration, latencies: Histogram<u64>) -> Self {
        let mut sent = vec![0; sessions];
        for (session, messages) in publishers.iter().flat_map(|publisher| &publisher.messages) {
            sent[*session] = messages.count();
        }
        Self { sent, elapsed, latencies }
    }
}

pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST_MICROS, 3)?)
}

/// Notes a latency.
pub(crate) fn note(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(latency.as_micros().clamp(1, u128::from(LONGEST_MICROS)) as u64);
}

/// Waits for PUBACKs and hands over the packet identifier of each.
pub(crate) async fn acknowledged(
    stream: &TcpStream,
    reader: &mut PacketReader,
    mut each: impl FnMut(u16),
) -> anyhow::Result<()> {
    let filled = tokio::time::timeout(PATIENCE, client::fill(reader, stream)).await;
    filled.with_context(|| format!("no PUBACK for {PATIENCE:?}"))??;
    while let Some(packet) = reader.next()? {
        match (packet.first, packet.body) {
            (PUBACK, [high, low]) => each(u16::from_be_bytes([*high, *low])),
            (first, _) => bail!("got a packet of type {first:#04x} instead of a PUBACK"),
        }
    }
    Ok(())
}
