//! What sessions cost: the memory of an idle connection, and of a session whose client is away while its queue fills.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use dockgate::bench::Version;
use tokio::time::{sleep, timeout};

use crate::brokers::Broker;
use crate::client::Client;
use crate::client::packet::{self, Connect, DISCONNECT, Message, PUBACK, PUBLISH};
use crate::plot::{self, Bar, Bars, Group};
use crate::subject::Subject;

/// Sessions of clients that are away.
const SESSIONS: usize = 100;
/// Messages for each of them.
const MESSAGES: usize = 1000;
const PAYLOAD: [u8; 256] = [b'x'; 256];
const CONNECTIONS: usize = 1000;
/// Connected first and not counted, so that what every broker allocates once is there.
const WARM_UP: usize = 50;
/// Messages that a publisher may have unacknowledged.
const WINDOW: usize = 100;
/// Allocators come to rest in this time before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// Nothing comes any more after this time.
const SILENCE: Duration = Duration::from_secs(3);

/// Figures of one broker.
#[derive(Debug, Default)]
struct Cost {
    kib_a_connection: Option<f64>,
    kib_a_session: Option<f64>,
    notes: Vec<String>,
}

/// Measures brokers, prints a table and draws it.
pub(crate) async fn measure(brokers: &[Broker], quick: bool, svg: Option<&Path>) -> anyhow::Result<()> {
    let scale = if quick { 10 } else { 1 };
    let (connections, sessions, messages) = (CONNECTIONS / scale, SESSIONS / scale, MESSAGES / scale);
    println!(
        "{:<10}  {:>20}  KiB/session of {messages} messages of {} B",
        "broker",
        "KiB/idle connection",
        PAYLOAD.len()
    );
    let mut costs = Vec::new();
    for broker in brokers {
        let mut cost = Cost::default();
        match timeout(PATIENCE, idle(broker, connections)).await.context("idle connections took too long")? {
            Ok(kib) => cost.kib_a_connection = Some(kib),
            Err(error) => cost.notes.push(format!("{error:#}")),
        }
        match timeout(PATIENCE, queues(broker, sessions, messages)).await {
            Ok(Ok((kib, arrived))) => {
                cost.kib_a_session = Some(kib);
                if arrived != sessions * messages {
                    cost.notes.push(format!("{arrived} of {} messages were kept", sessions * messages));
                }
            }
            Ok(Err(error)) => cost.notes.push(format!("{error:#}")),
            Err(_) => cost.notes.push(format!("full queues: given up after {PATIENCE:?}")),
        }
        let text = |kib: Option<f64>| kib.map_or("-".to_owned(), |kib| format!("{kib:.1}"));
        let (connection, session) = (text(cost.kib_a_connection), text(cost.kib_a_session));
        println!("{:<10}  {connection:>20}  {session:>12}  {}", broker.name(), cost.notes.join("; "));
        costs.push(cost);
    }
    ensure!(costs.iter().any(|cost| cost.kib_a_session.is_some()), "no broker answered");
    match svg {
        Some(path) => draw(path, brokers, &costs, messages),
        None => Ok(()),
    }
}

fn draw(path: &Path, brokers: &[Broker], costs: &[Cost], messages: usize) -> anyhow::Result<()> {
    let bar = |kib: f64| Bar { min: kib, median: kib, max: kib };
    let group = |name: String, of: fn(&Cost) -> Option<f64>| Group {
        name,
        bars: costs.iter().map(|cost| of(cost).map(bar)).collect(),
    };
    let chart = Bars {
        title: "Memory of connections and sessions".to_owned(),
        unit: "KiB each".to_owned(),
        log: true,
        series: brokers.iter().map(|broker| broker.name().to_owned()).collect(),
        groups: vec![
            group("an idle connection".to_owned(), |cost| cost.kib_a_connection),
            group(format!("a session with {messages} messages of 256 B"), |cost| cost.kib_a_session),
        ],
    };
    plot::bars(path, &chart)
}

