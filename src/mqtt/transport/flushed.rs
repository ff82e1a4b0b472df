//! A stream whose writes are over only when the bytes have left for the socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is taken at a time: one TLS record (RFC 8446, 5.1), and little enough that a slow but steady reader is
/// seen to take something within `limits.write_timeout`.
const MOST: usize = 16 << 10;

/// Writes through TLS or WebSocket as if it were a socket.
///
/// Both keep bytes back until they are flushed, but a connection never flushes: what a socket has taken is gone. It also
/// measures by what is taken whether the client still reads. So a write here takes bytes, flushes, and only then says
/// how many it took. If that has to wait, the caller must come again with the same bytes first (and perhaps more
/// behind them), as one does who keeps its output in a buffer; those that were taken are not written twice.
#[derive(Debug)]
pub(crate) struct Flushed<S> {
    stream: S,
    /// So many of the caller's next bytes have been taken already and are being flushed.
    taken: usize,
}

impl<S> Flushed<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, taken: 0 }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Flushed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.taken == 0 {
            let most = bytes.len().min(MOST);
            self.taken = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..most]))?;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.taken)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Flushed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buffer)) {
            // A client that just closes its TCP connection has left out TLS's close_notify. MQTT says by itself where a
            // packet ends and whether the client has left for good, so nothing can be cut off unnoticed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => Poll::Ready(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::mqtt::transport::websocket::WebSocket;
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter, DuplexStream, duplex};
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
    use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

    fn poll_once<F: Future>(future: F) -> Option<F::Output> {
        match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_write_is_over_when_its_bytes_are_out_and_writes_nothing_twice() {
        // BufWriter keeps bytes back as TLS does; the pipe behind it takes 4 at a time.
        let (near, mut far) = duplex(4);
        let mut flushed = Flushed::new(BufWriter::new(near));
        assert!(poll_once(flushed.write(b"sixteen byte")).is_none(), "it has not left yet");
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut four = [0; 4];
            far.read_exact(&mut four).await.unwrap();
            seen.extend(four);
            // More has come behind the same bytes since.
            let written = poll_once(flushed.write(b"sixteen bytes and more"));
            assert_eq!(written.map(Result::unwrap), (seen.len() == 8).then_some(12));
        }
        let mut four = [0; 4];
        far.read_exact(&mut four).await.unwrap();
        seen.extend(four);
        assert_eq!(seen, b"sixteen byte");
        assert_eq!(poll_once(flushed.write(b"s")).unwrap().unwrap(), 1, "and the next begins behind them");
    }

    /// Writes without ever flushing, as a connection does; `bytes` must come out at the far end of a small pipe.
    async fn all_comes_out(near: impl AsyncWrite + Unpin, mut far: impl AsyncRead + Unpin, bytes: usize) {
        let mut flushed = Flushed::new(near);
        let written = vec![7; 40_000];
        let mut read = vec![0; bytes];
        let both = async { tokio::join!(flushed.write_all(&written), far.read_exact(&mut read)) };
        let (written, read) = tokio::time::timeout(Duration::from_secs(10), both).await.expect("all comes out");
        written.unwrap();
        read.unwrap();
    }

    async fn tls(
        near: DuplexStream,
        far: DuplexStream,
    ) -> (server::TlsStream<DuplexStream>, client::TlsStream<DuplexStream>) {
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let server =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let server = server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("x").unwrap();
        let (acceptor, connector) = (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)));
        let (server, client) = tokio::join!(acceptor.accept(near), connector.connect(name, far));
        (server.unwrap(), client.unwrap())
    }

    #[tokio::test]
    async fn tls_keeps_nothing_back() {
        let (near, far) = duplex(1000);
        let (near, far) = tls(near, far).await;
        all_comes_out(near, far, 40_000).await;
    }

    #[tokio::test]
    async fn a_websocket_keeps_nothing_back_and_its_frames_are_few() {
        let (near, far) = duplex(1000);
        all_comes_out(WebSocket::new(near, 1000, Arc::new(Metrics::new())), far, 40_000 + 3 * 4).await;
        let (near, far) = duplex(1000);
        let (near, far) = tls(near, far).await;
        all_comes_out(WebSocket::new(near, 1000, Arc::new(Metrics::new())), far, 40_000 + 3 * 4).await;
    }
}
