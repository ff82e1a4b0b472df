//! A store as JSON.

use super::{FORMAT, Inspected, META, STARTS, format, load};
use crate::message::{Message, NEVER};
use crate::store::error::{Fault, OpenError};
use crate::store::record::{Entry, SavedMessage, SavedSession, Will};
use redb::ReadTransaction;
use serde_json::{Value, json};
use std::path::Path;

/// All that is in a store, without payloads and keys.
///
/// # Errors
/// [`OpenError`] says what is wrong with it, or that a broker has it open.
pub fn dump(data_dir: &Path) -> Result<Value, OpenError> {
    Inspected::open(data_dir)?.read(everything)
}

fn everything(txn: &ReadTransaction) -> Result<Value, Fault> {
    let saved = load::everything(txn)?.saved;
    let meta = txn.open_table(META)?;
    let gateways = saved.gateways.iter().map(|(serial, bytes)| ((**serial).to_owned(), record(bytes)));
    let ended = saved.ended.iter().map(|(place, bytes)| json!({ "place": place, "record": record(bytes) }));
    Ok(json!({
        "format": format::number_of(&meta, FORMAT)?,
        "starts": format::number_of(&meta, STARTS)?,
        "sessions": saved.sessions.iter().map(session).collect::<Vec<_>>(),
        "retained": saved.retained.iter().map(message).collect::<Vec<_>>(),
        "gateways": gateways.collect::<serde_json::Map<_, _>>(),
        "ended": ended.collect::<Vec<_>>(),
    }))
}

fn session(saved: &SavedSession) -> Value {
    let SavedSession { session, record: bytes, will, subscriptions, messages, received } = saved;
    let subscriptions = subscriptions.iter().map(|(filter, bytes)| (filter.clone(), record(bytes)));
    json!({
        "session": session,
        "record": record(bytes),
        "will": will.as_ref().map(|Will { message: of, expiry, delay_ms }| {
            json!({ "message": message(of), "expiry": expiry, "delay_ms": delay_ms })
        }),
        "subscriptions": subscriptions.collect::<serde_json::Map<_, _>>(),
        "messages": messages.iter().map(waiting).collect::<Vec<_>>(),
        "received": received,
    })
}

fn waiting((number, saved): &(u64, SavedMessage)) -> Value {
    let (state, id, entry) = match saved {
        SavedMessage::Queued(entry) => ("queued", None, Some(entry)),
        SavedMessage::Sent(id, entry) => ("sent", Some(id), Some(entry)),
        SavedMessage::Released(id) => ("released", Some(id), None),
    };
    json!({
        "number": number,
        "state": state,
        "packet_id": id,
        "delivery": entry.map(|Entry { message: of, qos, retain, ids, shared }| {
            let (qos, shared) = (qos.value(), shared.as_deref());
            json!({ "message": message(of), "qos": qos, "retain": retain, "subscription_ids": &**ids, "shared": shared })
        }),
    })
}

/// Never the payload: it may hold credentials. Nor the properties, among which are a client's own.
fn message(message: &Message) -> Value {
    json!({
        "topic": message.topic(),
        "qos": message.qos().value(),
        "retain": message.retain(),
        "publisher": message.publisher(),
        "expires_at_ms": Some(message.expires_at()).filter(|at| *at != NEVER),
        "properties_bytes": message.properties().len(),
        "payload_bytes": message.payload().len(),
    })
}

/// A room's record, as far as it is JSON.
fn record(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!({ "not_json_bytes": bytes.len() }))
}
