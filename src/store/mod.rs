//! What must survive a restart, in an embedded database.
//!
//! Whoever changes something durable says so here at once ([`Store::put_message`] and its like): that costs a look-up in
//! a map, no disk and no wait. One thread commits what has gathered, over and over; a [`Ticket`] says which commit a
//! change will be in, and whoever must not acknowledge before it is safe waits for that ticket ([`Store::settle`]). So
//! a thousand publishes a second share a few fsyncs, and what is put and taken back before the next commit (a message
//! that its subscriber acknowledges at once) never touches the disk.
//!
//! Changes that belong together are made under one [`Scope`]: they are committed together or not at all.
//!
//! Concurrency: any thread may call; the map's lock is a leaf, so that changes are made under the lock of what they are
//! about and come in its order. A scope is entered with no other lock held.

mod code;
mod committer;
mod database;
mod error;
mod folder;
mod format;
mod load;
mod medium;
mod options;
mod pending;
mod record;
mod shared;
mod tables;
mod ticket;

pub use error::OpenError;
pub use folder::{Probe, probe};
pub use options::{Options, Sync};
pub use record::{Entry, SavedMessage, SavedSession, Will};
pub use ticket::{Settled, Ticket};

use crate::message::Message;
use committer::{Committer, GATHER, INTERVAL};
use database::Opening;
use error::guarded;
use folder::Folder;
use format::{MIGRATIONS, Migration};
use medium::Wrap;
use parking_lot::{Mutex, RwLockReadGuard};
use pending::{Key, OnDisk, Pending, Value};
use redb::ReadableDatabase as _;
use shared::Shared;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Everything that was there at the start.
#[derive(Debug, Default)]
pub struct Saved {
    /// The sessions, each with what belongs to it.
    pub sessions: Vec<SavedSession>,
    /// The retained messages.
    pub retained: Vec<Message>,
    /// The ledger's gateways by serial number, as the ledger wrote them.
    pub gateways: Vec<(Box<str>, Vec<u8>)>,
    /// The ledger's ended uploads by their place in the order of endings, as the ledger wrote them.
    pub ended: Vec<(u64, Vec<u8>)>,
    /// The key of the hook's digests: what it was at the first start.
    pub digest_key: Option<[u8; 32]>,
}

/// Changes made while it is held are committed together. It is for a moment: as long as it is held, nothing is committed.
#[derive(Debug)]
pub struct Scope<'a>(#[allow(dead_code, reason = "it is held")] Option<RwLockReadGuard<'a, ()>>);

/// The store.
#[derive(Debug)]
pub struct Store(Option<Engine>);

