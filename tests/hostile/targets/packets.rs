//! The packet path: up to four connections to a broker inside this process, over streams in memory.
//!
//! Whatever they send, the broker neither panics nor hangs, what it answers follows the specification, and two witnesses
//! go on talking to each other.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use dockgate::access::{Access, Door, Sources};
use dockgate::clock::Clock;
use dockgate::config::{Limits, Listener, Protocol};
use dockgate::hook::{DigestKey, Hook};
use dockgate::ledger::{Ledger, Rules};
use dockgate::metrics::Metrics;
use dockgate::mqtt::listener::Entrance;
use dockgate::mqtt::transport::crowd::Crowd;
use dockgate::mqtt::{self, Broker};
use dockgate::route::Route;
use dockgate::store::Store;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::answer::{Answer, decode};
use super::input::Input;
use super::packet::{Connect, Publish, V5, V31, V311, Version, frame, subscribe};
use super::property::{self, Property, Value};

/// How long anything may take that needs no time at all.
const DEADLINE: Duration = Duration::from_secs(20);
/// Memory of a connection, large enough for all answers to one input: clients that do not read are another matter.
const PIPE: usize = 1 << 20;
/// Everybody may read everything, and publish what is not secret.
const RULES: &str = "topic read #\ntopic write a/#\ntopic write will\ntopic write thing/#\ntopic write witness/#\n";
/// Operations of one input.
const MAX_STEPS: usize = 64;
/// The witnesses speak after so many inputs.
const WITNESS_EVERY: u32 = 32;

/// A broker, and the way into it.
#[derive(Debug, Clone)]
struct Edge {
    broker: Arc<Broker>,
    entrance: Arc<Entrance>,
}

/// A broker, and two clients that must not notice what the others do.
#[derive(Debug)]
pub(crate) struct Bench {
    runtime: Runtime,
    edge: Edge,
    speaker: Client,
    listener: Client,
    runs: u32,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let (edge, speaker, listener) = runtime.block_on(async {
            let edge = edge();
            tokio::spawn(edge.broker.clone().run_deadlines());
            let mut speaker = Client::new(&edge, Some(V5));
            speaker.send(&witness(0).bytes()).await;
            let mut listener = Client::new(&edge, Some(V5));
            listener.send(&witness(1).bytes()).await;
            listener.send(&subscribe(V5, 1, &[], &[("witness/exact", 1), ("witness/+/wild", 1)])).await;
            speaker.expect(|answer| matches!(answer, Answer::Connack(_))).await;
            listener.expect(|answer| matches!(answer, Answer::Suback(1, _))).await;
            (edge, speaker, listener)
        });
        Self { runtime, edge, speaker, listener, runs: 0 }
    }

    /// Plays one input.
    pub(crate) fn run(&mut self, input: &[u8]) {
        let Self { runtime, edge, speaker, listener, runs } = self;
        *runs += 1;
        let is_asked = runs.is_multiple_of(WITNESS_EVERY);
        runtime.block_on(async {
            play(edge, Input::new(input)).await;
            if is_asked {
                testify(speaker, listener, *runs).await;
            }
        });
    }
}

/// A broker with little room in it, so that its bounds are met, and what is secret.
fn edge() -> Edge {
    let limits = Limits {
        connections: 50,
        max_packet_size: 1 << 16,
        sessions: 20,
        retained_messages: 20,
        retained_bytes: 1 << 16,
        subscriptions_per_session: 20,
        wildcard_filters: 30,
        user_properties: 4,
        topic_levels: 8,
        topic_length: 128,
        ..Limits::default()
    };
    let listener = Listener::new(Protocol::Mqtt, SocketAddr::from(([127, 0, 0, 1], 0)));
    Edge { entrance: entrance(&listener, &limits), broker: broker(limits) }
}

