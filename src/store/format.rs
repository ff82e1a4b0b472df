//! The format of the tables, and what begins a start: migrations, the count of starts, the key of the digests.

use super::error::Fault;
use super::tables::{self, BATCH, DIGEST_KEY, FORMAT, META, STARTS};
use redb::{Database, ReadOnlyTable, ReadableTable as _, WriteTransaction};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Brings the tables from one format to the next, within the transaction of the start.
pub(super) type Migration = fn(&WriteTransaction) -> Result<(), Fault>;

/// From format 1 to 2, from 2 to 3, and so on. Whoever changes what stands in a row adds one.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// What a start begins with.
#[derive(Clone, Copy)]
pub(super) struct Start {
    /// How often the store has been started, this time included.
    pub(super) epoch: u64,
    pub(super) digest_key: [u8; 32],
}

impl std::fmt::Debug for Start {
    /// Never prints the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// The table `meta`.
pub(super) type Meta = ReadOnlyTable<&'static str, &'static [u8]>;

/// The format that these migrations lead to.
pub(super) fn latest(migrations: &[Migration]) -> u64 {
    migrations.len() as u64 + 1
}

/// Begins a start: its commit proves that the disk takes what is written.
pub(super) fn start(db: &Database, migrations: &[Migration]) -> Result<Start, Fault> {
    let txn = db.begin_write()?;
    let known = latest(migrations);
    let (epoch, digest_key);
    {
        let mut meta = txn.open_table(META)?;
        let found = number(meta.get(FORMAT)?.map(|value| value.value().to_vec()), FORMAT)?;
        if let Some(found) = found.filter(|found| *found > known) {
            return Err(Fault::Newer { found, known });
        }
        drop(meta);
        tables::create(&txn)?;
        // Formats begin at 1; a store without one is being made.
        for migration in migrations.iter().skip(usize::try_from(found.unwrap_or(known)).unwrap_or(0).saturating_sub(1))
        {
            migration(&txn)?;
        }
        meta = txn.open_table(META)?;
        epoch = number(meta.get(STARTS)?.map(|value| value.value().to_vec()), STARTS)?.unwrap_or(0) + 1;
        let key = meta.get(DIGEST_KEY)?.map(|value| <[u8; 32]>::try_from(value.value()));
        digest_key = match key {
            Some(Ok(key)) => key,
            Some(Err(_)) => return Err(Fault::Damaged(format!("meta: {DIGEST_KEY} has not 32 bytes"))),
            None => {
                let mut key = [0; 32];
                SystemRandom::new().fill(&mut key).map_err(|_| Fault::NoRandom)?;
                key
            }
        };
        meta.insert(FORMAT, &known.to_be_bytes()[..])?;
        meta.insert(STARTS, &epoch.to_be_bytes()[..])?;
        meta.insert(BATCH, &0u64.to_be_bytes()[..])?;
        meta.insert(DIGEST_KEY, &digest_key[..])?;
    }
    txn.commit()?;
    Ok(Start { epoch, digest_key })
}

/// Whether a database is still the one of this start.
pub(super) fn is_of(meta: &Meta, start: &Start) -> Result<bool, Fault> {
    let key = meta.get(DIGEST_KEY)?;
    let is_same = key.is_some_and(|key| key.value() == start.digest_key);
    Ok(is_same && number_of(meta, STARTS)? == Some(start.epoch))
}

/// A number of the table `meta`.
pub(super) fn number_of(meta: &Meta, name: &str) -> Result<Option<u64>, Fault> {
    number(meta.get(name)?.map(|value| value.value().to_vec()), name)
}

fn number(value: Option<Vec<u8>>, name: &str) -> Result<Option<u64>, Fault> {
    let Some(value) = value else { return Ok(None) };
    let bytes = <[u8; 8]>::try_from(value).map_err(|_| Fault::Damaged(format!("meta: {name} is no number")))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}
