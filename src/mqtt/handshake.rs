//! From an accepted socket to a connection: CONNECT in time, a session, CONNACK; and the good-bye at the end.

use super::broker::Broker;
use super::client::Client;
use super::connect::{self, Hello, Refusal};
use super::connection::{Connection, READ_MIN};
use super::listener::Arrival;
use super::sessions::{Joined, NoSession};
use super::wire;
use crate::access::{Denied, Login};
use crate::config::Limits;
use crate::logging::RateLimit;
use crate::metrics::{AuthFailure, ConnectRefusal, Limit, Version};
use bytes::{Buf, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{timeout, timeout_at};

/// How long a client may take for its last bytes when the broker closes.
const FAREWELL: Duration = Duration::from_secs(2);
/// CONNECT holds five strings of at most 64 KiB and properties: none is larger than this.
const CONNECT_MAX: usize = 1 << 20;
/// Of a CONNECT so much is read at once: an identifier, a token and a small will. The rest waits for its turn.
const CONNECT_USUAL: usize = 4 << 10;
/// So many clients may be in the middle of a larger CONNECT. Nobody knows them yet: ten thousand of them must not hold a
/// megabyte each.
pub(super) const LARGE_CONNECTS: usize = 16;

/// Serves one client from CONNECT to the end.
pub(super) async fn serve<R, W>(broker: Arc<Broker>, mut read: R, write: W, mut arrival: Box<Arrival>)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut input = BytesMut::new();
    let peer = arrival.peer;
    let first = tokio::select! {
        first = timeout_at(arrival.deadline, handshake(&broker, &arrival.entrance.limits, &mut read, &mut input)) => first,
        () = broker.stopping.cancelled() => Ok(Err(Refusal::silent(ConnectRefusal::Unavailable, "the broker stops"))),
    };
    let mut place = None;
    let hello = match first {
        Ok(Ok(hello)) => {
            place = arrival.place();
            if place.is_some() { Ok(hello) } else { Err(Refusal::busy(hello.terms.version, Limit::Connections)) }
        }
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::silent(ConnectRefusal::Timeout, "no CONNECT within limits.connect_timeout")
            .over(Limit::ConnectTimeout)),
    };
    let admitted = match hello {
        Ok(hello) => admit(&broker, hello, &mut arrival).await,
        Err(refusal) => Err(refusal),
    };
    let (hello, client, joined) = match admitted {
        Ok(joined) => joined,
        Err(refusal) => {
            drop(place);
            return refuse(&broker, read, write, peer, refusal).await;
        }
    };
    if let Some((session, will)) = joined.old_will {
        // Whoever it goes to may be behind: CONNACK must not wait for it.
        let broker = broker.clone();
        tokio::spawn(async move { broker.publish_will(&session, will).await });
    }
    if joined.ticket.is_some() {
        // That a session begins anew, or that there is one, must still be so after a crash. If it cannot be made safe now, the
        // session serves its client all the same.
        let _settled = broker.store.settle(joined.ticket).await;
    }
    let version = hello.terms.version;
    broker.metrics.connected(version);
    tracing::debug!(%peer, client = &hello.client_id[..], protocol = version.as_str(), "connected");

    let mut output = BytesMut::new();
    hello.accept(joined.present, &client.limits, &mut output);
    let mut connection =
        Connection::new(broker, read, write, input, output, &hello, client, joined.session, joined.link);
    // A connection may be idle for months: what only CONNECT was about must not stay.
    drop(hello);
    let end = connection.run().await;
    connection.finish(peer, end, place).await;
}

/// Lets the client in by the access rules, and gives it its session.
async fn admit(broker: &Broker, mut hello: Hello, arrival: &mut Arrival) -> Result<(Hello, Client, Joined), Refusal> {
    let version = hello.terms.version;
    let login = Login {
        client_id: hello.client_id.clone(),
        username: hello.username.take(),
        password: hello.password.take(),
        certificate_name: arrival.certificate_name.take(),
        address: arrival.peer.ip(),
        door: arrival.entrance.door,
    };
    let rules_version = broker.rules_version.load(Acquire);
    let identity = broker.access.authenticate(login).await.map_err(|why| denied(broker, version, why))?;
    let rights = broker.access.rights(&identity);
    if hello.terms.will.as_ref().is_some_and(|will| !rights.may_publish(will.message.topic())) {
        broker.metrics.auth_failure(AuthFailure::Publish);
        return Err(Refusal::will_not_allowed(version));
    }
    let client = Client::new(identity, rights, arrival.entrance.limits.clone()).at(arrival.peer);
    match broker.join(&client, hello.clean, hello.terms.clone()) {
        Ok(joined) => {
            if joined.present || rules_version != broker.rules_version.load(Acquire) {
                // It began by other rights: those of another listener, or of rules that have been read again. If that was
                // meanwhile, those who went through all sessions may have missed this one.
                broker.recheck(&joined.session);
            }
            Ok((hello, client, joined))
        }
        Err(NoSession::Full) => Err(Refusal::busy(version, Limit::Sessions)),
        Err(NoSession::OfAnother) => Err(denied(broker, version, Denied::Identifier)),
    }
}

fn denied(broker: &Broker, version: Version, why: Denied) -> Refusal {
    let counted = match why {
        Denied::NoCredentials => Some(AuthFailure::Anonymous),
        Denied::UnknownUser => Some(AuthFailure::UnknownUser),
        Denied::WrongPassword => Some(AuthFailure::WrongPassword),
        Denied::Identifier => Some(AuthFailure::Identifier),
        Denied::Busy => None,
    };
    if let Some(counted) = counted {
        broker.metrics.auth_failure(counted);
    }
    Refusal::denied(version, why)
}

async fn refuse<R, W>(broker: &Broker, mut read: R, mut write: W, peer: SocketAddr, refusal: Refusal)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    static REFUSED: RateLimit = RateLimit::per_second(5);
    broker.metrics.refused(refusal.why, refusal.limit);
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
pub(super) async fn farewell<R, W>(read: &mut R, write: &mut W, output: &mut BytesMut)
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
    limits: &Limits,
    read: &mut R,
    input: &mut BytesMut,
) -> Result<Hello, Refusal> {
    let max_size = CONNECT_MAX.min(limits.max_packet_size as usize);
    let mut turn = None;
    loop {
        // Whoever doesn't begin with CONNECT need not be listened to any longer.
        if input.first().is_some_and(|byte| byte >> 4 != 1) {
            return Err(Refusal::silent(ConnectRefusal::NotConnect, "the first packet is not CONNECT"));
        }
        match wire::next_frame(input, max_size) {
            Ok(Some(frame)) => {
                let length = frame.bytes.len();
                let hello = connect::read(frame, limits);
                input.advance(length);
                if length > CONNECT_USUAL {
                    // The memory would stay for as long as the client says nothing more.
                    *input = BytesMut::from(&input[..]);
                }
                return hello;
            }
            Ok(None) => {}
            Err(fault) => {
                return Err(Refusal { limit: fault.limit, ..Refusal::silent(ConnectRefusal::TooLarge, fault.why) });
            }
        }
        if turn.is_none() && input.len() >= CONNECT_USUAL {
            turn = broker.large_connects.acquire().await.ok();
        }
        input.reserve(READ_MIN);
        match read.read_buf(input).await {
            Ok(0) | Err(_) => return Err(Refusal::silent(ConnectRefusal::Closed, "closed before CONNECT")),
            Ok(bytes) => broker.metrics.bytes_in(bytes as u64),
        }
    }
}
