//! The subscribers: sessions with one topic each, which come, leave and come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::arrivals::Arrivals;
use crate::client::Client;
use crate::client::packet::{Connect, DISCONNECT};

/// Subscribers that come or go at the same time.
const CONCURRENT: usize = 100;
/// All must have subscribed within this.
const DEADLINE: Duration = Duration::from_secs(300);
const READ_BUFFER: usize = 32 * 1024;

/// The topic of a session. All have one length.
pub(crate) fn topic(session: usize) -> String {
    format!("fleet/{session:06}")
}

fn client_id(session: usize) -> String {
    format!("session-{session:06}")
}

/// Lets each session subscribe to its topic at QoS 1. They stay connected.
pub(crate) async fn join(mqtt: SocketAddr, sessions: usize, clean: bool) -> anyhow::Result<Vec<(usize, Client)>> {
    each(sessions, move |session| async move { Ok((session, subscriber(mqtt, session, clean).await?)) }).await
}

/// The same with sessions that are kept, whose clients have left.
pub(crate) async fn join_and_leave(mqtt: SocketAddr, sessions: usize) -> anyhow::Result<()> {
    each(sessions, move |session| async move { leave(subscriber(mqtt, session, false).await?).await }).await?;
    Ok(())
}

async fn subscriber(mqtt: SocketAddr, session: usize, clean: bool) -> anyhow::Result<Client> {
    let (mut client, _) = open(mqtt, session, clean).await?;
    client.subscribe(&[topic(session)], 1).await?;
    Ok(client)
}

/// Whether the broker had the session comes with its client.
async fn open(mqtt: SocketAddr, session: usize, clean: bool) -> anyhow::Result<(Client, bool)> {
    Client::open(mqtt, &Connect::plain(&client_id(session), clean), READ_BUFFER).await
}

/// What became of sessions whose clients came back.
#[derive(Debug)]
pub(crate) struct Return {
    /// From `start` to the last CONNACK.
    pub(crate) all_back: Duration,
    /// Sessions that the broker did not have any more.
    pub(crate) gone: usize,
}

/// Lets all clients come back and take what waits for them, of which `sent` says how much that is, and leave.
pub(crate) async fn come_back(
    mqtt: SocketAddr,
    sent: &[u64],
    arrivals: &Arc<Arrivals>,
    start: Instant,
) -> anyhow::Result<Return> {
    let sent: Arc<[u64]> = sent.into();
    let arrivals = Arc::clone(arrivals);
    let returns = each(sent.len(), move |session| {
        let (sent, arrivals) = (Arc::clone(&sent), Arc::clone(&arrivals));
        async move {
            let (mut client, known) = open(mqtt, session, false).await?;
            let back = start.elapsed();
            if known {
                arrivals.receive(&mut client, session, sent[session]).await?;
            }
            leave(client).await?;
            Ok((back, known))
        }
    })
    .await?;
    Ok(Return {
        all_back: returns.iter().map(|(back, _)| *back).max().unwrap_or_default(),
        gone: returns.iter().filter(|(_, known)| !known).count(),
    })
}

/// Takes leave and waits until the broker has noticed.
pub(crate) async fn leave(mut client: Client) -> anyhow::Result<()> {
    client.send(&DISCONNECT).await?;
    let gone = async {
        while client.fill().await.is_ok() {
            while let Ok(Some(_)) = client.reader.next() {}
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.context("the broker does not close the connection after a DISCONNECT")
}

/// Does something for every session, for some of them at a time.
async fn each<T, F>(sessions: usize, mut of: impl FnMut(usize) -> F) -> anyhow::Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let turns = Arc::new(Semaphore::new(CONCURRENT));
    let mut tasks = JoinSet::new();
    for session in 0..sessions {
        let (turns, task) = (Arc::clone(&turns), of(session));
        tasks.spawn(async move {
            let _turn = turns.acquire().await?;
            task.await
        });
    }
    let all = async {
        let mut results = Vec::with_capacity(sessions);
        while let Some(result) = tasks.join_next().await {
            results.push(result??);
        }
        anyhow::Ok(results)
    };
    tokio::time::timeout(DEADLINE, all).await.with_context(|| format!("not done within {DEADLINE:?}"))?
}
