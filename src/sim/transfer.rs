//! The transfer of a dock's archives into an object store: a thread each, which packs, signs and sends, and says how
//! far it is.
//!
//! The upload itself ([`super::upload`]) knows nothing of threads or the network. It hands out a [`Job`] for each
//! archive and is told [`News`] of it; [`Transfers`] carries the one and the other, and breaks off what is no longer
//! wanted.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use ureq::{Agent, SendBody};

use super::archive::{self, Log, Packed};
use crate::cloud_api::{Credentials, StartRequest};
use crate::object_store::{self, Endpoint, KeyPair, sigv4};

/// How long the store may take to be reached, and to answer once it has everything.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest that a thread sleeps before it looks whether it is still wanted.
const NAP: Duration = Duration::from_millis(20);

/// One archive to be made and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Of the upload.
    pub bid: String,
    /// Which archive of the upload.
    pub index: usize,
    /// What is in it.
    pub logs: Vec<Log>,
    /// Where it goes.
    pub to: Destination,
}

/// An object that a start names, and who may write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    endpoint: String,
    bucket: String,
    region: String,
    key: String,
    credentials: Credentials,
}

impl Destination {
    /// The destination of the archive with this key.
    pub fn new(start: &StartRequest, key: &str) -> Self {
        Self {
            endpoint: start.endpoint.clone(),
            bucket: start.bucket.clone(),
            region: start.region.clone(),
            key: key.to_owned(),
            credentials: start.credentials.clone(),
        }
    }
}

/// What has become of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The job's.
    pub bid: String,
    /// The job's.
    pub index: usize,
    /// What has happened.
    pub what: Happened,
}

/// What happens to an archive, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It has been made.
    Packed {
        /// Bytes.
        size: u64,
        /// 32 hexadecimal digits.
        fingerprint: String,
    },
    /// So many bytes are on their way.
    Sent(u64),
    /// The store has it.
    Stored,
    /// The store does not have it. What it said is in the log.
    Failed,
}

/// The transfers of one dock. Dropping it breaks them off.
#[derive(Debug)]
pub struct Transfers {
    uplink: Arc<Uplink>,
    running: Vec<Running>,
    told: mpsc::UnboundedSender<News>,
    news: mpsc::UnboundedReceiver<News>,
}

#[derive(Debug)]
struct Running {
    bid: String,
    index: usize,
    is_wanted: Arc<AtomicBool>,
}

impl Transfers {
    /// Those of a dock whose uplink carries so many bytes a second.
    pub fn new(rate: u64) -> Self {
        let (told, news) = mpsc::unbounded_channel();
        let uplink = Arc::new(Uplink { rate: rate.max(1), free_at: Mutex::new(Instant::now()) });
        Self { uplink, running: Vec::new(), told, news }
    }

    /// The next news; it waits for ever if nothing is under way.
    pub async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // It is never closed: one of its senders is here.
            None => std::future::pending().await,
        }
    }

    /// Begins these jobs.
    pub fn begin(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            let is_wanted = Arc::new(AtomicBool::new(true));
            self.running.push(Running { bid: job.bid.clone(), index: job.index, is_wanted: Arc::clone(&is_wanted) });
            let (uplink, told) = (Arc::clone(&self.uplink), self.told.clone());
            tokio::task::spawn_blocking(move || Thread { job, uplink, told, is_wanted }.run());
        }
    }

    /// Breaks off those that are not wanted.
    pub fn keep(&mut self, is_wanted: impl Fn(&str, usize) -> bool) {
        self.running.retain(|running| {
            let wanted = is_wanted(&running.bid, running.index);
            running.is_wanted.store(wanted, Ordering::Relaxed);
            wanted
        });
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        self.keep(|_, _| false);
    }
}

/// What all archives of a dock go through.
#[derive(Debug)]
struct Uplink {
    /// Bytes a second.
    rate: u64,
    /// When what has been let through has gone.
    free_at: Mutex<Instant>,
}

impl Uplink {
    fn takes(&self, bytes: u64) -> Duration {
        Duration::from_micros(bytes.saturating_mul(1_000_000) / self.rate)
    }