/// A broker under [`RULES`].
pub(crate) fn broker(limits: Limits) -> Arc<Broker> {
    let metrics = Arc::new(Metrics::new());
    let rules = Rules { max_gateways: 4, history_total: 8, ..Rules::default() };
    let ledger = Arc::new(Ledger::new(rules));
    let hook = Hook::new(ledger.clone(), metrics.clone(), DigestKey::random());
    let acl = NamedTempFile::new().expect("there is a temporary directory");
    fs::write(&acl, RULES).expect("the temporary file can be written");
    let sources = Sources { acl_file: Some(acl.path().to_owned()), ..Sources::default() };
    let access = Arc::new(Access::open(sources).expect("the rules can be read"));
    let route = Route::start(1).expect("the routing core starts");
    Arc::new(Broker::new(limits, access, metrics, Clock::start(), route, ledger, hook, Store::none()))
}

/// A listener's way in, for everybody.
pub(crate) fn entrance(listener: &Listener, limits: &Limits) -> Arc<Entrance> {
    let door = Door { anonymous: true, role: None };
    let opened = Entrance::open((0, listener), limits, door, Crowd::new(limits));
    Arc::new(opened.expect("there is no file that could be wrong").0)
}

/// What the broker has said to a client.
#[derive(Debug)]
struct Inbox {
    bytes: BytesMut,
    /// None while nobody knows in which version the broker answers.
    version: Option<Version>,
}

impl Inbox {
    /// Takes the whole packets and checks them.
    fn check(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        let Some(version) = self.version else { return answers };
        while let Some((answer, length)) = decode(&self.bytes, version) {
            self.bytes.advance(length);
            let is_secret = matches!(&answer, Answer::Publish(publish) if publish.topic.starts_with("secret"));
            assert!(!is_secret, "{answer:?} was published past the rules");
            answers.push(answer);
        }
        answers
    }
}

/// Its identifier is none that an input could hit upon: then it would be taken over, and rightly so.
fn witness(number: u8) -> Connect {
    Connect::new(V5, &format!("witness-{number}-7d1c6c5e-0c2c-4c09-9c93-2f1f3f0e8a55")).keep_alive(0)
}

/// The far end of a connection.
#[derive(Debug)]
struct Client {
    write: WriteHalf<DuplexStream>,
    read: ReadHalf<DuplexStream>,
    inbox: Inbox,
    served: JoinHandle<()>,
}

impl Client {
    fn new(edge: &Edge, version: Option<Version>) -> Self {
        let (near, far) = tokio::io::duplex(PIPE);
        let (near_read, near_write) = tokio::io::split(near);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let served = tokio::spawn(mqtt::serve(edge.broker.clone(), edge.entrance.clone(), near_read, near_write, peer));
        let (read, write) = tokio::io::split(far);
        Self { write, read, inbox: Inbox { bytes: BytesMut::new(), version }, served }
    }

    async fn send(&mut self, bytes: &[u8]) {
        // The broker may have closed the connection.
        timeout(DEADLINE, self.write.write_all(bytes)).await.expect("the broker reads, or closes").ok();
    }

    /// Waits for this answer; others before it are passed over.
    async fn expect(&mut self, is_it: impl Fn(&Answer) -> bool) {
        timeout(DEADLINE, async {
            while !self.inbox.check().iter().any(&is_it) {
                let read = self.read.read_buf(&mut self.inbox.bytes).await.expect("memory is read");
                assert!(read > 0, "a witness was disconnected");
            }
        })
        .await
        .expect("the broker answers a witness in time");
    }

    /// Ends what it sends, and takes what the broker still says until it is done with the connection.
    async fn end(self) {
        let Self { mut write, mut read, mut inbox, served } = self;
        let last = async {
            write.shutdown().await.ok();
            while read.read_buf(&mut inbox.bytes).await.is_ok_and(|read| read > 0) {}
            served.await.expect("the broker does not panic");
        };
        timeout(DEADLINE, last).await.expect("the broker lets go of a connection that has ended");
        inbox.check();
    }

    /// Is gone from one moment to the next.
    async fn vanish(self) {
        let Self { write, read, served, .. } = self;
        drop((write, read));
        timeout(DEADLINE, served).await.expect("the broker notices").expect("the broker does not panic");
    }
}

