//! One connection: a task that reads packets, acts on them, and writes what its session has for the client.
//!
//! One loop does both directions, so that a client which only writes is still acknowledged and one which only reads
//! is still served. It stops reading while the client doesn't take its answers, and while a message of its own waits
//! for room: that is how a fast publisher is slowed down. Packets are read and written in batches: one system call
//! moves as many as there are.

use super::aliases::OwnAliases;
use super::broker::{Accepted, Broker};
use super::connect::{self, Hello, Refusal};
use super::encode::{self, Ack, PublishHeader};
use super::fault::Fault;
use super::inflight::Received;
use super::listener::Place;
use super::session::{Kick, Link, Outgoing, Session};
use super::sessions::Ending;
use super::topic;
use super::traffic::Traffic;
use super::wire::{self, Packet, Publish};
use crate::access::Identity;
use crate::logging::RateLimit;
use crate::message::{Message, NEVER, Parts, QoS};
use crate::metrics::{ConnectRefusal, Disconnect, Version};
use crate::route::{Batch, Subscriber};
use ahash::AHashMap;
use bytes::{Buf, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::v3;
use rmqtt_codec::v5::{self, DisconnectReasonCode, SubscribeAckReason};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Output that is gathered before it is written; with more than this, the queue is left where it is.
const OUTPUT_TARGET: usize = 64 << 10;
/// Output of which a client has taken nothing, above which nothing more is read from it.
const OUTPUT_LIMIT: usize = 256 << 10;
/// Packets fetched from the session at a time.
const FETCH: usize = 64;
/// Memory for the messages of one batch, which lives as long as the last of them: small enough for a queue that holds
/// one of each batch.
const ARENA: usize = 4 << 10;
/// Topic aliases that a client gets, if it wants as many: a dock has a handful of topics.
const OWN_ALIASES: u16 = 16;
/// Smallest and largest read.
const READ_MIN: usize = 1 << 10;
const READ_MAX: usize = 64 << 10;
/// How long a client may take for its last bytes when the broker closes.
const FAREWELL: Duration = Duration::from_secs(2);
/// CONNECT holds five strings of at most 64 KiB and properties: none is larger than this.
const CONNECT_MAX: usize = 1 << 20;

/// Why a connection ended.
#[derive(Debug)]
enum End {
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

/// Serves one client from CONNECT to the end.
pub(super) async fn serve<R, W>(broker: Arc<Broker>, mut read: R, write: W, peer: SocketAddr, place: Option<Place>)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut input = BytesMut::new();
    let deadline = broker.limits.connect_timeout;
    let first = tokio::select! {
        first = timeout(deadline, handshake(&broker, &mut read, &mut input)) => first,
        () = broker.stopping.cancelled() => Ok(Err(Refusal::silent(ConnectRefusal::Unavailable, "the broker stops"))),
    };
    let hello = match first {
        Ok(Ok(hello)) if place.is_none() => Err(Refusal::busy(hello.terms.version)),
        Ok(hello) => hello,
        Err(_) => Err(Refusal::silent(ConnectRefusal::Timeout, "no CONNECT within limits.connect_timeout")),
    };
    let joined = hello.and_then(|hello| match broker.join(&hello.client_id, hello.clean, hello.terms.clone()) {
        Ok(joined) => Ok((hello, joined)),
        Err(_) => Err(Refusal::busy(hello.terms.version)),
    });
    let (hello, (joined, old_will)) = match joined {
        Ok(joined) => joined,
        Err(refusal) => {
            drop(place);
            return refuse(&broker, read, write, peer, refusal).await;
        }
    };
    if let Some(will) = old_will {
        broker.publish_will(&hello.client_id, will).await;
    }
    let version = hello.terms.version;
    broker.metrics.connected(version);
    tracing::debug!(%peer, client = &hello.client_id[..], protocol = version.as_str(), "connected");

    let mut output = BytesMut::new();
    hello.accept(joined.present, &broker, &mut output);
    let mut connection = Connection::new(broker, read, write, input, output, &hello, joined.session, joined.link);
    let end = connection.run().await;
    connection.finish(peer, end, place).await;
}

async fn refuse<R, W>(broker: &Broker, mut read: R, mut write: W, peer: SocketAddr, refusal: Refusal)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    static REFUSED: RateLimit = RateLimit::per_second(5);
    broker.metrics.refused(refusal.why);
    if !matches!(refusal.why, ConnectRefusal::Closed)
        && let Some(suppressed) = REFUSED.allow()
    {
        tracing::info!(%peer, reason = refusal.why.as_str(), suppressed, "connection refused: {}", refusal.text);
    }
    let mut output = BytesMut::new();
    refusal.encode(&mut output);
    farewell(&mut read, &mut write, &mut output).await;
}

