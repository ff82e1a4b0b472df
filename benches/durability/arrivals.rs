//! What has arrived of what was acknowledged, each message counted once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;

use crate::client::Client;
use crate::client::packet::{self, PUBACK};
use crate::fleet;
use crate::message;

/// A subscriber that gets nothing for so long gets nothing more; what is missing then is lost.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);

/// The messages that the sessions of a run have received.
#[derive(Debug)]
pub(crate) struct Arrivals {
    origin: Instant,
    payload_bytes: usize,
    /// By session and number.
    seen: Vec<Mutex<Vec<bool>>>,
    distinct: AtomicU64,
    repeated: AtomicU64,
    /// Nanoseconds after the origin.
    last: AtomicU64,
}

impl Arrivals {
    /// Times count from now.
    pub(crate) fn new(sessions: usize, payload_bytes: usize) -> Self {
        let seen = (0..sessions).map(|_| Mutex::default()).collect();
        let (distinct, repeated, last) = Default::default();
        Self { origin: Instant::now(), payload_bytes, seen, distinct, repeated, last }
    }

    /// Messages that have arrived.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct.load(Relaxed)
    }

    /// Arrivals of messages that had arrived before: QoS 1 allows them after a lost connection.
    pub(crate) fn repeated(&self) -> u64 {
        self.repeated.load(Relaxed)
    }

    /// When the last one came, after the origin.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Relaxed))
    }

    /// Waits until so many have arrived, or nothing arrives any more.
    pub(crate) async fn reach(&self, expected: u64) {
        let start = self.origin.elapsed();
        while self.distinct() < expected && self.origin.elapsed() - self.last().max(start) < SILENCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Takes and acknowledges what comes for a session, until it has `enough` or gets nothing more.
    pub(crate) async fn receive(&self, client: &mut Client, session: usize, enough: u64) -> anyhow::Result<()> {
        let topic = fleet::topic(session);
        let mut acknowledgements = Vec::new();
        let mut mine = 0;
        loop {
            // What came with the CONNACK, or with the last bytes.
            let (before, mut repeated) = (mine, 0);
            {
                let mut seen = self.seen[session].lock();
                while let Some(packet) = client.reader.next()? {
                    let (identifier, number) = message::read(packet, &topic, self.payload_bytes)?;
                    let number = usize::try_from(number)?;
                    if seen.len() <= number {
                        seen.resize(number + 1, false);
                    }
                    let first = !std::mem::replace(&mut seen[number], true);
                    mine += u64::from(first);
                    repeated += u64::from(!first);
                    acknowledgements.extend_from_slice(&packet::acknowledgement(PUBACK, identifier));
                }
            }
            if !acknowledgements.is_empty() {
                self.distinct.fetch_add(mine - before, Relaxed);
                self.repeated.fetch_add(repeated, Relaxed);
                self.last.fetch_max(self.origin.elapsed().as_nanos() as u64, Relaxed);
                client.send(&acknowledgements).await?;
                acknowledgements.clear();
            }
            if mine >= enough {
                return Ok(());
            }
            let filled = tokio::time::timeout(SILENCE, client.fill()).await;
            let Ok(filled) = filled else { return Ok(()) };
            filled.with_context(|| format!("subscriber {session}"))?;
        }
    }
}
