//! The tables of the database, and how a batch is written to them.

use super::code;
use super::pending::{Flight, Key, Of, Pending, Slot, Value};
use redb::{TableDefinition, WriteTransaction};

/// What the store knows of itself; see the constants below.
pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Records of sessions.
pub(super) const SESSIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("sessions");
/// Wills by session.
pub(super) const WILLS: TableDefinition<u64, &[u8]> = TableDefinition::new("wills");
/// Records of subscriptions by session and filter.
pub(super) const SUBSCRIPTIONS: TableDefinition<(u64, &str), &[u8]> = TableDefinition::new("subscriptions");
/// What waits for sessions, by session and number.
pub(super) const MESSAGES: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("messages");
/// How it was sent. A table of its own, so that sending a large message does not write it a second time.
pub(super) const FLIGHTS: TableDefinition<(u64, u64), (u8, u16)> = TableDefinition::new("flights");
/// QoS 2 messages that clients have not released, by session and packet identifier.
pub(super) const RECEIVED: TableDefinition<(u64, u16), ()> = TableDefinition::new("received");
/// Retained messages by topic.
pub(super) const RETAINED: TableDefinition<&str, &[u8]> = TableDefinition::new("retained");
/// The ledger's gateways by serial number.
pub(super) const GATEWAYS: TableDefinition<&str, &[u8]> = TableDefinition::new("gateways");
/// The ledger's ended uploads by place.
pub(super) const ENDED: TableDefinition<u64, &[u8]> = TableDefinition::new("ended");

/// The format of the tables, a number of eight bytes (big endian, as all numbers here).
pub(super) const FORMAT: &str = "format";
/// How often the store has been started.
pub(super) const STARTS: &str = "starts";
/// The number of the last batch of this start: whether one that failed is on the disk after all.
pub(super) const BATCH: &str = "batch";
/// The key of the hook's digests.
pub(super) const DIGEST_KEY: &str = "digest_key";

/// Writes a batch.
pub(super) fn write(txn: &WriteTransaction, number: u64, batch: &Pending) -> Result<(), redb::Error> {
    txn.open_table(META)?.insert(BATCH, &number.to_be_bytes()[..])?;
    ended(txn, batch)?;
    rows(txn, batch)?;
    messages(txn, batch)
}

/// Makes all tables, so that whoever reads finds them.
pub(super) fn create(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(META)?;
    txn.open_table(SESSIONS)?;
    txn.open_table(WILLS)?;
    txn.open_table(SUBSCRIPTIONS)?;
    txn.open_table(MESSAGES)?;
    txn.open_table(FLIGHTS)?;
    txn.open_table(RECEIVED)?;
    txn.open_table(RETAINED)?;
    txn.open_table(GATEWAYS)?;
    txn.open_table(ENDED)?;
    Ok(())
}

fn ended(txn: &WriteTransaction, batch: &Pending) -> Result<(), redb::Error> {
    if batch.ended.is_empty() {
        return Ok(());
    }
    let (mut sessions, mut wills) = (txn.open_table(SESSIONS)?, txn.open_table(WILLS)?);
    let (mut subscriptions, mut received) = (txn.open_table(SUBSCRIPTIONS)?, txn.open_table(RECEIVED)?);
    let (mut messages, mut flights) = (txn.open_table(MESSAGES)?, txn.open_table(FLIGHTS)?);
    for &session in &batch.ended {
        sessions.remove(session)?;
        wills.remove(session)?;
        subscriptions.retain_in((session, "")..(session.saturating_add(1), ""), |_, _| false)?;
        received.retain_in((session, 0)..=(session, u16::MAX), |_, ()| false)?;
        messages.retain_in((session, 0)..=(session, u64::MAX), |_, _| false)?;
        flights.retain_in((session, 0)..=(session, u64::MAX), |_, _| false)?;
    }
    Ok(())
}

fn rows(txn: &WriteTransaction, batch: &Pending) -> Result<(), redb::Error> {
    if batch.rows.is_empty() {
        return Ok(());
    }
    let (mut sessions, mut wills) = (txn.open_table(SESSIONS)?, txn.open_table(WILLS)?);
    let (mut subscriptions, mut received) = (txn.open_table(SUBSCRIPTIONS)?, txn.open_table(RECEIVED)?);
    let (mut retained, mut gateways) = (txn.open_table(RETAINED)?, txn.open_table(GATEWAYS)?);
    let mut ended = txn.open_table(ENDED)?;
    let mut buffer = Vec::new();
    for (key, change) in &batch.rows {
        let bytes = change.value.as_ref().map(|value| match value {
            Value::Record(record) => &**record,
            Value::Message(message) => message.as_bytes(),
            Value::Will(will) => code::encode_will(will, &mut buffer),
        });
        match (key, bytes) {
            (Key::Session(session), Some(bytes)) => drop(sessions.insert(session, bytes)?),
            (Key::Session(session), None) => drop(sessions.remove(session)?),
            (Key::Will(session), Some(bytes)) => drop(wills.insert(session, bytes)?),
            (Key::Will(session), None) => drop(wills.remove(session)?),
            (Key::Subscription(session, filter), Some(bytes)) => {
                subscriptions.insert((*session, &**filter), bytes)?;
            }
            (Key::Subscription(session, filter), None) => drop(subscriptions.remove((*session, &**filter))?),
            (Key::Received(session, id), Some(_)) => drop(received.insert((*session, *id), ())?),
            (Key::Received(session, id), None) => drop(received.remove((*session, *id))?),
            (Key::Retained(topic), Some(bytes)) => drop(retained.insert(&**topic, bytes)?),
            (Key::Retained(topic), None) => drop(retained.remove(&**topic)?),
            (Key::Gateway(serial), Some(bytes)) => drop(gateways.insert(&**serial, bytes)?),
            (Key::Gateway(serial), None) => drop(gateways.remove(&**serial)?),
            (Key::Ended(place), Some(bytes)) => drop(ended.insert(place, bytes)?),
            (Key::Ended(place), None) => drop(ended.remove(place)?),
        }
    }
    Ok(())
}

fn messages(txn: &WriteTransaction, batch: &Pending) -> Result<(), redb::Error> {
    if batch.messages.is_empty() {
        return Ok(());
    }
    let (mut messages, mut flights) = (txn.open_table(MESSAGES)?, txn.open_table(FLIGHTS)?);
    let mut buffer = Vec::new();
    for (&key, Slot { body, flight, .. }) in &batch.messages {
        match body {
            Of::Unchanged => {}
            Of::Put(entry) => drop(messages.insert(key, code::encode_entry(entry, &mut buffer))?),
            Of::Delete => drop(messages.remove(key)?),
        }
        match flight {
            Of::Unchanged => {}
            Of::Put(Flight::Sent(id)) => drop(flights.insert(key, (code::SENT, id.get()))?),
            Of::Put(Flight::Released(id)) => drop(flights.insert(key, (code::RELEASED, id.get()))?),
            Of::Delete => drop(flights.remove(key)?),
        }
    }
    Ok(())
}
