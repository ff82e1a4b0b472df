//! Docks that are only there: they connect, subscribe to their six topics and are silent.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::client::packet::Connect;

/// Silent clients receive nothing after their SUBACK.
const READ_BUFFER: usize = 64;

/// The pause of a dock that was turned away when all came at once, before it tries again.
const AGAIN: Duration = Duration::from_millis(100);

/// How docks come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coming {
    /// So many at a time; none: all at once, and who is turned away tries again.
    pub(crate) at_a_time: Option<usize>,
    /// Whether the broker keeps their sessions, and they come back to them.
    pub(crate) kept: bool,
}

/// Docks that have come.
#[derive(Debug)]
pub(crate) struct Crowd {
    docks: Vec<Client>,
    /// Until the last one had its SUBACK.
    pub(crate) all: Duration,
    /// The longest from the beginning of a connection to its CONNACK.
    pub(crate) worst_connect: Duration,
    /// Those whose sessions the broker had.
    pub(crate) known: usize,
    /// Attempts that failed.
    pub(crate) failures: usize,
}

/// The serial number of a dock, in the shape of a Dock 3's.
fn serial(number: usize) -> String {
    format!("8UUXN{number:09}")
}

/// The topics that a dock subscribes to, as in DJI's topic definition.
fn filters(serial: &str) -> Vec<String> {
    ["services", "events_reply", "requests_reply", "property/set", "drc/down"]
        .map(|name| format!("thing/product/{serial}/{name}"))
        .into_iter()
        .chain([format!("sys/product/{serial}/status_reply")])
        .collect()
}

/// The topics that a backend subscribes to.
pub(crate) fn backend_filters() -> Vec<String> {
    ["osd", "state", "events", "services_reply", "requests"]
        .map(|name| format!("thing/product/+/{name}"))
        .into_iter()
        .chain(["sys/product/+/status".to_owned()])
        .collect()
}

impl Crowd {
    /// Lets docks come, and waits until each is connected and subscribed. One that comes back to a session subscribes
    /// to nothing again.
    pub(crate) async fn come(address: SocketAddr, numbers: Range<usize>, how: Coming) -> anyhow::Result<Self> {
        let mut crowd = Self {
            docks: Vec::with_capacity(numbers.len()),
            all: Duration::ZERO,
            worst_connect: Duration::ZERO,
            known: 0,
            failures: 0,
        };
        let turns = Arc::new(Semaphore::new(how.at_a_time.unwrap_or(numbers.len()).max(1)));
        let mut coming = JoinSet::new();
        let start = Instant::now();
        for number in numbers {
            let turns = Arc::clone(&turns);
            coming.spawn(async move {
                let _turn = turns.acquire().await?;
                let begun = Instant::now();
                let mut failures = 0;
                loop {
                    match one(address, number, how.kept, begun).await {
                        Ok((client, connected, known)) => return anyhow::Ok((client, connected, known, failures)),
                        Err(error) if how.at_a_time.is_some() => return Err(error),
                        Err(_) => failures += 1,
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
        while let Some(come) = coming.join_next().await {
            let (client, connected, known, failures) = come?.context("a dock")?;
            crowd.docks.push(client);
            crowd.worst_connect = crowd.worst_connect.max(connected);
            crowd.known += usize::from(known);
            crowd.failures += failures;
        }
        crowd.all = start.elapsed();
        Ok(crowd)
    }

    /// Breaks all connections off, as a network does that fails.
    pub(crate) fn drop_all(self) -> anyhow::Result<()> {
        for dock in self.docks {
            // With a reset: otherwise, the ports would be taken for a minute.
            socket2::SockRef::from(&dock.stream).set_linger(Some(Duration::ZERO))?;
        }
        Ok(())
    }
}

/// Lets one dock come: its connection, when it had its CONNACK, and whether the broker had its session.
async fn one(
    address: SocketAddr,
    number: usize,
    kept: bool,
    begun: Instant,
) -> anyhow::Result<(Client, Duration, bool)> {
    let serial = serial(number);
    let (mut client, known) = Client::open(address, &Connect::plain(&serial, !kept), READ_BUFFER).await?;
    let connected = begun.elapsed();
    if !known {
        client.subscribe(&filters(&serial), 1).await?;
    }
    Ok((client, connected, known))
}
