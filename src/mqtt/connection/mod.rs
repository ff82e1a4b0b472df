//! One connection: a task that reads packets, acts on them, and writes what its session has for the client.
//!
//! One loop does both directions, so that a client which only writes is still acknowledged and one which only reads
//! is still served. It stops reading while the client doesn't take its answers, and while a message of its own waits
//! for room: that is how a fast publisher is slowed down. Packets are read and written in batches: one system call
//! moves as many as there are.

mod ending;
mod output;

use super::account;
use super::actions::Turn;
use super::aliases::OwnAliases;
use super::broker::Broker;
use super::client::Client;
use super::connect::Hello;
use super::fault::Fault;
use super::held::Held;
use super::link::{Kick, Link};
use super::pace::Pace;
use super::session::Session;
use super::subscriptions::Subscribing;
use super::wire;
use crate::access::{Identity, Rights};
use crate::config::Limits;
use crate::message::Message;
use crate::metrics::Version;
use crate::route::{Batch, Subscriber};
use ahash::AHashMap;
use bytes::{Buf, BytesMut};
use bytestring::ByteString;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until};

/// Output of which a client has taken nothing, above which nothing more is read from it.
const OUTPUT_LIMIT: usize = 256 << 10;
/// Memory for the messages of one batch, which lives as long as the last of them: small enough for a queue that holds
/// one of each batch.
const ARENA: usize = 4 << 10;
/// Topic aliases that a client gets, if it wants as many: a dock has a handful of topics.
const OWN_ALIASES: u16 = 16;
/// Smallest and largest read.
pub(super) const READ_MIN: usize = 1 << 10;
const READ_MAX: usize = 64 << 10;

/// How often a client is told something, without a rest, before it is listened to.
const TOLD: u32 = 64;

/// The type of a PUBLISH packet (2.1.2).
const PUBLISH: u8 = 3;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// DISCONNECT.
    Client {
        expiry_ms: Option<u64>,
        with_will: bool,
    },
    /// The socket closed.
    Closed,
    Io(io::Error),
    Fault(Fault),
    KeepAlive,
    WriteTimeout,
    Kicked(Kick),
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What came of acting on the input.
struct Taken {
    /// Packets are left.
    left: bool,
    /// What there is to wait for before more can be taken.
    waiting: Option<Waiting>,
    /// The client has acknowledged something: messages may wait for that.
    window_opens: bool,
    /// So much has been delivered that others should have their turn.
    is_long: bool,
}

/// A connection after its CONNACK.
pub(super) struct Connection<R, W> {
    pub(super) broker: Arc<Broker>,
    pub(super) session: Arc<Session>,
    link: Arc<Link>,
    pub(super) identity: Arc<Identity>,
    pub(super) rights: Arc<Rights>,
    pub(super) limits: Arc<Limits>,
    /// What the ledger knows the client by.
    pub(super) presence: ByteString,
    /// The version of the access rules that `rights` are of.
    rules_version: u64,
    pub(super) version: Version,
    pub(super) problem_info: bool,
    /// One and a half times the keep-alive (MQTT-3.1.2-22).
    patience: Option<Duration>,
    read: R,
    write: W,
    input: BytesMut,
    unfinished: account::Held,
    pub(super) output: BytesMut,
    unwritten: account::Held,
    /// What comes into the output when something is safe.
    pub(super) held: Held,
    /// The most that `output` has held since its memory was last given back or it was empty.
    output_peak: usize,
    /// The client has read large output before: it may use the part of the account that those who do not read leave.
    has_read_large: bool,
    /// When to see whether there is room for the large message that is next.
    room_check: Option<Instant>,
    /// Topic aliases that the client has defined.
    pub(super) aliases: AHashMap<u16, ByteString>,
    /// Topic aliases that the broker has defined for the client.
    own_aliases: OwnAliases,
    /// A SUBSCRIBE that is not done yet; what came after it waits.
    pub(super) subscribing: Option<Box<Subscribing>>,
    /// What this client has published and the route has not taken yet.
    pub(super) batch: Batch,
    pace: Pace,
    /// Until when nothing is read, because the client is over its pace.
    paused_until: Option<Instant>,
    /// Packets put into `output`, or held, since they were last counted.
    pub(super) packets_out: u64,
    last_read: Instant,
    /// When the client must have taken something of `output`.
    write_deadline: Option<Instant>,
    next_read: usize,
}

