//! MQTT over WebSocket (MQTT 5, 6): the HTTP upgrade, and binary messages as a stream of bytes.

use super::Refused;
use super::frames::{self, End};
use super::origins::Origins;
use crate::metrics::{Limit, Metrics, ProtocolFault};
use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Where MQTT is; other paths are not found.
const PATH: &str = "/mqtt";
/// Sub-protocols, best first: the registered one (MQTT-6.0.0-3), and that of MQTT 3.1 clients.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// The largest payload that is sent in one frame: with its header one TLS record (RFC 8446, 5.1).
const FRAME: usize = (16 << 10) - 4;
/// A client may gather many packets in one frame: it may be so large even where a packet may not.
const FRAME_FROM_CLIENT: usize = 64 << 10;

/// Answers the upgrade request (RFC 6455, 4.2), whose headers tungstenite bounds to 64 KiB.
pub(crate) async fn accept<S>(
    mut stream: S,
    origins: &Origins,
    max_packet_size: usize,
    metrics: Arc<Metrics>,
) -> Result<WebSocket<S>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut cause = Cow::Borrowed("");
    // The result type is tungstenite's.
    #[expect(clippy::result_large_err)]
    let answer = |request: &Request, mut response: Response| {
        let mut refuse = |status, why| {
            cause = why;
            refusal(status)
        };
        if request.uri().path() != PATH {
            return Err(refuse(StatusCode::NOT_FOUND, "a WebSocket for another path than /mqtt".into()));
        }
        // RFC 6455, 4.2.2.
        origins.admit(request.headers()).map_err(|why| refuse(StatusCode::FORBIDDEN, why))?;
        let Some(protocol) = choose(request) else {
            let why = "a WebSocket without the sub-protocol mqtt or mqttv3.1";
            return Err(refuse(StatusCode::BAD_REQUEST, why.into()));
        };
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        Ok(response)
    };
    // Nothing may come behind the request before it is answered, so that the stream can be had back in between.
    match accept_hdr_async(&mut stream, answer).await {
        Ok(_) => {}
        Err(Error::Http(_)) => {
            let _gone = stream.shutdown().await;
            return Err(Refused::handshake(cause));
        }
        Err(Error::Io(_) | Error::Protocol(ProtocolError::HandshakeIncomplete)) => {
            return Err(Refused::closed("closed in the WebSocket handshake"));
        }
        Err(error) => {
            let _gone =
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
            let _gone = stream.shutdown().await;
            return Err(Refused::handshake(format!("WebSocket handshake: {error}")));
        }
    }
    Ok(WebSocket::new(stream, max_packet_size, metrics))
}

/// The best of the sub-protocols that the client offers, in one header or in several (RFC 6455, 11.3.4).
fn choose(request: &Request) -> Option<&'static str> {
    let offers = |protocol: &str| {
        let lines = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).any(|one| one.trim() == protocol)
    };
    PROTOCOLS.into_iter().find(|protocol| offers(protocol))
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// The bytes in the binary frames of a WebSocket, whatever frames they are cut into (MQTT-6.0.0-2).
///
/// Bytes that are written are sent when they are flushed, in one frame if they were written at once.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    stream: S,
    reader: frames::Reader,
    /// Whole frames on their way, of which `sent` bytes have gone.
    sending: Vec<u8>,
    sent: usize,
    /// The stream may keep something back.
    unflushed: bool,
    /// Close is sent: nothing may follow it (RFC 6455, 5.5.1).
    closed: bool,
    /// The end has been read.
    ended: bool,
    metrics: Arc<Metrics>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A WebSocket after the upgrade.
    pub(super) fn new(stream: S, max_packet_size: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            stream,
            reader: frames::Reader::new(max_packet_size.max(FRAME_FROM_CLIENT) as u64),
            sending: Vec::new(),
            sent: 0,
            unflushed: false,
            closed: false,
            ended: false,
            metrics,
        }
    }

    /// Sends what is to be sent; then the answer to a ping, so that there is never more than one on its way.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.sent < self.sending.len() {
                self.unflushed = true;
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.sending[self.sent..]))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.sent += written;
            }
            // An idle connection keeps no buffer.
            (self.sending, self.sent) = (Vec::new(), 0);
            match self.reader.ping.take() {
                Some(ping) if !self.closed => frames::write(&mut self.sending, OpCode::Control(Control::Pong), &ping),
                _ => break,
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Says Close, once.
    fn close(&mut self, code: CloseCode, why: &str) {
        if !self.closed {
            self.closed = true;
            frames::write_close(&mut self.sending, code, why);
        }
    }

    /// The stream of bytes is over; what comes now depends on who has ended it.
    fn end(&mut self, cx: &mut Context<'_>, end: End) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.ended, true) {
            match end {
                End::Closed => self.close(CloseCode::Normal, ""),
                End::Broken(code, why) => {
                    if code == CloseCode::Size {
                        self.metrics.limit_hit(Limit::PacketSize);
                        self.metrics.protocol_error(ProtocolFault::TooLarge);
                    } else {
                        self.metrics.protocol_error(ProtocolFault::Malformed);
                    }
                    self.close(code, why);
                }
            }
            // If it cannot be sent now, it is with the shutdown; or the client has gone.
            let _later = self.poll_send(cx);
            return Poll::Ready(Ok(()));
        }
        match end {
            End::Closed => Poll::Ready(Ok(())),
            End::Broken(..) => self.drain(cx),
        }
    }

    /// Takes what still comes, and makes nothing of it, until the client closes: a socket that is closed with bytes unread
    /// is reset, and the client never reads why.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(end) = self.reader.end {
                return self.end(cx, end);
            }
            // Answers to pings go out while nobody writes. If they cannot, the client has to read first.
            if self.unflushed || self.reader.ping.is_some() {
                let _later = self.poll_send(cx)?;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            let bytes = &mut buffer.filled_mut()[before..];
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let length = self.reader.read(bytes);
            buffer.set_filled(before + length);
            if length > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = bytes.len().min(FRAME);
        frames::write(&mut self.sending, OpCode::Data(Data::Binary), &bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    /// Sends Close; the client answers with its own, and that is the end of what can be read.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close(CloseCode::Normal, "");
        self.poll_send(cx)
    }
}
