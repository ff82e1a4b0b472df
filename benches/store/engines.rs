//! Two databases as the store would use them.

use crate::payload;
use fjall::{Database as FjallDatabase, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::ops::Range;
use std::path::Path;

/// A database with one table of messages by session and number.
pub(crate) trait Engine {
    /// Opens the one of a folder.
    fn open(folder: &Path) -> Self;
    /// Puts and deletes these; what comes back from it survives a loss of power.
    fn commit(&mut self, put: Range<u64>, delete: Range<u64>);
    /// Bytes of all values.
    fn read_all(&mut self) -> usize;
}

/// Messages are for a hundred sessions.
fn key(number: u64) -> (u64, u64) {
    (number % 100, number)
}

pub(crate) struct Redb(Database);

const MESSAGES: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("messages");

impl Engine for Redb {
    fn open(folder: &Path) -> Self {
        Self(Database::builder().set_cache_size(16 << 20).create(folder.join("db.redb")).unwrap())
    }

    fn commit(&mut self, put: Range<u64>, delete: Range<u64>) {
        let txn = self.0.begin_write().unwrap();
        let mut table = txn.open_table(MESSAGES).unwrap();
        // In the order of the keys, as the store's map has them.
        let mut put: Vec<_> = put.map(|number| (key(number), payload(number))).collect();
        put.sort_unstable();
        for (key, payload) in put {
            table.insert(key, &*payload).unwrap();
        }
        for number in delete {
            table.remove(key(number)).unwrap();
        }
        drop(table);
        txn.commit().unwrap();
    }

    fn read_all(&mut self) -> usize {
        let txn = self.0.begin_read().unwrap();
        let table = txn.open_table(MESSAGES).unwrap();
        table.iter().unwrap().map(|row| row.unwrap().1.value().len()).sum()
    }
}

pub(crate) struct Fjall {
    db: FjallDatabase,
    messages: Keyspace,
}

fn bytes(number: u64) -> [u8; 16] {
    let (session, number) = key(number);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&session.to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

impl Engine for Fjall {
    fn open(folder: &Path) -> Self {
        let db = FjallDatabase::builder(folder).cache_size(16 << 20).open().unwrap();
        let messages = db.keyspace("messages", KeyspaceCreateOptions::default).unwrap();
        Self { db, messages }
    }

    fn commit(&mut self, put: Range<u64>, delete: Range<u64>) {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for number in put {
            batch.insert(&self.messages, bytes(number), payload(number));
        }
        for number in delete {
            batch.remove(&self.messages, bytes(number));
        }
        batch.commit().unwrap();
    }

    fn read_all(&mut self) -> usize {
        self.messages.iter().map(|row| row.value().unwrap().len()).sum()
    }
}