fn subject(broker: &Broker) -> anyhow::Result<Subject> {
    let mut subject = Subject::peer(broker)?;
    match subject.ended() {
        Some(how) => bail!("the broker {how}"),
        None => Ok(subject),
    }
}

/// KiB of an idle connection without subscriptions.
async fn idle(broker: &Broker, connections: usize) -> anyhow::Result<f64> {
    let subject = subject(broker)?;
    let mut clients = Vec::new();
    let mut before = 0;
    for number in 0..WARM_UP + connections {
        if number == WARM_UP {
            sleep(SETTLE).await;
            before = subject.memory()?.resident;
        }
        clients.push(Client::open_clean(subject.address, &format!("idle-{number}"), 64).await?);
    }
    sleep(SETTLE).await;
    Ok((subject.memory()?.resident as f64 - before as f64) / connections as f64)
}

/// KiB of a session whose queue has filled while its client was away, and how many messages were there at the end.
async fn queues(broker: &Broker, sessions: usize, messages: usize) -> anyhow::Result<(f64, usize)> {
    let subject = subject(broker)?;
    let _warm = Client::open_clean(subject.address, "warm", 64).await?;
    for session in 0..sessions {
        let (mut client, _) = open(&subject, session).await?;
        client.subscribe(&[topic(session)], 1).await?;
        client.send(&DISCONNECT).await?;
    }
    sleep(SETTLE).await;
    let before = subject.memory()?.resident;
    fill(&subject, sessions, messages).await?;
    sleep(SETTLE).await;
    let kib = (subject.memory()?.resident as f64 - before as f64) / sessions as f64;
    let mut arrived = 0;
    for session in 0..sessions {
        let (client, _) = open(&subject, session).await?;
        arrived += drain(client, messages).await?;
    }
    Ok((kib, arrived))
}

fn topic(session: usize) -> String {
    format!("sessions/{session:03}")
}

async fn open(subject: &Subject, session: usize) -> anyhow::Result<(Client, bool)> {
    let client_id = &format!("away-{session:03}");
    Client::open(subject.address, &Connect::plain(client_id, false), 64 * 1024).await
}

/// Publishes at QoS 1 to every session in turn.
async fn fill(subject: &Subject, sessions: usize, messages: usize) -> anyhow::Result<()> {
    let mut publisher = Client::open_clean(subject.address, "filler", 4096).await?;
    let (mut sent, mut acknowledged) = (0, 0);
    let total = sessions * messages;
    while acknowledged < total {
        let mut bytes = Vec::new();
        while sent < total && sent < acknowledged + WINDOW {
            let topic = topic(sent % sessions);
            let message = Message { topic: &topic, payload: &PAYLOAD, qos: 1, retain: false };
            let identifier = u16::try_from(sent % 65_535)? + 1;
            bytes.extend(packet::publish(Version::V311, identifier, &message));
            sent += 1;
        }
        publisher.send(&bytes).await?;
        publisher.fill().await?;
        while let Some(packet) = publisher.reader.next()? {
            ensure!(packet.kind() == PUBACK, "got a packet of type {:#04x} instead of a PUBACK", packet.first);
            acknowledged += 1;
        }
    }
    Ok(())
}

/// Takes what is queued, and says how much that was.
async fn drain(mut client: Client, messages: usize) -> anyhow::Result<usize> {
    let mut arrived = 0;
    loop {
        let mut answers = Vec::new();
        while let Some(packet) = client.reader.next()? {
            if packet.kind() == PUBLISH {
                arrived += 1;
                let identifier = packet.identifier().context("a PUBLISH without its identifier")?;
                answers.extend(packet::acknowledgement(PUBACK, identifier));
            }
        }
        client.send(&answers).await?;
        let is_over = arrived >= messages;
        if is_over || timeout(SILENCE, client.fill()).await.is_err() {
            return Ok(arrived);
        }
    }
}
