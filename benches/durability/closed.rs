//! A closed loop: publishers write as fast as acknowledgements come, within a window.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::publishing::{Published, Publisher, acknowledged, histogram, note};

/// When a publisher has published enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Amount {
    Time(Duration),
    /// Messages to each session.
    Messages(u64),
}

/// Publishes until there is enough, with at most `window` messages of each publisher unacknowledged.
///
/// # Errors
/// The first publisher whose connection breaks ends it.
pub(crate) async fn publish(
    publishers: Vec<Publisher>,
    sessions: usize,
    window: usize,
    amount: Amount,
) -> anyhow::Result<Published> {
    let latencies = Arc::new(Mutex::new(histogram()?));
    let start = Instant::now();
    let mut publishing = JoinSet::new();
    for mut publisher in publishers {
        let latencies = Arc::clone(&latencies);
        publishing.spawn(async move {
            press(&mut publisher, window, amount, start, &latencies).await?;
            anyhow::Ok((publisher, start.elapsed()))
        });
    }
    let mut done = Vec::new(); // connections stay open, or their end would be part of the load
    let mut elapsed = Duration::ZERO;
    while let Some(ended) = publishing.join_next().await {
        let (publisher, at) = ended?.context("a publisher")?;
        elapsed = elapsed.max(at);
        done.push(publisher);
    }
    let latencies = latencies.lock().clone();
    Ok(Published::of(&done, sessions, elapsed, latencies))
}

async fn press(
    publisher: &mut Publisher,
    window: usize,
    amount: Amount,
    start: Instant,
    latencies: &Mutex<Histogram<u64>>,
) -> anyhow::Result<()> {
    let Publisher { client, messages } = publisher;
    let most = match amount {
        Amount::Time(_) => u64::MAX,
        Amount::Messages(each) => each * messages.len() as u64,
    };
    let mut sent = 0;
    let mut waiting: VecDeque<(u16, Instant)> = VecDeque::with_capacity(window);
    let mut identifier = 0;
    let mut output = Vec::new();
    loop {
        let now = Instant::now();
        let in_time = match amount {
            Amount::Time(time) => now - start < time,
            Amount::Messages(_) => true,
        };
        while in_time && sent < most && waiting.len() < window {
            // The window is far shorter than the round of identifiers, so that none is reused too early.
            identifier = if identifier == u16::MAX { 1 } else { identifier + 1 };
            let turn = (sent % messages.len() as u64) as usize;
            output.extend_from_slice(messages[turn].1.next(identifier));
            waiting.push_back((identifier, now));
            sent += 1;
        }
        if waiting.is_empty() {
            return Ok(());
        }
        client.stream.write_all(&output).await?;
        output.clear();
        let mut unknown = None;
        acknowledged(&client.stream, &mut client.reader, |identifier| {
            // In the order of the messages, unless the broker has its own.
            match waiting.iter().position(|(waiting, _)| *waiting == identifier) {
                Some(at) => {
                    let sent = waiting.remove(at).map_or(now, |(_, sent)| sent);
                    note(&mut latencies.lock(), sent.elapsed());
                }
                None => unknown = Some(identifier),
            }
        })
        .await?;
        anyhow::ensure!(unknown.is_none(), "got a PUBACK for {unknown:?}, which waits for none");
    }
}
