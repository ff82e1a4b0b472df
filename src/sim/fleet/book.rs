//! What the fleet did, counted where it happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::stream::Stream;
use super::track::histogram;

/// The counts of one run. They are only ever added to, and nobody decides by two of them at once, so no order between
/// them is asked for.
#[derive(Debug)]
pub(super) struct Book {
    docks: Vec<Page>,
    sent: [Traffic; Stream::COUNT],
    /// All that clients heard.
    pub(super) heard: Traffic,
    pub(super) connections: Connections,
    /// Messages that the broker acknowledged and did not take, by stream and reason code.
    denied: Mutex<BTreeMap<(&'static str, u8), u64>>,
    /// Messages that were not sent because the broker took no more.
    pub(super) withheld: AtomicU64,
    /// The longest that a message was sent after its time, in microseconds.
    latest: AtomicU64,
    /// Messages that were sent more than 10 ms after their time.
    pub(super) late: AtomicU64,
    /// Commands that docks chose not to answer.
    pub(super) ignored: AtomicU64,
    /// Replies that docks held back for seconds.
    pub(super) held_back: AtomicU64,
}

/// What one dock did.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Different messages, which makes it the next sequence number.
    pub(super) sent: [AtomicU32; Stream::DATA],
    /// Messages sent again on purpose.
    pub(super) repeated: [AtomicU32; Stream::DATA],
    /// Messages of QoS 1 without an acknowledgement when the connection ended: nobody knows whether they arrived.
    pub(super) unsettled: [AtomicU32; Stream::DATA],
    /// Whether its subscriptions stand.
    pub(super) is_online: AtomicBool,
    /// Connections that have ended.
    pub(super) ended: AtomicU32,
}

/// Messages and their payloads' bytes.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// What became of connections.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) accepted: AtomicU64,
    /// Accepted after the client had had one before.
    pub(super) again: AtomicU64,
    /// Now.
    pub(super) online: AtomicU64,
    /// Broken off on purpose.
    pub(super) cut: AtomicU64,
    /// From the SYN to the SUBACK, in microseconds.
    pub(super) took: Mutex<Histogram<u64>>,
    refused: Mutex<BTreeMap<String, u64>>,
    lost: Mutex<BTreeMap<String, u64>>,
}

impl Traffic {
    pub(super) fn note(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Messages and bytes.
    pub(super) fn get(&self) -> (u64, u64) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

impl Connections {
    /// No connection came about.
    pub(super) fn refused(&self, reason: String) {
        *self.refused.lock().entry(reason).or_default() += 1;
    }

    /// A connection ended that should not have.
    pub(super) fn lost(&self, reason: String) {
        *self.lost.lock().entry(reason).or_default() += 1;
    }

    /// How many, by reason.
    pub(super) fn refusals(&self) -> BTreeMap<String, u64> {
        self.refused.lock().clone()
    }

    /// How many, by reason.
    pub(super) fn losses(&self) -> BTreeMap<String, u64> {
        self.lost.lock().clone()
    }
}

impl Book {
    pub(super) fn new(docks: u32) -> Self {
        Self {
            docks: (0..docks).map(|_| Page::default()).collect(),
            sent: std::array::from_fn(|_| Traffic::default()),
            heard: Traffic::default(),
            connections: Connections {
                accepted: AtomicU64::new(0),
                again: AtomicU64::new(0),
                online: AtomicU64::new(0),
                cut: AtomicU64::new(0),
                took: Mutex::new(histogram()),
                refused: Mutex::default(),
                lost: Mutex::default(),
            },
            denied: Mutex::default(),
            withheld: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            late: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// The page of a dock.
    pub(super) fn dock(&self, dock: u32) -> &Page {
        &self.docks[dock as usize]
    }

    /// All that was published of a stream.
    pub(super) fn sent(&self, stream: Stream) -> &Traffic {
        &self.sent[stream.index()]
    }

    /// A message was due so long ago.
    pub(super) fn note_lag(&self, lag: Duration) {
        let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        self.latest.fetch_max(micros, Ordering::Relaxed);
        if micros > 10_000 {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The longest that a message was sent after its time.
    pub(super) fn lag(&self) -> Duration {
        Duration::from_micros(self.latest.load(Ordering::Relaxed))
    }

    /// The broker acknowledged a message and did not take it.
    pub(super) fn note_denied(&self, stream: Stream, code: u8) {
        *self.denied.lock().entry((stream.name(), code)).or_default() += 1;
    }

    /// How many, by stream and reason code.
    pub(super) fn denied(&self) -> BTreeMap<(&'static str, u8), u64> {
        self.denied.lock().clone()
    }

    /// Different data messages, which everybody who listens should have.
    pub(super) fn data_sent(&self) -> u64 {
        self.docks.iter().flat_map(|page| &page.sent).map(|count| u64::from(count.load(Ordering::Relaxed))).sum()
    }
}

impl Page {
    /// How often the dock has been away, to compare with another time; odd while it is.
    pub(super) fn absences(&self) -> u64 {
        let is_away = u64::from(!self.is_online.load(Ordering::Relaxed));
        u64::from(self.ended.load(Ordering::Relaxed)) * 2 + is_away
    }
}
