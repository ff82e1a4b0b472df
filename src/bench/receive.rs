//! What all subscribers do: take messages, acknowledge them, and see which are missing, late or there twice.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::BenchError;
use super::client::Client;
use super::payload::Mark;
use super::schedule::Schedule;
use super::seen::Seen;
use super::tally::{Tally, nanos};
use super::wire::{DISCONNECT, DUP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL};

/// A subscriber, and what it expects.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) client: Client,
    qos: u8,
    /// How long every payload is, and where its mark is.
    payload: usize,
    mark: Mark,
    /// Whose messages it gets.
    hears: Range<u32>,
    /// The number of the next message of each of them.
    next: Vec<u32>,
    /// What has come to its group, if it shares its subscription.
    group: Option<Arc<Seen>>,
    /// When each message was due, if latencies count.
    pub(super) schedule: Option<Schedule>,
    acknowledgements: Vec<u8>,
}

/// What came with one read.
#[derive(Debug, Default)]
struct Arrived {
    different: u64,
    again: u64,
}

impl Listener {
    pub(super) fn new(
        client: Client,
        qos: u8,
        (payload, mark): (usize, Mark),
        hears: Range<u32>,
        group: Option<Arc<Seen>>,
    ) -> Self {
        let next = vec![0; hears.len()];
        Self { client, qos, payload, mark, hears, next, group, schedule: None, acknowledgements: Vec::new() }
    }

    /// Takes messages until the connection ends.
    pub(super) async fn listen(mut self, tally: Arc<Tally>) {
        loop {
            if let Err(error) = self.turn(&tally).await {
                tally.fault(&error);
                return;
            }
        }
    }

    async fn turn(&mut self, tally: &Tally) -> Result<(), BenchError> {
        self.client.fill().await?;
        let now = Instant::now();
        let arrived = self.take(tally, now)?;
        if arrived.again > 0 {
            tally.duplicates.fetch_add(arrived.again, Relaxed);
        }
        if arrived.different > 0 {
            tally.receive(arrived.different, now);
        }
        if !self.acknowledgements.is_empty() {
            self.client.write(&self.acknowledgements).await?;
            self.acknowledgements.clear();
        }
        Ok(())
    }

    /// Goes through what has been read.
    fn take(&mut self, tally: &Tally, now: Instant) -> Result<Arrived, BenchError> {
        let mut arrived = Arrived::default();
        let mut latencies = self.schedule.as_ref().map(|schedule| (schedule, tally.latencies.lock()));
        let client = &mut self.client;
        let version = client.version;
        while let Some(packet) = client.reader.next().map_err(BenchError::broken(&client.id))? {
            let unexpected = |what: &str| BenchError::Unexpected {
                client: client.id.clone(),
                what: format!("{what}: a packet {:#04x} of {} bytes", packet.first, packet.body.len()),
            };
            match packet.kind() {
                PUBLISH => {}
                0x60 if packet.first == PUBREL => {
                    let (identifier, _) = packet.acknowledgement().ok_or_else(|| unexpected("a PUBREL cut short"))?;
                    self.acknowledgements.extend_from_slice(&[PUBCOMP, 2, identifier[0], identifier[1]]);
                    continue;
                }
                DISCONNECT => return Err(unexpected("a DISCONNECT")),
                _ => return Err(unexpected("neither a message nor its release")),
            }
            let message = packet.message(version).filter(|message| message.payload.len() == self.payload);
            let message = message.filter(|_| packet.qos() == self.qos);
            let Some((message, (publisher, sequence))) =
                message.and_then(|message| Some((message, self.mark.read(message.payload)?)))
            else {
                return Err(unexpected("a message that was not sent like this"));
            };
            let [high, low] = message.identifier;
            match self.qos {
                0 => {}
                1 => self.acknowledgements.extend_from_slice(&[PUBACK, 2, high, low]),
                _ => self.acknowledgements.extend_from_slice(&[PUBREC, 2, high, low]),
            }
            let place = publisher.checked_sub(self.hears.start).and_then(|place| self.next.get_mut(place as usize));
            let next = place.ok_or_else(|| unexpected("a message of somebody else's topic"))?;
            // What comes after a later one is taken for one that comes again: nothing here may be out of order.
            let is_new = match &self.group {
                Some(group) => group.is_new(publisher, sequence),
                None => sequence >= *next,
            };
            if !is_new || packet.first & DUP != 0 {
                arrived.again += 1;
            }
            if is_new {
                *next = sequence + 1;
                arrived.different += 1;
                if let Some((schedule, latencies)) = &mut latencies
                    && let Some(due) = schedule.counted(publisher, sequence)
                {
                    latencies.saturating_record(nanos(now.saturating_duration_since(due).max(Duration::from_nanos(1))));
                }
            }
        }
        Ok(arrived)
    }
}
