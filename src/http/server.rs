//! The HTTP listener on a thread and a runtime of its own.
//!
//! `LinkTx::send` of the routing core blocks its caller when the core is behind, and a saturated broker keeps its own
//! runtime busy. Neither may stop a supervisor's probe or a scrape, hence the thread. What clients may hold is bounded
//! here: connections (the oldest goes first), the time for a request's head, the size of the head, a connection's age.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Concurrent connections. A few scrapers, probes and people use a handful; the rest is room for mischief.
const MAX_CONNECTIONS: usize = 256;
/// For a request's head, from the moment that the connection waits for one. So it is the idle time of a kept
/// connection too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A request line and headers; browsers and proxies stay under 8 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// What is read or written ahead on a connection.
const MAX_BUFFER: usize = 64 * 1024;
/// What the kernel keeps for a reader that is behind; left to itself it takes up to 4 MB.
const SEND_BUFFER: usize = 256 * 1024;
/// Threads that read the ledger.
const READERS: usize = 2;
/// After this a connection finishes its request and closes, so that a reader that takes nothing goes too.
const MAX_AGE: Duration = Duration::from_secs(60);
/// The same for one on which a stream is read; who reads it opens another.
const MAX_STREAM_AGE: Duration = Duration::from_secs(60 * 60);
/// For the request that is under way when a connection is too old.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// The same when the server stops; [`STOP_TIMEOUT`] must hold it.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// How long [`HttpServer::stop`] waits for the thread.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// After `accept` failed (out of file descriptors, say), doubled each time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The running HTTP server; dropping it stops it.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: CancellationToken,
    /// Hangs up when the thread has closed everything.
    done: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, lets requests that are under way finish, closes everything. Blocks for at most a second.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.done.recv_timeout(STOP_TIMEOUT) != Err(mpsc::RecvTimeoutError::Timeout);
        match self.thread.take() {
            Some(thread) if ended => {
                if thread.join().is_err() {
                    tracing::error!("the HTTP thread panicked");
                }
            }
            _ => tracing::warn!("the HTTP thread did not end in time; it is left alone"),
        }
    }
}

/// Serves `router` on `listener` from a new thread, and does `beside` there.
pub(super) fn spawn(
    listener: StdListener,
    router: Router,
    beside: impl Future<Output = ()> + Send + 'static,
) -> io::Result<HttpServer> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let (started, start) = mpsc::sync_channel(1);
    let (ended, done) = mpsc::channel();
    let thread = thread::Builder::new().name("http".into()).spawn(move || {
        // Dropped last, when the runtime and with it every socket is gone.
        let _ended: mpsc::Sender<()> = ended;
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(READERS)
            .thread_name("http-reader")
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        runtime.block_on(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    let _ = started.send(Ok(()));
                    tokio::spawn(beside);
                    serve(listener, router, stopped).await;
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
        // Every socket is closed; a reader of the ledger that is still at it has nobody to read for.
        runtime.shutdown_background();
    })?;
    start.recv().map_err(|_| io::Error::other("the HTTP thread ended before it listened"))??;
    Ok(HttpServer { address, stop, done, thread: Some(thread) })
}

/// Accepts until told to stop.
async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_BUFFER);
    let mut open = Open::default();
    let mut pause = ACCEPT_PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = open.tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                pause = ACCEPT_PAUSE;
                open.make_room().await;
                let life = Life::default();
                open.add(life.clone(), connection(stream, life, http.clone(), router.clone(), stop.clone()));
            }
            Err(error) => {
                if pause == ACCEPT_PAUSE {
                    tracing::warn!(%error, "cannot accept HTTP connections; trying again");
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(pause) => pause = (pause * 2).min(MAX_ACCEPT_PAUSE),
                }
            }
        }
    }
    drop(listener);
    let drained = async { while open.tasks.join_next().await.is_some() {} };
    if timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        open.tasks.shutdown().await;
    }
}

/// The open connections and the order in which they came.
#[derive(Default)]
struct Open {
    tasks: JoinSet<()>,
    order: VecDeque<(AbortHandle, Life)>,
}

impl Open {
    /// Closes the oldest connections until there is room for one more.
    ///
    /// The oldest is the right one: an honest client's request takes a millisecond, and one who opens connections to
    /// keep others out throws out himself. Those that last are spared as long as there are others: only who was let in has
    /// one, and there are few.
    async fn make_room(&mut self) {
        while self.tasks.len() >= MAX_CONNECTIONS {
            let passing = self.order.iter().position(|(task, life)| task.is_finished() || !life.lasts());
            if let Some((oldest, _)) = self.order.remove(passing.unwrap_or(0)) {
                oldest.abort();
                if oldest.is_finished() {
                    continue;
                }
            }
            self.tasks.join_next().await;
        }
    }

    fn add(&mut self, life: Life, connection: impl Future<Output = ()> + Send + 'static) {
        if self.order.len() >= 2 * MAX_CONNECTIONS {
            self.order.retain(|(task, _)| !task.is_finished());
        }
        self.order.push_back((self.tasks.spawn(connection), life));
    }
}

/// Whether a connection carries a stream, which lasts longer than an answer, and what is being done for its client.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    streams: Arc<AtomicBool>,
    /// Commands to docks that have been neither answered nor given up: one at most, as HTTP/1.1 has it.
    commands: watch::Sender<usize>,
}

/// A command is under way until this goes.
#[derive(Debug)]
pub(super) struct Command(Life);

impl Life {
    /// From now on it does.
    pub(super) fn streams(&self) {
        self.streams.store(true, Relaxed);
    }

    /// The connection outlives a command: a dock is waited for as long as `uploads.reply_timeout` says.
    pub(super) fn command(&self) -> Command {
        self.commands.send_modify(|commands| *commands += 1);
        Command(self.clone())
    }

    /// Whether a stream is read on it, or a dock is waited for.
    fn lasts(&self) -> bool {
        self.streams.load(Relaxed) || *self.commands.borrow() > 0
    }

    async fn is_over(&self) {
        sleep(MAX_AGE).await;
        if self.streams.load(Relaxed) {
            sleep(MAX_STREAM_AGE - MAX_AGE).await;
        }
        // It has the sender itself, so that cannot fail.
        let _ = self.commands.subscribe().wait_for(|commands| *commands == 0).await;
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        self.0.commands.send_modify(|commands| *commands -= 1);
    }
}

/// Serves one connection until it closes, is too old, or the server stops.
async fn connection(stream: TcpStream, life: Life, http: http1::Builder, router: Router, stop: CancellationToken) {
    // A failure costs latency or a larger buffer at most.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
    let service = TowerToHyperService::new(router.layer(Extension(life.clone())));
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let grace = tokio::select! {
        // An error is the client's (it closed, it was too slow, it spoke no HTTP) and hyper has answered it.
        _ = serving.as_mut() => return,
        () = stop.cancelled() => DRAIN_TIMEOUT,
        () = life.is_over() => FINISH_TIMEOUT,
    };
    serving.as_mut().graceful_shutdown();
    let _ = timeout(grace, serving).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_is_not_over_while_a_dock_is_waited_for() {
        let life = Life::default();
        let (began, command) = (tokio::time::Instant::now(), life.command());
        let answered = async {
            sleep(2 * MAX_AGE).await;
            drop(command);
        };
        tokio::join!(life.is_over(), answered);
        assert_eq!(began.elapsed(), 2 * MAX_AGE);
        assert!(timeout(MAX_AGE + Duration::from_millis(1), life.is_over()).await.is_ok());
    }
}