/// Sends the last bytes and closes; then takes what the client still sends until it closes too. Without that the
/// system answers it with a reset, on which the client's side throws away what it has not read: our reason code.
async fn farewell<R, W>(read: &mut R, write: &mut W, output: &mut BytesMut)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let last = async {
        write.write_all_buf(output).await?;
        write.shutdown().await?;
        let mut discarded = [0; 512];
        while read.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    let _gone = timeout(FAREWELL, last).await;
}

/// Reads until CONNECT is whole; what comes after it stays in `input`.
async fn handshake<R: AsyncRead + Unpin>(
    broker: &Broker,
    read: &mut R,
    input: &mut BytesMut,
) -> Result<Hello, Refusal> {
    let max_size = CONNECT_MAX.min(broker.limits.max_packet_size as usize);
    loop {
        // Whoever doesn't begin with CONNECT need not be listened to any longer.
        if input.first().is_some_and(|byte| byte >> 4 != 1) {
            return Err(Refusal::silent(ConnectRefusal::NotConnect, "the first packet is not CONNECT"));
        }
        match wire::next_frame(input, max_size) {
            Ok(Some(frame)) => {
                let length = frame.bytes.len();
                let hello = connect::read(frame, broker);
                input.advance(length);
                return hello;
            }
            Ok(None) => {}
            Err(fault) => return Err(Refusal::silent(ConnectRefusal::TooLarge, fault.why)),
        }
        input.reserve(READ_MIN);
        match read.read_buf(input).await {
            Ok(0) | Err(_) => return Err(Refusal::silent(ConnectRefusal::Closed, "closed before CONNECT")),
            Ok(bytes) => broker.metrics.bytes_in(bytes as u64),
        }
    }
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection after its CONNACK.
struct Connection<R, W> {
    broker: Arc<Broker>,
    session: Arc<Session>,
    link: Arc<Link>,
    identity: Identity,
    version: Version,
    problem_info: bool,
    /// One and a half times the keep-alive (MQTT-3.1.2-22).
    patience: Option<Duration>,
    read: R,
    write: W,
    input: BytesMut,
    output: BytesMut,
    /// Topic aliases that the client has defined.
    aliases: AHashMap<u16, ByteString>,
    /// Topic aliases that the broker has defined for the client.
    own_aliases: OwnAliases,
    /// What this client has published and the route has not taken yet.
    batch: Batch,
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
    fn new(
        broker: Arc<Broker>,
        read: R,
        write: W,
        input: BytesMut,
        output: BytesMut,
        hello: &Hello,
        session: Arc<Session>,
        link: Arc<Link>,
    ) -> Self {
        let patience = (hello.keep_alive > 0).then(|| Duration::from_millis(u64::from(hello.keep_alive) * 1500));
        Self {
            broker,
            session,
            link,
            identity: Identity { client_id: hello.client_id.clone() },
            version: hello.terms.version,
            problem_info: hello.problem_info,
            patience,
            read,
            write,
            input,
            output,
            aliases: AHashMap::new(),
            own_aliases: OwnAliases::new(hello.terms.topic_alias_max.min(OWN_ALIASES)),
            batch: Batch::default(),
            last_read: Instant::now(),
            write_deadline: None,
            next_read: READ_MIN,
        }
    }

    async fn run(&mut self) -> End {
        let timer = sleep_until(self.next_check());
        tokio::pin!(timer);
        let mut waiting: Option<Waiting> = None;
        let (mut parse, mut fetch) = (!self.input.is_empty(), true);
        loop {
            if let Some(kick) = self.link.kicked() {
                return End::Kicked(kick);
            }
            if parse && waiting.is_none() && self.output.len() < OUTPUT_LIMIT {
                match self.take_packets() {
                    Ok(more) => parse = more,
                    Err(end) => return end,
                }
                waiting = self.send_batch();
                fetch = true;
            }
            if fetch && self.output.len() < OUTPUT_TARGET {
                fetch = self.fetch();
            }
            self.watch_output(timer.as_mut());
            let readable = waiting.is_none() && !parse && self.output.len() < OUTPUT_LIMIT;
            let writable = !self.output.is_empty();
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
                    Ok(bytes) => self.wrote(bytes),
                    Err(error) => return End::Io(error),
                },
                read = self.read.read_buf(&mut self.input), if readable => match read {
                    Ok(0) => return End::Closed,
                    Ok(bytes) => {
                        self.have_read(bytes);
                        parse = true;
                    }
                    Err(error) => return End::Io(error),
                },
                () = wait(&mut waiting), if waiting.is_some() => waiting = self.send_batch(),
                () = self.link.wake.notified() => fetch = true,
                () = timer.as_mut() => {
                    if let Some(end) = self.check_deadlines(timer.as_mut()) {
                        return end;
                    }
                }
            }
        }
    }

    /// Acts on the whole packets in the input. Says whether some are left, for which there was no room.
    fn take_packets(&mut self) -> Result<bool, End> {
        let input = std::mem::take(&mut self.input);
        let mut traffic = Traffic::default();
        let mut arena = BytesMut::new();
        let (mut at, mut left) = (0, false);
        let max_size = self.broker.limits.max_packet_size as usize;
        let result = loop {
            let frame = match wire::next_frame(&input[at..], max_size) {
                Ok(Some(frame)) => frame,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(End::Fault(fault)),
            };
            if self.batch.is_pressed() || self.output.len() >= OUTPUT_LIMIT {
                left = true;
                break Ok(());
            }
            at += frame.bytes.len();
            // A message is at most so much larger than its packet: one allocation serves several small ones.
            let room = frame.bytes.len() + Message::OVERHEAD;
            if arena.capacity() < room {
                let all = input.len() - at + room;
                arena = BytesMut::with_capacity(all.min(ARENA).max(room));
            }
            let user_properties = self.broker.limits.user_properties;
            let packet = wire::decode(frame, self.version, user_properties).map_err(End::Fault);
            if let Err(end) = packet.and_then(|packet| self.act(packet, &mut traffic, &mut arena)) {
                break Err(end);
            }
        };
        traffic.report_received(&self.broker.metrics);
        self.input = input;
        self.input.advance(at);
        if self.input.is_empty() && self.input.capacity() > 4 * self.next_read {
            self.input = BytesMut::new();
        }
        result.map(|()| left)
    }

    fn act(&mut self, packet: Packet<'_>, traffic: &mut Traffic, arena: &mut BytesMut) -> Result<(), End> {
        match packet {
            Packet::Publish(publish) => {
                traffic.count(publish.qos, publish.payload.len());
                self.publish(&publish, arena).map_err(End::Fault)?;
            }
            Packet::PubAck(id) => drop(self.session.acknowledge(id)),
            Packet::PubRec(id, code) => match self.session.received(id, code) {
                Received::Release => self.ack(Ack::Pubrel, id, 0),
                Received::Refused => {}
                Received::Unknown => self.ack(Ack::Pubrel, id, 0x92),
            },
            Packet::PubRel(id) => {
                let code = if self.session.release(id) { 0 } else { 0x92 };
                self.ack(Ack::Pubcomp, id, code);
            }
            Packet::PubComp(id) => drop(self.session.complete(id)),
            Packet::Subscribe(packet) => {
                self.broker.deliver(&mut self.batch);
                if packet.filters.iter().any(|(filter, options)| options.no_local && filter.starts_with("$share/")) {
                    return Err(End::Fault(Fault::protocol("No Local on a shared subscription"))); // MQTT-3.8.3-4
                }
                let codes = self.broker.subscribe(&self.session, &packet);
                self.suback(packet.packet_id, codes);
            }
            Packet::Unsubscribe(packet_id, filters) => {
                self.broker.deliver(&mut self.batch);
                let status = self.broker.unsubscribe(&self.session, &filters);
                if self.version == Version::V5 {
                    let (properties, reason_string) = (Vec::new(), None);
                    let ack = v5::UnsubscribeAck { packet_id, properties, reason_string, status };
                    encode::v5(&mut self.output, v5::Packet::UnsubscribeAck(ack));
                } else {
                    encode::v3(&mut self.output, v3::Packet::UnsubscribeAck { packet_id });
                }
            }
            Packet::Ping if self.version == Version::V5 => encode::v5(&mut self.output, v5::Packet::PingResponse),
            Packet::Ping => encode::v3(&mut self.output, v3::Packet::PingResponse),
            Packet::Disconnect(disconnect) => return Err(self.disconnect(&disconnect)),
        }
        Ok(())
    }

    fn publish(&mut self, publish: &Publish<'_>, arena: &mut BytesMut) -> Result<(), Fault> {
        let named;
        let topic = match publish.properties.topic_alias {
            None => publish.topic,
            Some(alias) => {
                named = self.resolve(alias, publish.topic)?;
                &named
            }
        };
        if topic.is_empty() && publish.properties.topic_alias.is_none() && self.version == Version::V5 {
            return Err(Fault::protocol("neither a topic name nor a topic alias")); // MQTT 5, 3.3.2.1
        }
        if !topic::is_name(topic, self.broker.topic_limits()) {
            return Err(Fault::TOPIC_NAME);
        }
        if publish.qos == QoS::ExactlyOnce {
            let id = publish.packet_id.unwrap_or(NonZeroU16::MIN);
            let v5 = self.version == Version::V5;
            let most = if v5 { usize::from(self.broker.limits.receive_maximum) } else { usize::MAX };
            match self.session.receive(id, most) {
                None => return Err(Fault::RECEIVE_MAXIMUM),
                Some(true) => {}
                // Sent again because our PUBREC got lost: it has been published (MQTT-4.3.3-10).
                Some(false) => {
                    self.ack(Ack::Pubrec, id, 0);
                    return Ok(());
                }
            }
        }
        let now = || self.broker.clock.now_ms();
        let parts = Parts {
            qos: publish.qos,
            retain: publish.retain,
            publisher: self.session.key(),
            expires_at: publish.properties.expiry.map_or(NEVER, |seconds| now() + u64::from(seconds) * 1000),
            topic,
            properties: &publish.properties.forwarded(),
            payload: publish.payload,
        };
        let accepted = self.broker.publish(&self.identity, &parts, &mut self.batch, arena);
        let Some(id) = publish.packet_id else { return Ok(()) };
        let ack = if publish.qos == QoS::AtLeastOnce { Ack::Puback } else { Ack::Pubrec };
        match accepted {
            Accepted::Delivered => self.ack(ack, id, 0),
            Accepted::NoSubscriber => self.ack(ack, id, 0x10),
            Accepted::Quota(reason) => {
                // With an error in PUBREC the exchange is over (MQTT 5, 4.3.3); MQTT 3 goes on as ever.
                if self.version == Version::V5 && publish.qos == QoS::ExactlyOnce {
                    self.session.release(id);
                }
                let reason = Some(&reason[..]).filter(|_| self.problem_info);
                encode::ack(&mut self.output, ack, id, 0x97, reason, self.version);
            }
        }
        Ok(())
    }

    /// The topic behind an alias (MQTT 5, 3.3.2.3.4), after `topic`, if there is one, has become it.
    fn resolve(&mut self, alias: u16, topic: &str) -> Result<ByteString, Fault> {
        if alias == 0 || alias > self.broker.limits.topic_alias_maximum {
            return Err(Fault::TOPIC_ALIAS);
        }
        if topic.is_empty() {
            let unknown = Fault::protocol("a topic alias that has not been defined");
            return self.aliases.get(&alias).cloned().ok_or(unknown);
        }
        if topic.len() > self.broker.limits.topic_length {
            return Err(Fault::TOPIC_NAME);
        }
        let topic: ByteString = topic.into();
        self.aliases.insert(alias, topic.clone());
        Ok(topic)
    }

    fn disconnect(&self, disconnect: &v5::Disconnect) -> End {
        let asked = disconnect.session_expiry_interval_secs;
        // MQTT-3.1.2-23: a session that was to end with its connection cannot be prolonged now.
        if asked.is_some_and(|seconds| seconds > 0) && self.session.state().terms.expiry_ms == 0 {
            return End::Fault(Fault::protocol("a session expiry in DISCONNECT after 0 in CONNECT"));
        }
        let expiry_ms = asked.map(|seconds| connect::expiry_ms(seconds, &self.broker));
        let with_will = disconnect.reason_code != DisconnectReasonCode::NormalDisconnection;
        End::Client { expiry_ms, with_will }
    }

    fn suback(&mut self, packet_id: NonZeroU16, status: Vec<SubscribeAckReason>) {
        if self.version == Version::V5 {
            let (properties, reason_string) = (Vec::new(), None);
            let ack = v5::SubscribeAck { packet_id, properties, reason_string, status };
            encode::v5(&mut self.output, v5::Packet::SubscribeAck(ack));
        } else {
            let code = |reason: SubscribeAckReason| match QoS::try_from(u8::from(reason)) {
                Ok(qos) => v3::SubscribeReturnCode::Success(qos),
                Err(_) => v3::SubscribeReturnCode::Failure,
            };
            let status = status.into_iter().map(code).collect();
            encode::v3(&mut self.output, v3::Packet::SubscribeAck { packet_id, status });
        }
    }

    fn ack(&mut self, ack: Ack, id: NonZeroU16, code: u8) {
        encode::ack(&mut self.output, ack, id, code, None, self.version);
    }

    /// Hands the batch to the route; what there is to wait for before the next.
    fn send_batch(&mut self) -> Option<Waiting> {
        let wait = self.broker.send(&mut self.batch)?;
        Some(Box::pin(wait.over()))
    }

    /// Moves messages from the session into the output. Says whether there are more.
    fn fetch(&mut self) -> bool {
        let mut fetched = Vec::with_capacity(FETCH);
        let now_ms = self.broker.clock.now_ms();
        let more = self.session.fetch(&self.link, &mut fetched, FETCH, OUTPUT_TARGET, now_ms);
        let mut traffic = Traffic::default();
        for outgoing in fetched {
            match outgoing {
                Outgoing::Release(id) => self.ack(Ack::Pubrel, id, 0),
                Outgoing::Publish(delivery, packet_id, dup) => {
                    traffic.count(delivery.qos, delivery.message.payload().len());
                    let header = PublishHeader {
                        qos: delivery.qos,
                        packet_id,
                        dup,
                        retain: delivery.retain,
                        subscription_ids: delivery.ids.as_slice(),
                        alias: self.own_aliases.of(&delivery.message),
                    };
                    encode::publish(&mut self.output, &delivery.message, &header, self.version, now_ms);
                }
            }
        }
        traffic.report_sent(&self.broker.metrics);
        more
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

    fn wrote(&mut self, bytes: usize) {
        self.write_deadline = None;
        self.session.progressed();
        self.broker.metrics.bytes_out(bytes as u64);
        if self.output.is_empty() && bytes < READ_MIN && self.output.capacity() > 4 * READ_MIN {
            self.output = BytesMut::new();
        }
    }

    /// Sets the deadline of output that has none yet.
    fn watch_output(&mut self, timer: Pin<&mut Sleep>) {
        if self.output.is_empty() || self.write_deadline.is_some() {
            return;
        }
        let deadline = Instant::now() + self.broker.limits.write_timeout;
        self.write_deadline = Some(deadline);
        // Mostly the timer runs out earlier anyway; then it is set anew.
        if timer.deadline() > deadline {
            timer.reset(deadline);
        }
    }

    fn check_deadlines(&mut self, timer: Pin<&mut Sleep>) -> Option<End> {
        let now = Instant::now();
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

    /// The end: what was accepted is delivered, the client is told why where it can be, the session learns of it.
    async fn finish(mut self, peer: SocketAddr, end: End, place: Option<Place>) {
        static FAULTS: RateLimit = RateLimit::per_second(5);
        let (why, code, text) = match &end {
            End::Client { .. } => (Disconnect::Client, None, ""),
            End::Closed => (Disconnect::Closed, None, ""),
            End::Io(_) => (Disconnect::Io, None, ""),
            End::Fault(fault) => (Disconnect::Protocol, Some(fault.code), fault.why),
            End::KeepAlive => (Disconnect::KeepAlive, Some(DisconnectReasonCode::KeepAliveTimeout), ""),
            End::WriteTimeout => (Disconnect::WriteTimeout, None, ""),
            End::Kicked(Kick::TakenOver) => (Disconnect::TakenOver, Some(DisconnectReasonCode::SessionTakenOver), ""),
            End::Kicked(Kick::Shutdown) => (Disconnect::Shutdown, Some(DisconnectReasonCode::ServerShuttingDown), ""),
        };
        // As text, so that it is escaped: whoever chooses it must not write lines of the log.
        let client = &self.identity.client_id[..];
        match &end {
            End::Fault(fault) => {
                self.broker.metrics.protocol_error(fault.kind);
                if let Some(suppressed) = FAULTS.allow() {
                    tracing::info!(%peer, client, suppressed, "connection closed: {fault}");
                }
            }
            End::Io(error) => tracing::debug!(%peer, client, %error, "connection failed"),
            _ => tracing::debug!(%peer, client, reason = why.as_str(), "disconnected"),
        }
        self.broker.metrics.disconnected(self.version, why);

        self.broker.send_all(&mut self.batch).await;
        let how = match end {
            End::Client { expiry_ms, with_will: false } => Ending::Graceful { expiry_ms },
            End::Client { expiry_ms, with_will: true } => Ending::WithWill { expiry_ms },
            _ => Ending::WithWill { expiry_ms: None },
        };
        let will = self.broker.leave(&self.session, &self.link, how);
        if let Some(will) = will {
            self.broker.publish_will(&self.identity.client_id, will).await;
        }

        if let Some(reason_code) = code
            && self.version == Version::V5
        {
            let mut disconnect = v5::Disconnect::new(reason_code);
            disconnect.reason_string = (self.problem_info && !text.is_empty()).then(|| ByteString::from_static(text));
            encode::v5(&mut self.output, disconnect.into());
        }
        drop(place);
        if !matches!(end, End::WriteTimeout | End::Io(_)) {
            farewell(&mut self.read, &mut self.write, &mut self.output).await;
        }
    }
}

async fn wait(waiting: &mut Option<Waiting>) {
    match waiting {
        Some(waiting) => waiting.await,
        None => std::future::pending().await,
    }
}
