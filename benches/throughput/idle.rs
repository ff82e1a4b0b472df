//! What a connected but silent dock costs: memory and time for many clients of six exact subscriptions each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::brokers::Running;
use crate::process;
use crate::wire::Client;

/// Docks that connect at the same time.
const CONCURRENT: usize = 100;
/// Connected first and not counted, so that threads, pools and tables which every broker allocates once are there.
const WARM_UP: usize = 50;
/// Allocators and timers come to rest in this time before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(300);
/// Silent clients receive nothing after their SUBACK.
const READ_BUFFER: usize = 64;

/// Cost of idle docks on one broker.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Idle {
    pub(crate) clients: usize,
    /// Until all were connected and subscribed.
    pub(crate) seconds: f64,
    /// Growth of resident memory a connection.
    pub(crate) kib_per_client: Option<f64>,
    pub(crate) resident_mib: Option<f64>,
    pub(crate) broker_cpu_seconds: Option<f64>,
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

/// Connects `clients` docks to the broker, measures, and lets them go.
pub(crate) async fn run(clients: usize, broker: &mut Running) -> anyhow::Result<Idle> {
    let _warm = connect(0..WARM_UP, broker).await?;
    tokio::time::sleep(SETTLE).await;
    let before = broker.pid.map(process::resident_kib).transpose()?;
    let cpu_before = broker.pid.map(process::cpu_time).transpose()?;
    let start = Instant::now();
    let _docks = connect(WARM_UP..WARM_UP + clients, broker).await?;
    let seconds = start.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    if let Some(how) = broker.ended() {
        anyhow::bail!("the broker {how}");
    }
    let after = broker.pid.map(process::resident_kib).transpose()?;
    let cpu_after = broker.pid.map(process::cpu_time).transpose()?;
    Ok(Idle {
        clients,
        seconds,
        kib_per_client: before.zip(after).map(|(before, after)| (after as f64 - before as f64) / clients as f64),
        resident_mib: after.map(|kib| kib as f64 / 1024.0),
        broker_cpu_seconds: cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before).as_secs_f64()),
    })
}

async fn connect(numbers: std::ops::Range<usize>, broker: &Running) -> anyhow::Result<Vec<Client>> {
    let turns = Arc::new(Semaphore::new(CONCURRENT));
    let address = broker.address;
    let mut connecting = JoinSet::new();
    for number in numbers {
        let turns = Arc::clone(&turns);
        connecting.spawn(async move {
            let _turn = turns.acquire().await?;
            let serial = format!("8UUXN{number:09}"); // the shape of a Dock 3's serial number
            let mut client = Client::connect(address, &serial, READ_BUFFER).await?;
            client.subscribe(&dock_filters(&serial), 1).await?;
            anyhow::Ok(client)
        });
    }
    let all = async {
        let mut clients = Vec::new();
        while let Some(client) = connecting.join_next().await {
            clients.push(client??);
        }
        anyhow::Ok(clients)
    };
    tokio::time::timeout(DEADLINE, all)
        .await
        .with_context(|| format!("the clients were not connected within {DEADLINE:?}"))?
}
