//! What connections cost: the time until each is accepted, and the broker's memory for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::Client;
use super::crowd::each;
use super::schedule::Schedule;
use super::tally::{Tally, nanos};
use super::target::Target;
use super::{BenchError, process};
use crate::sim::fleet::Version;

/// Connected first and not counted, so that threads, pools and tables which every broker allocates once are there.
const WARM_UP: usize = 50;
/// Allocators and timers come to rest in this time before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// Longer than any broker with a usual backlog takes for a connection that was asked for.
const DEADLINE: Duration = Duration::from_secs(60);
/// Silent clients receive nothing after their SUBACK.
const READ_BUFFER: usize = 64;

/// What a run about connections found out.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) tally: Arc<Tally>,
    /// Until the last was accepted.
    pub(super) elapsed: Duration,
    /// From when each was due to its CONNACK; nothing if they came as fast as they could.
    pub(super) lateness: Option<Histogram<u64>>,
    /// Growth of resident memory.
    pub(super) grown_kib: Option<i64>,
    /// Still connected.
    _clients: Vec<Client>,
}

/// Who is connected, before and while the others are.
async fn warm_up(target: &Target, version: Version, run: &str) -> Result<Vec<Client>, BenchError> {
    let clients = each(WARM_UP, |number| connect(target.clone(), version, format!("bench-{run}-w{number}")));
    let clients = clients.await?;
    tokio::time::sleep(SETTLE).await;
    Ok(clients)
}

async fn connect(target: Target, version: Version, id: String) -> Result<Client, BenchError> {
    let late = |_| BenchError::Late { what: "a CONNACK", within: DEADLINE };
    tokio::time::timeout(DEADLINE, Client::connect(&target, version, id, READ_BUFFER)).await.map_err(late)?
}

fn resident(target: &Target) -> Option<u64> {
    process::resident_kib(target.pid?).ok()
}

/// By how much memory has grown, once it has come to rest.
async fn growth(target: &Target, before: Option<u64>) -> Option<i64> {
    tokio::time::sleep(SETTLE).await;
    let (before, after) = before.zip(resident(target))?;
    Some(after as i64 - before as i64)
}

/// Connects so many clients, at so many a second. `begin` is called once the first ones, which do not count, are there.
pub(super) async fn by_the_clock(
    target: &Target,
    version: Version,
    run: &str,
    (count, rate): (u32, u32),
    begin: impl FnOnce(),
) -> Result<Connected, BenchError> {
    let mut clients = warm_up(target, version, run).await?;
    let before = resident(target);
    begin();
    let start = Instant::now() + Duration::from_millis(10);
    let schedule = Schedule::new(start, rate.into(), 1, Duration::ZERO);
    let tally = Arc::new(Tally::new(start));
    let (tell, mut due) = mpsc::unbounded_channel();
    let clock = tokio::task::spawn_blocking(move || schedule.keep(count.into(), |number| tell.send(number).is_ok()));
    let mut connecting = JoinSet::new();
    while let Some(number) = due.recv().await {
        let (target, tally) = (target.clone(), Arc::clone(&tally));
        let id = format!("bench-{run}-c{number}");
        connecting.spawn(async move {
            let client = connect(target, version, id).await.inspect_err(|error| tally.fault(error)).ok()?;
            let now = Instant::now();
            tally.latencies.lock().saturating_record(nanos(now.saturating_duration_since(schedule.due(number))));
            tally.receive(1, now);
            Some(client)
        });
    }
    clients.extend(connecting.join_all().await.into_iter().flatten());
    let lateness = clock.await.map_err(|error| BenchError::Own(error.to_string()))?;
    let grown_kib = growth(target, before).await;
    Ok(Connected { elapsed: tally.elapsed(), tally, lateness: Some(lateness), grown_kib, _clients: clients })
}

/// Connects so many docks with their subscriptions, some of them at a time.
pub(super) async fn idle_docks(
    target: &Target,
    version: Version,
    run: &str,
    count: u32,
    begin: impl FnOnce(),
) -> Result<Connected, BenchError> {
    let mut clients = warm_up(target, version, run).await?;
    let before = resident(target);
    begin();
    let tally = Arc::new(Tally::new(Instant::now()));
    let docks = each(count as usize, |number| {
        let (target, tally) = (target.clone(), Arc::clone(&tally));
        let serial = format!("8UUXN{run}{number:06}"); // the beginning of a Dock 3's serial number
        async move {
            let mut client = connect(target, version, serial.clone()).await?;
            client.subscribe(&dock_filters(&serial), 1).await?;
            tally.receive(1, Instant::now());
            Ok(client)
        }
    });
    clients.extend(docks.await?);
    let grown_kib = growth(target, before).await;
    Ok(Connected { elapsed: tally.elapsed(), tally, lateness: None, grown_kib, _clients: clients })
}

/// The topics that a dock subscribes to, as in DJI's topic definition.
fn dock_filters(serial: &str) -> Vec<String> {
    vec![
        format!("thing/product/{serial}/services"),
        format!("thing/product/{serial}/events_reply"),
        format!("thing/product/{serial}/requests_reply"),
        format!("thing/product/{serial}/property/set"),
        format!("thing/product/{serial}/drc/down"),
        format!("sys/product/{serial}/status_reply"),
    ]
}
