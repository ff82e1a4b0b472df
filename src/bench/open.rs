//! By the clock: each message is sent when it is due, whatever the broker does, and its latency counts from when it was
//! due, and not from when it could be sent. A broker that stands still delays every message that is due meanwhile, and
//! each of them that arrives is counted (a closed loop would count one: "coordinated omission"). What does not arrive is lost,
//! and in no latency.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::acknowledge::settle;
use super::batch::PublishBatch;
use super::client::Client;
use super::crowd::Crowd;
use super::pipe::Pipe;
use super::schedule::Schedule;
use super::tally::Tally;
use super::{BenchError, Load, Plan};

/// From the connected clients to the first message.
const LEAD: Duration = Duration::from_millis(50);

/// What a run by the clock found out.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) tally: Arc<Tally>,
    /// Messages that were due.
    pub(super) due: u64,
    /// How late the generator itself was.
    pub(super) lateness: Histogram<u64>,
    /// Still connected.
    _clients: JoinSet<()>,
}

/// Has so many messages published a second, and waits until all has arrived or nothing comes any more.
pub(super) async fn run(crowd: Crowd, load: &Load, plan: &Plan, rate: f64, time: Duration) -> Result<Kept, BenchError> {
    let Crowd { publishers, subscribers, shape } = crowd;
    // Marks have 32 bits for the publisher.
    let schedule = Schedule::new(Instant::now() + LEAD, rate, publishers.len() as u32, plan.warm_up);
    let tally = Arc::new(Tally::new(schedule.due(0)));
    let mut clients = JoinSet::new();
    for mut listener in subscribers {
        listener.schedule = Some(schedule);
        clients.spawn(listener.listen(Arc::clone(&tally)));
    }
    let mut sources = Vec::new();
    for ((client, publisher), number) in publishers.into_iter().zip(&shape.publishers).zip(0..) {
        let batch = PublishBatch::new(publisher, number, load.version, load.qos, 1);
        let source = Arc::new(Source::new(&client, batch, load.qos, plan.window, Arc::clone(&tally)));
        sources.push(Arc::clone(&source));
        clients.spawn(source.attend(client));
    }
    let total = schedule.total(plan.warm_up + time);
    // Should this be dropped half-way, the clock stops.
    let is_over = Over::default();
    let clock = tokio::task::spawn_blocking({
        let is_over = Arc::clone(&is_over.0);
        move || {
            let count = sources.len() as u64;
            schedule.keep(total, |message| {
                sources[(message % count) as usize].is_due();
                !is_over.load(Relaxed)
            })
        }
    });
    let lateness = clock.await.map_err(|error| BenchError::Own(error.to_string()))?;
    tally.wait_for(total * u64::from(shape.copies)).await;
    if load.qos > 0 {
        // The last message may arrive before its acknowledgement.
        tally.wait_for_acknowledgements().await;
    }
    Ok(Kept { tally, due: total, lateness, _clients: clients })
}

/// Set when it is dropped.
#[derive(Debug, Default)]
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A publisher. The clock's thread writes what is due; a task reads what comes, and writes what the clock could not.
#[derive(Debug)]
struct Source {
    id: String,
    pipe: Arc<Pipe>,
    /// Locked for a write at a time, never across an await.
    outbox: Mutex<Outbox>,
    /// Something could not be written.
    stalled: Notify,
    tally: Arc<Tally>,
}

#[derive(Debug)]
struct Outbox {
    batch: PublishBatch,
    qos: u8,
    /// Messages that may be unacknowledged.
    window: u32,
    /// Messages that are unacknowledged.
    waiting: u32,
    /// Messages that are due and not sent.
    due: u64,
    /// Bytes that are sent and not yet taken by the socket.
    rest: Vec<u8>,
    is_broken: bool,
}

impl Outbox {
    /// Sends what is due and may be sent. False if the socket takes no more now.
    fn pump(&mut self, pipe: &Pipe, tally: &Tally) -> io::Result<bool> {
        loop {
            while !self.rest.is_empty() {
                let taken = taken(pipe.try_write(&self.rest))?;
                self.rest.drain(..taken);
                if taken == 0 {
                    return Ok(false);
                }
            }
            let may = self.qos == 0 || self.waiting < self.window;
            if self.due == 0 || !may {
                return pipe.try_flush();
            }
            self.due -= 1;
            self.waiting += u32::from(self.qos > 0);
            tally.sent.fetch_add(1, SeqCst);
            let bytes = self.batch.next();
            let taken = taken(pipe.try_write(bytes))?;
            self.rest.extend_from_slice(&bytes[taken..]);
        }
    }
}

/// How many bytes were taken: none, if the socket is full.
fn taken(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}

impl Source {
    fn new(client: &Client, batch: PublishBatch, qos: u8, window: usize, tally: Arc<Tally>) -> Self {
        let window = u32::try_from(window).unwrap_or(u32::MAX).min(client.receive_maximum.into());
        let outbox = Outbox { batch, qos, window, waiting: 0, due: 0, rest: Vec::new(), is_broken: false };
        let pipe = Arc::clone(&client.pipe);
        Self { id: client.id.clone(), pipe, outbox: Mutex::new(outbox), stalled: Notify::new(), tally }
    }

    /// The next message is due.
    fn is_due(&self) {
        let mut outbox = self.outbox.lock();
        outbox.due += 1;
        if outbox.is_broken {
            return;
        }
        match outbox.pump(&self.pipe, &self.tally) {
            Ok(true) => {}
            Ok(false) => self.stalled.notify_one(),
            Err(error) => {
                drop(outbox);
                self.fail(&BenchError::broken(&self.id)(error));
            }
        }
    }

    fn fail(&self, error: &BenchError) {
        if !std::mem::replace(&mut self.outbox.lock().is_broken, true) {
            self.tally.fault(error);
        }
    }

    /// Reads acknowledgements and writes what they allow, until the connection ends.
    async fn attend(self: Arc<Self>, mut client: Client) {
        if let Err(error) = self.converse(&mut client).await {
            self.fail(&error);
        }
    }

    async fn converse(&self, client: &mut Client) -> Result<(), BenchError> {
        let broken = || BenchError::broken(&self.id);
        let mut releases = Vec::new();
        let mut is_stalled = false;
        loop {
            tokio::select! {
                filled = client.fill() => {
                    filled?;
                    let settled = settle(client, &mut releases)?;
                    self.tally.acknowledged.fetch_add(settled.acknowledged.into(), SeqCst);
                    self.tally.refused.fetch_add(settled.refused.into(), SeqCst);
                    let mut outbox = self.outbox.lock();
                    outbox.rest.append(&mut releases);
                    outbox.waiting = outbox.waiting.saturating_sub(settled.total());
                    is_stalled = !outbox.pump(&self.pipe, &self.tally).map_err(broken())?;
                }
                () = self.stalled.notified(), if !is_stalled => is_stalled = true,
                writable = self.pipe.writable(), if is_stalled => {
                    writable.map_err(broken())?;
                    is_stalled = !self.outbox.lock().pump(&self.pipe, &self.tally).map_err(broken())?;
                }
            }
        }
    }
}