/// A store that there is.
#[derive(Debug)]
struct Engine {
    shared: Arc<Shared>,
    epoch: u64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// No store: nothing is kept, and nothing has to be waited for.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::new(Self(None))
    }

    /// Opens the store in a folder and reads what is in it. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the folder or with what is in it.
    pub fn open(options: &Options) -> Result<(Arc<Self>, Saved), OpenError> {
        Self::open_over(options, medium::plain(), MIGRATIONS)
    }

    fn open_over(options: &Options, wrap: Wrap, migrations: &[Migration]) -> Result<(Arc<Self>, Saved), OpenError> {
        let Options { data_dir, sync, metrics } = options;
        let folder = Folder::take(data_dir)?;
        folder.make_database()?;
        let file = folder.database();
        let opening = Opening::new(file.clone(), wrap);
        let (db, start, mut loaded) = guarded(|| {
            let db = opening.open()?;
            let start = format::start(&db, migrations)?;
            let loaded = load::everything(&db.begin_read()?)?;
            Ok((db, start, loaded))
        })
        .map_err(|fault| fault.at(&file))?;
        loaded.saved.digest_key = Some(start.digest_key);
        let (acknowledged, pace) = match sync {
            Sync::Always => (true, GATHER),
            Sync::Interval => (false, INTERVAL),
        };
        let shared = Shared::new(file, loaded.on_disk, loaded.orphans, acknowledged, metrics.clone());
        let shared = Arc::new(shared);
        let committer = Committer::new(shared.clone(), opening, db, pace, start);
        let thread = std::thread::Builder::new().name("dockgate-store".to_owned());
        let thread = thread.spawn(move || {
            committer.run();
            // From here on another process may have it.
            drop(folder);
        });
        let thread = Mutex::new(Some(thread.map_err(OpenError::Thread)?));
        let store = Self(Some(Engine { shared, epoch: start.epoch, thread }));
        store.refresh_gauges();
        Ok((Arc::new(store), loaded.saved))
    }

    /// Commits what is pending and closes the file. What is put from here on is refused. Blocks for as long as that takes.
    pub fn close(&self) {
        let Some(engine) = &self.0 else { return };
        engine.shared.stop();
        let thread = engine.thread.lock().take();
        if let Some(Err(_)) = thread.map(JoinHandle::join) {
            tracing::error!("the thread that writes the store has panicked");
        }
        // Whoever waits, waits in vain, even if the thread did not come to say so.
        engine.shared.close();
    }

    /// Whether anything is kept.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// How often this store has been started, from 1; 0 if there is none. Numbers that must never come again begin with it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.as_ref().map_or(0, |engine| engine.epoch)
    }

    /// Begins changes that belong together. Scopes do not nest, and are not held while anything is waited for.
    #[must_use]
    pub fn scope(&self) -> Scope<'_> {
        Scope(self.0.as_ref().map(|engine| engine.shared.scope.read()))
    }

    /// A message waits for a session, under a number that grows with each.
    pub fn put_message(&self, session: u64, number: u64, entry: Entry) -> Ticket {
        self.change(|pending, _| pending.put_message(session, number, entry))
    }

    /// It is being sent under this packet identifier.
    pub fn sent(&self, session: u64, number: u64, packet_id: NonZeroU16) -> Ticket {
        self.change(|pending, _| pending.sent(session, number, packet_id))
    }

    /// Its client has it (PUBREC): only the identifier is kept, until PUBCOMP.
    pub fn released(&self, session: u64, number: u64, packet_id: NonZeroU16) -> Ticket {
        self.change(|pending, _| pending.released(session, number, packet_id))
    }

    /// Nothing of it is needed any more.
    pub fn done(&self, session: u64, number: u64) -> Ticket {
        self.change(|pending, _| pending.done(session, number))
    }

    /// The client sent a QoS 2 message under this identifier, which it has not released (MQTT-4.3.3-2).
    pub fn received(&self, session: u64, packet_id: NonZeroU16) -> Ticket {
        self.row(Key::Received(session, packet_id.get()), Some(Value::Record(Vec::new())))
    }

    /// It has released it.
    pub fn unreceived(&self, session: u64, packet_id: NonZeroU16) -> Ticket {
        self.row(Key::Received(session, packet_id.get()), None)
    }

    /// A session begins or changes: its record, JSON.
    pub fn put_session(&self, session: u64, record: Vec<u8>) -> Ticket {
        self.row(Key::Session(session), Some(Value::Record(record)))
    }

    /// The will of a session; none when it has been published or must not be.
    pub fn put_will(&self, session: u64, will: Option<Will>) -> Ticket {
        self.row(Key::Will(session), will.map(Value::Will))
    }

    /// A session ends, with all that belongs to it. Its number never comes again.
    pub fn end_session(&self, session: u64) -> Ticket {
        self.change(|pending, on_disk| pending.end_session(session, on_disk))
    }

    /// A session subscribes, or changes a subscription: its record, JSON.
    pub fn subscribe(&self, session: u64, filter: &str, record: Vec<u8>) -> Ticket {
        self.row_of_text(filter, |filter| Key::Subscription(session, filter), || Some(Value::Record(record)))
    }

    /// A session unsubscribes.
    pub fn unsubscribe(&self, session: u64, filter: &str) -> Ticket {
        self.row_of_text(filter, |filter| Key::Subscription(session, filter), || None)
    }

    /// A message is retained on its topic, in place of the one before.
    pub fn retain(&self, message: &Message) -> Ticket {
        self.row_of_text(message.topic(), Key::Retained, || Some(Value::Message(message.clone())))
    }

    /// Nothing is retained on a topic any more.
    pub fn unretain(&self, topic: &str) -> Ticket {
        self.row_of_text(topic, Key::Retained, || None)
    }

    /// The ledger's record of a gateway has changed; none when it is forgotten.
    pub fn put_gateway(&self, gateway: &str, record: Option<Vec<u8>>) -> Ticket {
        self.row_of_text(gateway, Key::Gateway, || record.map(Value::Record))
    }

    /// The ledger's record of an ended upload, by its place in the order of endings; none when it is forgotten.
    pub fn put_ended(&self, place: u64, record: Option<Vec<u8>>) -> Ticket {
        self.row(Key::Ended(place), record.map(Value::Record))
    }

    /// A ticket for everything that has been put so far.
    #[must_use]
    pub fn latest(&self) -> Ticket {
        self.0.as_ref().map_or(Ticket::NONE, |engine| engine.shared.latest())
    }

    /// What has come of a ticket; none as long as its commit is not over.
    #[must_use]
    pub fn settled(&self, ticket: Ticket) -> Option<Settled> {
        self.0.as_ref().map_or(Some(Settled::Committed), |engine| engine.shared.settled(ticket))
    }

    /// Waits for a commit to be over.
    pub fn settle(self: &Arc<Self>, ticket: Ticket) -> impl Future<Output = Settled> + Send + use<> {
        let settled = self.settled(ticket);
        let progress = self.0.as_ref().filter(|_| settled.is_none()).map(|engine| engine.shared.progress());
        async move {
            let (None, Some(mut progress)) = (settled, progress) else { return settled.unwrap_or(Settled::Committed) };
            let over = progress.wait_for(|progress| progress.verdict(ticket).is_some()).await;
            // A store that is gone commits nothing any more.
            over.ok().and_then(|progress| progress.verdict(ticket)).unwrap_or(Settled::Failed)
        }
    }

    /// Whether the last commit failed: what needs the disk has to be refused. A ticket for that is [`Store::refused`].
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.0.as_ref().is_some_and(|engine| engine.shared.is_failing())
    }

    /// A ticket that has failed.
    #[must_use]
    pub fn refused(&self) -> Ticket {
        Ticket::REFUSED
    }

    /// What fails, for the operator; none if nothing does. To be asked a few times a second: whoever waits for a disk that
    /// hangs is told so from here.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.as_ref()?.shared.trouble()
    }

    /// Tells the metrics how large the store is and what waits.
    pub fn refresh_gauges(&self) {
        let Some(Engine { shared, .. }) = &self.0 else { return };
        let bytes = std::fs::metadata(&shared.file).map_or(0, |file| file.len());
        shared.metrics.set_store(!shared.is_failing(), shared.waiting(), bytes);
    }

    fn row(&self, key: Key, value: Option<Value>) -> Ticket {
        self.change(|pending, on_disk| pending.change(key, value, on_disk))
    }

    /// A change of a row with a text in its key, which is copied only if there is a store.
    fn row_of_text(
        &self,
        text: &str,
        key: impl FnOnce(Arc<str>) -> Key,
        value: impl FnOnce() -> Option<Value>,
    ) -> Ticket {
        if self.is_enabled() { self.row(key(Arc::from(text)), value()) } else { Ticket::NONE }
    }

    fn change(&self, change: impl FnOnce(&mut Pending, &OnDisk)) -> Ticket {
        self.0.as_ref().map_or(Ticket::NONE, |engine| engine.shared.change(change))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
