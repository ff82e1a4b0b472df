//! The store over a file that can be made to fail.

mod failing;
mod opening;
mod surviving;

use super::faults::Switch;
use super::*;
use crate::message::{NEVER, Parts, QoS};
use crate::metrics::Metrics;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How long a test waits for what should come in milliseconds.
const DEADLINE: Duration = Duration::from_secs(20);

fn id(id: u16) -> NonZeroU16 {
    NonZeroU16::new(id).unwrap()
}

fn message(topic: &str, payload: &[u8]) -> Message {
    let (qos, properties) = (QoS::AtLeastOnce, &[][..]);
    Message::new(&Parts { qos, retain: false, publisher: 1, expires_at: NEVER, topic, properties, payload })
}

fn entry(payload: &str) -> Entry {
    let (message, ids) = (message("a/b", payload.as_bytes()), smallvec::SmallVec::new());
    Entry { message, qos: QoS::AtLeastOnce, retain: false, ids, shared: None }
}

fn options(folder: &Path) -> Options {
    Options { data_dir: folder.to_owned(), sync: Sync::Always, metrics: Arc::new(Metrics::new()) }
}

/// A folder with a store in it that lies on a faulty file.
struct Bench {
    folder: TempDir,
    switch: Switch,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), switch: Switch::default() }
    }

    fn open(&self) -> (Arc<Store>, Saved) {
        Store::open_over(&options(self.folder.path()), self.switch.wrap(), MIGRATIONS).unwrap()
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("dockgate.redb")
    }

    /// Closes the store and gives what it has kept.
    fn close(&self, store: Arc<Store>) -> Saved {
        store.close();
        drop(store);
        let (store, saved) = Store::open(&options(self.folder.path())).unwrap();
        store.close();
        saved
    }
}

/// Waits for a ticket.
#[track_caller]
fn settle(store: &Arc<Store>, ticket: Ticket) -> Settled {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let settled = store.settle(ticket);
    runtime.block_on(async { tokio::time::timeout(DEADLINE, settled).await }).expect("it is settled in time")
}

/// Puts a message into a session that is made for it, under one scope.
fn put(store: &Store, session: u64, payload: &str) -> Ticket {
    let scope = store.scope();
    let ticket = store.put_session(session, b"{}".to_vec()).max(store.put_message(session, 1, entry(payload)));
    drop(scope);
    ticket
}

/// The payloads of what was kept for sessions.
fn payloads(saved: &Saved) -> Vec<String> {
    let messages = saved.sessions.iter().flat_map(|session| &session.messages);
    let payload = |message: &SavedMessage| match message {
        SavedMessage::Queued(entry) | SavedMessage::Sent(_, entry) => {
            String::from_utf8(entry.message.payload().to_vec()).unwrap()
        }
        SavedMessage::Released(id) => format!("released {id}"),
    };
    messages.map(|(_, message)| payload(message)).collect()
}