impl<R, W> Connection<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    #[expect(clippy::too_many_arguments, reason = "the one place where a connection is put together")]
    pub(super) fn new(
        broker: Arc<Broker>,
        read: R,
        write: W,
        input: BytesMut,
        output: BytesMut,
        hello: &Hello,
        who: Client,
        session: Arc<Session>,
        link: Arc<Link>,
    ) -> Self {
        let pace = Pace::new(&who.limits, Instant::now());
        let unfinished = account::Held::new(&broker.unfinished);
        let unwritten = account::Held::new(&broker.unwritten);
        // First the version, then the rights: they are of this one or of a later one.
        let rules_version = broker.rules_version.load(Acquire);
        let rights = session.rights(&link).unwrap_or(who.rights);
        let batch = broker.batch(session.key());
        let patience = (hello.keep_alive > 0).then(|| Duration::from_millis(u64::from(hello.keep_alive) * 1500));
        Self {
            broker,
            session,
            link,
            identity: who.identity,
            rights,
            limits: who.limits,
            presence: who.presence,
            rules_version,
            version: hello.terms.version,
            problem_info: hello.problem_info,
            patience,
            read,
            write,
            input,
            unfinished,
            output,
            unwritten,
            held: Held::default(),
            output_peak: 0,
            has_read_large: false,
            room_check: None,
            aliases: AHashMap::new(),
            own_aliases: OwnAliases::new(hello.terms.topic_alias_max.min(OWN_ALIASES)),
            subscribing: None,
            batch,
            pace,
            paused_until: None,
            last_read: Instant::now(),
            packets_out: 0,
            write_deadline: None,
            next_read: READ_MIN,
        }
    }

    /// Serves the client until one of the two has enough.
    pub(super) async fn run(&mut self) -> End {
        let timer = sleep_until(self.next_check());
        // Registered once a message at most, and not with every turn of the loop.
        let link = self.link.clone();
        let woken = link.wake.notified();
        tokio::pin!(timer, woken);
        let mut told = 0;
        let mut waiting: Option<Waiting> = None;
        let mut settling: Option<Waiting> = None;
        let (mut parse, mut fetch) = (!self.input.is_empty(), true);
        loop {
            if let Some(kick) = self.link.kicked() {
                return End::Kicked(kick);
            }
            self.go_on_subscribing();
            let is_free = self.subscribing.is_none() && waiting.is_none() && self.paused_until.is_none();
            if parse && is_free && self.takes_more() {
                match self.take_turn() {
                    Ok(taken) => {
                        (parse, waiting) = (taken.left, taken.waiting);
                        fetch |= taken.window_opens;
                        if taken.is_long {
                            tokio::task::yield_now().await;
                        }
                    }
                    Err(end) => return end,
                }
            }
            if fetch && self.has_room_for_more() {
                fetch = self.fetch();
            }
            if settling.is_none() {
                settling = self.held.next().map(|ticket| self.settle(ticket));
            }
            self.watch_output(timer.as_mut());
            for at in [self.paused_until, self.room_check].into_iter().flatten() {
                if at < timer.deadline() {
                    timer.as_mut().reset(at);
                }
            }
            let is_free = self.subscribing.is_none() && waiting.is_none() && self.paused_until.is_none();
            let takes_more = is_free && self.takes_more();
            let (goes_on, readable) = (takes_more && parse, takes_more && !parse);
            // Who always has something to hear is listened to all the same.
            let listens = told >= TOLD;
            if listens {
                told = 0;
            }
            let writable = !self.output.is_empty() && !listens;
            if readable {
                self.input.reserve(self.next_read);
            } else {
                // The client may be speaking; it is we who don't listen. The write deadline watches over it.
                self.last_read = Instant::now();
            }
            tokio::select! {
                biased;
                written = self.write.write_buf(&mut self.output), if writable => match written {
                    Ok(0) => return End::Closed,
                    Ok(bytes) => {
                        told += 1;
                        self.wrote(bytes);
                        fetch |= self.room_check.take().is_some();
                    }
                    Err(error) => return End::Io(error),
                },
                // Before reading: who always has something to say is told something all the same.
                () = woken.as_mut(), if !listens => {
                    told += 1;
                    woken.set(link.wake.notified());
                    fetch = true;
                }
                read = self.read.read_buf(&mut self.input), if readable => match read {
                    Ok(0) => return End::Closed,
                    Ok(bytes) => {
                        self.have_read(bytes);
                        parse = true;
                    }
                    Err(error) => return End::Io(error),
                },
                () = wait(&mut waiting), if waiting.is_some() => waiting = self.send_batch(),
                () = wait(&mut settling), if settling.is_some() => {
                    settling = None;
                    self.release_held();
                    fetch = true;
                }
                // Others first.
                () = tokio::task::yield_now(), if self.subscribing.is_some() || goes_on || listens => {}
                () = timer.as_mut() => {
                    if let Some(end) = self.check_deadlines(timer.as_mut(), readable) {
                        return end;
                    }
                    fetch |= self.room_check.take_if(|at| *at <= Instant::now()).is_some();
                }
                // Never ready, and polled when nothing else was: the client has had all that there is.
                () = poll_fn(|_| { told = 0; Poll::Pending }) => {}
            }
        }
    }

    /// Whether the client may be read: it takes its answers, and they can be given.
    fn takes_more(&self) -> bool {
        self.output.len() < OUTPUT_LIMIT && !self.held.is_full()
    }

    /// Acts on the input, and hands what was published to the route.
    fn take_turn(&mut self) -> Result<Taken, End> {
        let mut turn = Turn::default();
        let (left, waiting, is_long) = {
            // That a QoS 2 message has come, and all that it brought about, is safe together or not at all: half of it
            // would be lost, or would come twice, when it is sent again.
            let store = self.session.is_durable().then(|| self.broker.store.clone());
            let _scope = store.as_ref().map(|store| store.scope());
            let left = self.take_packets(&mut turn);
            let is_long = self.batch.is_long();
            let waiting = self.send_batch();
            self.acknowledge(&mut turn);
            (left, waiting, is_long)
        };
        turn.traffic.report_received(&self.broker.metrics);
        self.broker.metrics.packets_in(turn.packets);
        Ok(Taken { left: left?, waiting, window_opens: turn.window_opens, is_long })
    }

    /// Acts on the whole packets in the input. Says whether some are left, for which there was no room.
    fn take_packets(&mut self, turn: &mut Turn) -> Result<bool, End> {
        let input = std::mem::take(&mut self.input);
        let (mut at, mut left) = (0, false);
        let max_size = self.limits.max_packet_size as usize;
        let rules_version = self.broker.rules_version.load(Acquire);
        if rules_version != self.rules_version {
            self.rules_version = rules_version;
            if let Some(rights) = self.session.rights(&self.link) {
                self.rights = rights;
            }
        }
        let result = loop {
            let frame = match wire::next_frame(&input[at..], max_size) {
                Ok(Some(frame)) => frame,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(End::Fault(fault)),
            };
            let waits = self.batch.is_pressed()
                || self.batch.is_long()
                || self.subscribing.is_some()
                || self.paused_until.is_some();
            if waits || !self.takes_more() {
                left = true;
                break Ok(());
            }
            let length = frame.bytes.len();
            at += length;
            turn.packets += 1;
            if self.pace.is_limited() {
                self.keep_pace(usize::from(frame.first_byte >> 4 == PUBLISH), length);
            }
            // A message is at most so much larger than its packet: one allocation serves several small ones.
            let room = length + Message::OVERHEAD;
            if turn.arena.capacity() < room {
                let all = input.len() - at + room;
                turn.arena = BytesMut::with_capacity(all.min(ARENA).max(room));
            }
            let user_properties = self.limits.user_properties;
            let packet = wire::decode(frame, self.version, user_properties).map_err(End::Fault);
            if let Err(end) = packet.and_then(|packet| self.act(packet, turn)) {
                break Err(end);
            }
        };
        self.input = input;
        self.input.advance(at);
        if self.input.is_empty() && self.input.capacity() > 4 * self.next_read {
            self.input = BytesMut::new();
        }
        // What is left behind a packet that waits is not unfinished, and is bounded anyway.
        let has_room = self.unfinished.has_room(if left { 0 } else { self.input.len() });
        if has_room { result.map(|()| left) } else { result.and(Err(End::Fault(Fault::UNFINISHED))) }
    }

    /// Pauses reading if the client has sent more than it may.
    fn keep_pace(&mut self, messages: usize, bytes: usize) {
        if let Some((until, limit)) = self.pace.spend(messages, bytes, Instant::now()) {
            self.paused_until = Some(until);
            self.broker.metrics.limit_hit(limit);
        }
    }

    /// Hands the batch to the route; what there is to wait for before the next.
    fn send_batch(&mut self) -> Option<Waiting> {
        let wait = self.broker.send(&mut self.batch)?;
        Some(Box::pin(wait.over()))
    }

    fn have_read(&mut self, bytes: usize) {
        self.last_read = Instant::now();
        self.broker.metrics.bytes_in(bytes as u64);
        // Read more at a time from who sends more at a time.
        if bytes >= self.next_read {
            self.next_read = (self.next_read * 4).min(READ_MAX);
        } else if bytes < self.next_read / 8 {
            self.next_read = (self.next_read / 2).max(READ_MIN);
        }
    }

    fn check_deadlines(&mut self, timer: Pin<&mut Sleep>, readable: bool) -> Option<End> {
        let now = Instant::now();
        self.paused_until = self.paused_until.filter(|until| *until > now);
        if !readable {
            // Not its silence: nobody has listened.
            self.last_read = now;
        }
        if self.patience.is_some_and(|patience| self.last_read + patience <= now) {
            return Some(End::KeepAlive);
        }
        if self.write_deadline.is_some_and(|deadline| deadline <= now) {
            return Some(End::WriteTimeout);
        }
        timer.reset(self.next_check());
        None
    }

    fn next_check(&self) -> Instant {
        let never = Instant::now() + Duration::from_secs(365 * 24 * 3600);
        let silence = self.patience.map_or(never, |patience| self.last_read + patience);
        self.write_deadline.map_or(silence, |deadline| deadline.min(silence))
    }
}

async fn wait(waiting: &mut Option<Waiting>) {
    match waiting {
        Some(waiting) => waiting.await,
        None => std::future::pending().await,
    }
}
