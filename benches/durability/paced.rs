//! An open loop: messages are due by the clock, whatever the broker does, and a latency counts from when its message was
//! due. A broker that stands still delays every message that is due meanwhile, and each of them is counted (a closed
//! loop would count one: "coordinated omission").

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::message::Numbered;
use crate::publishing::{Published, Publisher, acknowledged, histogram, note};

/// Publishes so many messages a second in all, from the publishers in turn. Each has one session.
///
/// # Errors
/// A connection that breaks, or that takes no message because tens of thousands wait.
pub(crate) async fn publish(publishers: Vec<Publisher>, rate: u32, time: Duration) -> anyhow::Result<Published> {
    let count = publishers.len();
    let total = (f64::from(rate) * time.as_secs_f64()) as usize;
    // A message's identifier says which one of its publisher it is, and so when it was due.
    ensure!(total / count < usize::from(u16::MAX), "more messages than packet identifiers");
    let latencies = Arc::new(Mutex::new(histogram()?));
    // The clock's thread writes, this one reads.
    let mut outputs = Vec::new();
    let mut inputs = Vec::new();
    for Publisher { client: Client { stream, reader, .. }, mut messages } in publishers {
        let stream = Arc::new(stream);
        let (_, numbered) = messages.pop().context("a publisher without a session")?;
        outputs.push((Arc::clone(&stream), numbered));
        inputs.push((stream, reader));
    }
    let start = Instant::now() + Duration::from_millis(10);
    let due = move |message: usize| start + Duration::from_secs_f64(message as f64 / f64::from(rate));
    let clock = tokio::task::spawn_blocking(move || keep_time(outputs, total, due));

    let mut receiving = JoinSet::new();
    for (number, (stream, mut reader)) in inputs.into_iter().enumerate() {
        let latencies = Arc::clone(&latencies);
        let mine = (number..total).step_by(count).len();
        receiving.spawn(async move {
            let mut taken = 0;
            while taken < mine {
                acknowledged(&stream, &mut reader, |identifier| {
                    let nth = usize::from(identifier) - 1;
                    note(&mut latencies.lock(), due(number + nth * count).elapsed());
                    taken += 1;
                })
                .await?;
            }
            anyhow::Ok(start.elapsed())
        });
    }
    let mut elapsed = Duration::ZERO;
    while let Some(ended) = receiving.join_next().await {
        elapsed = elapsed.max(ended?.context("a publisher")?);
    }
    let sent = clock.await??;
    let latencies = latencies.lock().clone();
    Ok(Published { sent, elapsed, latencies })
}

/// Writes each message when it is due. A thread of its own: the runtime's timers count in milliseconds.
fn keep_time(
    mut outputs: Vec<(Arc<TcpStream>, Numbered)>,
    total: usize,
    due: impl Fn(usize) -> Instant,
) -> anyhow::Result<Vec<u64>> {
    let count = outputs.len();
    for message in 0..total {
        std::thread::sleep(due(message).saturating_duration_since(Instant::now()));
        let (stream, numbered) = &mut outputs[message % count];
        let bytes = numbered.next(u16::try_from(message / count + 1)?);
        let written = stream.try_write(bytes).context("the broker does not read as fast as messages are due")?;
        ensure!(written == bytes.len(), "the broker does not read as fast as messages are due");
    }
    Ok(outputs.iter().map(|(_, numbered)| numbered.count()).collect())
}
