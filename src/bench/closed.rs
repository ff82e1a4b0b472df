//! Full speed: publishers write as fast as the broker takes it (at QoS 1 and 2 with a window of unacknowledged messages),
//! and subscribers count what arrives. Latencies would say how full the queues are, and nothing else; there are none.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::acknowledge::settle;
use super::batch::PublishBatch;
use super::client::Client;
use super::crowd::Crowd;
use super::shape::Shape;
use super::tally::{SILENCE, Tally};
use super::{Amount, BenchError, Load, Plan, upload};

/// Publishes until it is enough, and waits until all has arrived or nothing comes any more.
/// `begin` is called before the first message.
pub(super) async fn run(crowd: Crowd, load: &Load, plan: &Plan, begin: impl FnOnce()) -> Result<Done, BenchError> {
    let Crowd { mut publishers, subscribers, shape } = crowd;
    for (client, publisher) in publishers.iter_mut().zip(&shape.publishers) {
        if let Some(gateway) = &publisher.uploading {
            upload::start(client, gateway).await?;
        }
    }
    begin();
    let tally = Arc::new(Tally::new(Instant::now()));
    let mut receiving = JoinSet::new();
    for listener in subscribers {
        receiving.spawn(listener.listen(Arc::clone(&tally)));
    }
    let (go, gate) = watch::channel(false);
    let mut publishing = JoinSet::new();
    for ((client, publisher), number) in publishers.into_iter().zip(&shape.publishers).zip(0..) {
        let window = plan.window.min(client.receive_maximum.into());
        let messages = if load.qos == 0 { load.batch } else { load.batch.min(window) };
        let batch = PublishBatch::new(publisher, number, load.version, load.qos, messages);
        let source = Source { client, batch, messages, window, qos: load.qos };
        let (tally, mut gate, amount) = (Arc::clone(&tally), gate.clone(), plan.amount);
        publishing.spawn(async move {
            // An error means that the sender is gone, and with it the run.
            let _ = gate.wait_for(|open| *open).await;
            let published = source.publish(amount, &tally).await;
            published.inspect_err(|error| tally.fault(error)).ok().map(|client| (number, client))
        });
    }
    go.send_replace(true);
    let all_published = async {
        let mut clients = Vec::new(); // connections stay open, or their end would be part of the load
        while let Some(client) = publishing.join_next().await {
            clients.extend(client.ok().flatten());
        }
        tally.wait_for(tally.sent.load(SeqCst) * u64::from(shape.copies)).await;
        clients
    };
    let clients = tokio::select! {
        clients = all_published => clients,
        () = tally.silence(Duration::ZERO) => {
            // The rate is that of the time before.
            tally.fault(&BenchError::Late { what: "more messages, though more were published,", within: SILENCE });
            Vec::new()
        }
    };
    Ok(Done { tally, shape, clients, _receiving: receiving })
}

/// A run that is over, its clients still connected.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) tally: Arc<Tally>,
    shape: Arc<Shape>,
    clients: Vec<(u32, Client)>,
    _receiving: JoinSet<()>,
}

impl Done {
    /// Ends the uploads that run, and all connections.
    pub(super) async fn leave(self) -> Result<(), BenchError> {
        for (number, mut client) in self.clients {
            if let Some(gateway) = &self.shape.publishers[number as usize].uploading {
                upload::end(&mut client, gateway).await?;
            }
        }
        Ok(())
    }
}

/// A publisher with what it publishes.
struct Source {
    client: Client,
    batch: PublishBatch,
    /// Messages in a batch.
    messages: usize,
    /// Messages that may be unacknowledged.
    window: usize,
    qos: u8,
}

impl Source {
    async fn publish(mut self, amount: Amount, tally: &Tally) -> Result<Client, BenchError> {
        let mut releases = Vec::new();
        let (mut sent, mut waiting) = (0, 0);
        loop {
            let is_enough = match amount {
                Amount::Time(time) => tally.start.elapsed() >= time,
                Amount::Messages(messages) => sent >= messages,
            };
            while self.qos > 0 && (waiting + self.messages > self.window || (is_enough && waiting > 0)) {
                waiting -= self.settle(&mut releases, tally).await?;
            }
            if is_enough {
                return Ok(self.client);
            }
            let bytes = self.batch.next();
            self.client.pipe.write_all(bytes).await.map_err(BenchError::broken(&self.client.id))?;
            sent += self.messages as u64;
            waiting += self.messages;
            tally.sent.fetch_add(self.messages as u64, SeqCst);
            // The others' turn: a hundred clients do not publish one after another.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for acknowledgements; how many messages no longer wait for theirs.
    async fn settle(&mut self, releases: &mut Vec<u8>, tally: &Tally) -> Result<usize, BenchError> {
        self.client.fill().await?;
        let settled = settle(&mut self.client, releases)?;
        if !releases.is_empty() {
            self.client.write(releases).await?;
            releases.clear();
        }
        tally.acknowledged.fetch_add(settled.acknowledged.into(), SeqCst);
        tally.refused.fetch_add(settled.refused.into(), SeqCst);
        Ok(settled.total() as usize)
    }
}
