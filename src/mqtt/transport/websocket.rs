//! MQTT over WebSocket (MQTT 5, 6): the HTTP upgrade, and binary messages as a stream of bytes.

use super::Refused;
use crate::metrics::{Metrics, ProtocolFault};
use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// Where MQTT is; other paths are not found.
const PATH: &str = "/mqtt";
/// Sub-protocols, best first: the registered one (MQTT-6.0.0-3), and that of MQTT 3.1 clients.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// What a connection keeps for reading for as long as it lives. tungstenite's own choice is 128 KiB.
const READ_BUFFER: usize = 2 << 10;
/// The largest frame that is sent; a connection keeps a buffer of this size once it has sent one.
const FRAME: usize = 8 << 10;
/// A frame and its header.
const WRITE_BUFFER: usize = FRAME + 16;
/// A message holds many packets if the client likes: it may be so large even where a packet may not.
const MESSAGE: usize = 64 << 10;

/// Answers the upgrade request (RFC 6455, 4.2), whose headers tungstenite bounds to 64 KiB.
pub(crate) async fn accept<S>(
    mut stream: S,
    max_packet_size: usize,
    metrics: Arc<Metrics>,
) -> Result<WebSocket<S>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The result type is tungstenite's.
    #[expect(clippy::result_large_err)]
    let answer = |request: &Request, mut response: Response| {
        if request.uri().path() != PATH {
            return Err(refusal(StatusCode::NOT_FOUND));
        }
        let protocol = choose(request).ok_or_else(|| refusal(StatusCode::BAD_REQUEST))?;
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        Ok(response)
    };
    // Nothing may come behind the request before it is answered, so that the stream can be had back in between.
    match accept_hdr_async_with_config(&mut stream, answer, None).await {
        Ok(_) => {}
        Err(Error::Http(response)) if response.status() == StatusCode::NOT_FOUND => {
            let _gone = stream.shutdown().await;
            return Err(Refused::handshake("a WebSocket for another path than /mqtt"));
        }
        Err(Error::Http(_)) => {
            let _gone = stream.shutdown().await;
            return Err(Refused::handshake("a WebSocket without the sub-protocol mqtt or mqttv3.1"));
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
    let most = Some(max_packet_size.max(MESSAGE));
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(2 * WRITE_BUFFER)
        .max_message_size(most)
        .max_frame_size(most);
    let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    Ok(WebSocket { stream, message: Bytes::new(), metrics, closing: false })
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

/// The bytes in the binary messages of a WebSocket, whatever messages they are cut into (MQTT-6.0.0-2).
///
/// Bytes that are written are sent when they are flushed, in one frame if they were written at once.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    stream: WebSocketStream<S>,
    /// What is not read yet of the last message.
    message: Bytes,
    metrics: Arc<Metrics>,
    /// The client has broken the protocol and has been told.
    closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Tells the client why the connection ends, if it can take that now.
    fn close(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &'static str) {
        self.metrics.protocol_error(match code {
            CloseCode::Size => ProtocolFault::TooLarge,
            _ => ProtocolFault::Malformed,
        });
        self.closing = true;
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let mut stream = Pin::new(&mut self.stream);
        if stream.as_mut().start_send(close).is_ok() {
            let _later = stream.poll_flush(cx);
        }
    }

    /// Takes what still comes, and makes nothing of it, until the client closes: a socket that is closed with bytes unread
    /// is reset, and the client never reads why.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(self.stream.get_mut()).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.closing {
            return self.drain(cx);
        }
        while self.message.is_empty() {
            let next = Pin::new(&mut self.stream).poll_next(cx);
            // The end of a large message shares its memory with the buffer it was read into. Held until here, it makes
            // tungstenite take a small buffer for the next; the large one goes now, not with the connection.
            self.message = Bytes::new();
            let (code, reason) = match ready!(next) {
                Some(Ok(Message::Binary(bytes))) => {
                    self.message = bytes;
                    continue;
                }
                // Pings are answered, and the client's Close too, as its stream is read to the end.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => continue,
                // MQTT-6.0.0-1
                Some(Ok(Message::Text(_))) => (CloseCode::Unsupported, "MQTT comes in binary frames"),
                Some(Err(Error::Io(error))) => return Poll::Ready(Err(error)),
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(Error::Capacity(_))) => (CloseCode::Size, "the message is too large"),
                Some(Err(_)) => (CloseCode::Protocol, "this is not WebSocket"),
            };
            self.close(cx, code, reason);
            return Poll::Ready(Ok(()));
        }
        let length = self.message.len().min(buffer.remaining());
        buffer.put_slice(&self.message[..length]);
        self.message.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut stream = Pin::new(&mut self.stream);
        ready!(stream.as_mut().poll_ready(cx)).map_err(into_io)?;
        let length = bytes.len().min(FRAME);
        stream.start_send(Message::Binary(Bytes::copy_from_slice(&bytes[..length]))).map_err(into_io)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(into_io)
    }

    /// Sends Close; the client answers with its own, and that is the end of what can be read.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx).map_err(into_io)
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::BrokenPipe, other),
    }
}