/// Carries out an input's operations.
async fn play(edge: &Edge, mut input: Input<'_>) {
    let mut clients: [Option<Client>; 4] = [None, None, None, None];
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let place = usize::from(step & 3);
        match (step >> 2) & 7 {
            // Opens a connection; one that was there before goes.
            0 => {
                let preset = input.byte();
                if let Some(client) = clients[place].take() {
                    client.end().await;
                }
                let connect = connect(place, preset);
                let mut client = Client::new(edge, connect.as_ref().map(|connect| connect.version));
                if let Some(connect) = connect {
                    client.send(&connect.bytes()).await;
                }
                clients[place] = Some(client);
            }
            1 => {
                if let Some(client) = clients[place].take() {
                    client.vanish().await;
                }
            }
            // Lets the broker act on what has come.
            2 => {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
            }
            // Bytes as they are.
            3 => {
                let bytes = input.short();
                if let Some(client) = &mut clients[place] {
                    client.send(bytes).await;
                }
            }
            // A publish of one of the usual topics, the payload as it is.
            4 => {
                let (how, payload) = (input.byte(), input.long());
                if let Some(client) = &mut clients[place] {
                    client.send(&usual(how, payload).bytes(client.inbox.version.unwrap_or(V311))).await;
                }
            }
            // A packet whose remaining length is right.
            _ => {
                let (first, body) = (input.byte(), input.short());
                if let Some(client) = &mut clients[place] {
                    client.send(&frame(first, body)).await;
                }
            }
        }
    }
    for client in clients.into_iter().flatten() {
        client.end().await;
    }
}

/// A CONNECT that is accepted; none where the input brings its own.
fn connect(place: usize, preset: u8) -> Option<Connect> {
    // Two connections may have one identifier.
    let id = if preset & 0x80 != 0 { "shared".to_owned() } else { format!("client-{place}") };
    let number = |id, value| -> Property { (id, Value::Two(value)) };
    let connect = match preset & 7 {
        0 => return None,
        1 => Connect::new(V31, &id),
        2 => Connect::new(V311, &id).will("will", "gone"),
        3 => Connect::persistent(V311, &id),
        4 => Connect::new(V5, &id),
        5 => Connect::persistent(V5, &id).will("will", "gone").change_will(|will| {
            will.retain = preset & 0x08 != 0;
            will.properties.push((property::WILL_DELAY, Value::Four(u32::from(preset & 0x10 != 0))));
        }),
        6 => Connect::persistent(V5, &id)
            .property(number(property::RECEIVE_MAXIMUM, 1))
            .property((property::MAXIMUM_PACKET_SIZE, Value::Four(40))),
        _ => Connect::new(V5, &id).property(number(property::TOPIC_ALIAS_MAXIMUM, 2)),
    };
    Some(if preset & 0x40 != 0 { connect.resuming() } else { connect })
}

/// A publish that the broker has something to do with.
fn usual(how: u8, payload: &[u8]) -> Publish {
    let topic = match how & 7 {
        0 => "a",
        1 => "a/b",
        2 => "thing/product/DOCK/services",
        3 => "thing/product/DOCK/services_reply",
        4 => "thing/product/DOCK/events",
        5 => "thing/product/client-1/events",
        6 => "secret/x",
        _ => "will",
    };
    let qos = ((how >> 3) & 3).min(2);
    let publish = Publish::new(topic, payload).qos(qos, u16::from(how >> 6) + 1);
    if how & 0x20 != 0 { publish.retain() } else { publish }
}

/// One witness publishes; the other gets it by an exact and by a wildcard subscription.
async fn testify(speaker: &mut Client, listener: &mut Client, number: u32) {
    // Brings what is retained there.
    listener.send(&subscribe(V5, 2, &[], &[("secret/#", 0)])).await;
    for topic in ["witness/exact", "witness/is/wild"] {
        let wanted = number.to_string();
        speaker.send(&Publish::new(topic, &wanted).bytes(V5)).await;
        listener.expect(|answer| matches!(answer, Answer::Publish(found) if found.text() == wanted)).await;
    }
}
