//! From a message as it was read to an event as the ledger takes it.

use serde::de::Deserializer;

use super::Publisher;
use super::digest::DigestKey;
use super::message::{BYTE_ORDER_MARK, DataDigest, Envelope, File};
use super::topic::Kind;
use crate::ledger::{
    Body, Digest, Event, ListReply, ListedModule, Method, Module, Progress, ProgressFile, Slots, Start, StartFile,
};

/// The event that a message is, if it is one: a method on a topic where it makes no sense is none.
pub(super) fn event<'a>(
    key: &DigestKey,
    kind: Kind,
    method: Option<Method>,
    publisher: &Publisher<'a>,
    envelope: &'a Envelope<'_>,
    payload: &[u8],
) -> Option<Event<'a>> {
    let tid = envelope.tid.as_deref().unwrap_or_default();
    let bid = envelope.bid.as_deref().unwrap_or_default();
    let result = envelope.data.result.int();
    let is_answer = kind == Kind::ServicesReply && method != Some(Method::List);
    if is_answer && envelope.data.result.is_unreadable() {
        return None; // Neither yes nor no.
    }
    let body = match (kind, method) {
        (Kind::Services, Some(Method::List)) => Body::List,
        (Kind::Services, Some(Method::Start)) => Body::Start(start(key, envelope, payload)),
        // "cancel" is the only status ever published.
        (Kind::Services, Some(Method::Update)) if envelope.data.status.trim().eq_ignore_ascii_case("cancel") => {
            Body::Cancel(cancelled(envelope))
        }
        (Kind::ServicesReply, Some(Method::Start)) => Body::StartReply(result),
        (Kind::ServicesReply, Some(Method::Update)) => Body::CancelReply(result),
        (Kind::ServicesReply, Some(Method::List)) => Body::ListReply(list_reply(envelope)),
        (Kind::ServicesReply, None) => Body::UnnamedReply(list_reply(envelope)),
        (Kind::Events, Some(Method::Progress)) => Body::Progress(progress(key, tid, envelope, payload)),
        (Kind::Events, None) => Body::UnnamedEvent(progress(key, tid, envelope, payload)),
        _ => return None,
    };
    Some(Event { client: publisher.client_id, is_here: publisher.is_here, tid, bid, body })
}

fn start<'a>(key: &DigestKey, envelope: &'a Envelope<'_>, payload: &[u8]) -> Start<'a> {
    let ambiguous = envelope.is_ambiguous();
    let files = envelope.start_files().iter().map(|file| StartFile {
        module: Module::read(&file.module),
        object_key: object_key(file),
        device_sn: &file.device_sn,
    });
    Start { digest: if ambiguous { None } else { digest(key, payload) }, files: files.collect(), ambiguous }
}

fn digest(key: &DigestKey, payload: &[u8]) -> Option<Digest> {
    let payload = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    deserializer.deserialize_any(DataDigest(key)).ok().flatten().map(Digest)
}

/// `object_key` in a start is `key` in its progress.
fn object_key<'a>(file: &'a File<'_>) -> &'a str {
    if file.object_key.is_empty() { &file.key } else { &file.object_key }
}

/// No list of modules means all of them.
fn cancelled(envelope: &Envelope<'_>) -> Slots {
    let list = &envelope.data.module_list;
    if list.more > 0 {
        return Slots::ALL;
    }
    let modules = list.items.iter().map(|word| Module::read(word).slots());
    modules.fold(Slots::NONE, Slots::with).or_all()
}

fn list_reply<'a>(envelope: &'a Envelope<'_>) -> ListReply<'a> {
    let modules = envelope.data.files.items.iter().map(|file| ListedModule {
        module: Module::read(&file.module),
        device_sn: &file.device_sn,
        result: file.result.int(),
        files: file.list.items.iter().map(|boot| boot.listed()).collect(),
        offered: file.list.items.len() + file.list.more,
    });
    ListReply { result: envelope.data.result.int(), modules: modules.collect() }
}

fn progress<'a>(key: &DigestKey, tid: &str, envelope: &'a Envelope<'_>, payload: &[u8]) -> Progress<'a> {
    let output = &envelope.data.output;
    let files = output.ext.files.items.iter().map(|file| {
        let step = &file.progress;
        ProgressFile {
            module: Module::read(&file.module),
            device_sn: &file.device_sn,
            key: if file.key.is_empty() { &file.object_key } else { &file.key },
            fingerprint: &file.fingerprint,
            status: &step.status,
            size: file.size.int(),
            progress: step.percent(),
            current_step: step.current_step.int(),
            total_step: step.total_step.int(),
            upload_rate: step.upload_rate.real(),
            finish_time: step.finish_time.int(),
            result: step.result.int(),
        }
    });
    Progress {
        result: envelope.data.result.int(),
        status: &output.status,
        files: files.collect(),
        content: key.content(tid, payload),
    }
}
