//! Reads everything at the start.

use super::Saved;
use super::code;
use super::error::Fault;
use super::pending::{Key, OnDisk, Pending};
use super::record::{Entry, SavedMessage, SavedSession};
use super::tables::{ENDED, FLIGHTS, GATEWAYS, MESSAGES, RECEIVED, RETAINED, SESSIONS, SUBSCRIPTIONS, WILLS};
use redb::{ReadTransaction, ReadableTable as _};
use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) saved: Saved,
    pub(super) on_disk: OnDisk,
    /// Deletes what belongs to sessions that are not there: a change that was made when its session had just ended.
    pub(super) orphans: Pending,
}

/// Reads all rows; the first that makes no sense ends it.
pub(super) fn everything(txn: &ReadTransaction) -> Result<Loaded, Fault> {
    let mut loaded = Loaded::default();
    sessions(txn, &mut loaded)?;
    for row in txn.open_table(RETAINED)?.iter()? {
        let (topic, bytes) = row?;
        let message = code::decode_message(bytes.value()).filter(|message| message.topic() == topic.value());
        let message = message.ok_or_else(|| damaged("retained", topic.value()))?;
        loaded.on_disk.insert(Key::Retained(Arc::from(topic.value())));
        loaded.saved.retained.push(message);
    }
    for row in txn.open_table(GATEWAYS)?.iter()? {
        let (serial, record) = row?;
        loaded.on_disk.insert(Key::Gateway(Arc::from(serial.value())));
        loaded.saved.gateways.push((serial.value().into(), record.value().to_vec()));
    }
    for row in txn.open_table(ENDED)?.iter()? {
        let (place, record) = row?;
        loaded.on_disk.insert(Key::Ended(place.value()));
        loaded.saved.ended.push((place.value(), record.value().to_vec()));
    }
    Ok(loaded)
}

fn sessions(txn: &ReadTransaction, loaded: &mut Loaded) -> Result<(), Fault> {
    let mut sessions = BTreeMap::new();
    for row in txn.open_table(SESSIONS)?.iter()? {
        let (session, record) = row?;
        let (session, record) = (session.value(), record.value().to_vec());
        let (subscriptions, messages, received) = (Vec::new(), Vec::new(), Vec::new());
        loaded.on_disk.insert(Key::Session(session));
        sessions.insert(session, SavedSession { session, record, will: None, subscriptions, messages, received });
    }
    let Loaded { on_disk, orphans, .. } = loaded;
    for row in txn.open_table(WILLS)?.iter()? {
        let (session, bytes) = row?;
        let session = session.value();
        let will = code::decode_will(bytes.value()).ok_or_else(|| damaged("wills", session))?;
        match sessions.get_mut(&session) {
            Some(saved) => saved.will = Some(will),
            None => drop(orphans.ended.insert(session)),
        }
        on_disk.insert(Key::Will(session));
    }
    for row in txn.open_table(SUBSCRIPTIONS)?.iter()? {
        let (key, record) = row?;
        let (session, filter) = key.value();
        match sessions.get_mut(&session) {
            Some(saved) => saved.subscriptions.push((filter.to_owned(), record.value().to_vec())),
            None => drop(orphans.ended.insert(session)),
        }
        on_disk.insert(Key::Subscription(session, Arc::from(filter)));
    }
    for row in txn.open_table(RECEIVED)?.iter()? {
        let (session, id) = row?.0.value();
        let packet_id = NonZeroU16::new(id).ok_or_else(|| damaged("received", session))?;
        match sessions.get_mut(&session) {
            Some(saved) => saved.received.push(packet_id),
            None => drop(orphans.ended.insert(session)),
        }
        on_disk.insert(Key::Received(session, id));
    }
    messages(txn, &mut sessions, orphans)?;
    loaded.saved.sessions = sessions.into_values().collect();
    Ok(())
}

/// Bodies and flights come in the same order: they are merged as two sorted lists are.
fn messages(
    txn: &ReadTransaction,
    sessions: &mut BTreeMap<u64, SavedSession>,
    orphans: &mut Pending,
) -> Result<(), Fault> {
    let (bodies, flights) = (txn.open_table(MESSAGES)?, txn.open_table(FLIGHTS)?);
    let mut bodies = bodies.iter()?.map(|row| {
        let (key, bytes) = row?;
        let (session, number) = key.value();
        let entry = code::decode_entry(bytes.value())
            .ok_or_else(|| damaged("messages", format_args!("number {number} of session {session}")))?;
        Ok::<_, Fault>(((session, number), entry))
    });
    let mut flights = flights.iter()?.map(|row| {
        let (key, flight) = row?;
        let ((session, number), (kind, id)) = (key.value(), flight.value());
        let known = matches!(kind, code::SENT | code::RELEASED);
        let id = NonZeroU16::new(id)
            .filter(|_| known)
            .ok_or_else(|| damaged("flights", format_args!("number {number} of session {session}")))?;
        Ok::<_, Fault>(((session, number), (kind, id)))
    });
    let (mut body, mut flight) = (bodies.next().transpose()?, flights.next().transpose()?);
    loop {
        let of_body: Option<(u64, u64)> = body.as_ref().map(|(key, _)| *key);
        let of_flight = flight.as_ref().map(|(key, _)| *key);
        let Some(key) = of_body.into_iter().chain(of_flight).min() else { return Ok(()) };
        let mut entry = None;
        if of_body == Some(key) {
            entry = body.take().map(|(_, entry)| entry);
            body = bodies.next().transpose()?;
        }
        let mut how = None;
        if of_flight == Some(key) {
            how = flight.take().map(|(_, how)| how);
            flight = flights.next().transpose()?;
        }
        let (session, number) = key;
        match (sessions.get_mut(&session), message(entry, how)) {
            (Some(saved), Some(message)) => saved.messages.push((number, message)),
            // It was sent, and what it was is gone.
            (Some(_), None) => orphans.done(session, number),
            (None, _) => drop(orphans.ended.insert(session)),
        }
    }
}

fn message(entry: Option<Entry>, flight: Option<(u8, NonZeroU16)>) -> Option<SavedMessage> {
    match (entry, flight) {
        (_, Some((code::RELEASED, id))) => Some(SavedMessage::Released(id)),
        (Some(entry), Some((_, id))) => Some(SavedMessage::Sent(id, entry)),
        (Some(entry), None) => Some(SavedMessage::Queued(entry)),
        (None, _) => None,
    }
}

fn damaged(table: &str, row: impl std::fmt::Display) -> Fault {
    Fault::Damaged(format!("the row {row} of the table {table} makes no sense"))
}