    /// When the next bytes may go.
    fn reserve(&self, bytes: u64) -> Instant {
        let mut free_at = self.free_at.lock();
        let begin = (*free_at).max(Instant::now());
        *free_at = begin + self.takes(bytes);
        begin
    }
}

/// One job at work.
struct Thread {
    job: Job,
    uplink: Arc<Uplink>,
    told: mpsc::UnboundedSender<News>,
    is_wanted: Arc<AtomicBool>,
}

impl Thread {
    fn run(self) {
        let packed = match archive::pack(&self.job.logs) {
            Ok(packed) => packed,
            Err(error) => return self.fail(&error.to_string()),
        };
        self.tell(Happened::Packed { size: packed.bytes.len() as u64, fingerprint: packed.md5.clone() });
        match self.send(&packed) {
            Ok(()) => self.tell(Happened::Stored),
            Err(fault) => self.fail(&fault),
        }
    }

    fn send(&self, packed: &Packed) -> Result<(), String> {
        let to = &self.job.to;
        let endpoint = Endpoint::parse(&to.endpoint).map_err(|error| format!("the endpoint: {error}"))?;
        let token = std::str::from_utf8(to.credentials.security_token.expose()).map_err(|_| "the token is no text")?;
        let keys = KeyPair {
            access_key_id: to.credentials.access_key_id.clone(),
            secret_access_key: to.credentials.access_key_secret.clone(),
        };
        let put = sigv4::ObjectRequest {
            method: "PUT",
            endpoint: &endpoint,
            region: &to.region,
            bucket: &to.bucket,
            key: &to.key,
            keys: &keys,
            security_token: token,
            sha256: &packed.sha256,
        };
        let (url, headers) = put.sign(SystemTime::now());
        let size = packed.bytes.len() as u64;
        let request = self.client(size).put(url).header("content-length", size);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let mut body = Body { thread: self, bytes: &packed.bytes, sent: 0 };
        let mut response = request.send(SendBody::from_reader(&mut body)).map_err(|error| error.to_string())?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let said = response.body_mut().with_config().limit(4096).lossy_utf8(true).read_to_string().unwrap_or_default();
        // Some stores repeat the key's name and what was signed, which are nobody's business.
        let code =
            said.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code);
        Err(format!("status {status} {code:?}"))
    }

    /// A client for one archive, which may take four times as long as the uplink needs if both are busy.
    fn client(&self, size: u64) -> Agent {
        Agent::config_builder()
            .tls_config(object_store::tls())
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_global(Some(4 * self.uplink.takes(size) + 3 * PATIENCE))
            .build()
            .new_agent()
    }

    fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    fn fail(&self, fault: &str) {
        if self.is_wanted() {
            let (bucket, key) = (&self.job.to.bucket, &self.job.to.key);
            tracing::warn!(bucket, key, fault, "a simulated dock's archive did not arrive");
        }
        self.tell(Happened::Failed);
    }

    fn tell(&self, what: Happened) {
        // Nobody listens to a dock that is gone.
        let _ = self.told.send(News { bid: self.job.bid.clone(), index: self.job.index, what });
    }
}

/// The archive as the request's body: as fast as the uplink, and broken off when it is not wanted.
struct Body<'a> {
    thread: &'a Thread,
    bytes: &'a [u8],
    sent: usize,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let uplink = &self.thread.uplink;
        // A twentieth of a second's worth, so that progress is smooth.
        let piece = usize::try_from(uplink.rate / 20).unwrap_or(usize::MAX).max(1024);
        let rest = &self.bytes[self.sent..];
        let take = rest.len().min(buffer.len()).min(piece);
        let begin = uplink.reserve(take as u64);
        loop {
            if !self.thread.is_wanted() {
                return Err(io::Error::other("it was canceled"));
            }
            let wait = begin.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            std::thread::sleep(wait.min(NAP));
        }
        buffer[..take].copy_from_slice(&rest[..take]);
        self.sent += take;
        if take > 0 {
            self.thread.tell(Happened::Sent(self.sent as u64));
        }
        Ok(take)
    }
}
