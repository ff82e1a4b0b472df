//! Reading a message of the remote log, with all that is odd about them.
//!
//! One pass reads any of the four methods, in whatever order the keys stand: recordings of real
//! docks have `data` before `method`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};

use super::lenient::{List, Number, Text, anything_else, lenient_object, skip_map};
use crate::ledger::{ListedFile, Method, ParseFailure};

/// Some encoders begin with it (RFC 8259 8.1 lets a parser ignore it).
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Modules read of one message.
const MAX_MODULES: usize = 16;
/// Entries read of one module's list, before the ledger's own limit.
const MAX_LIST: usize = 10_000;

lenient_object! {
    /// `data` of any of the messages.
    Message<'a> {
        "result" => result: Number,
        "output" => output: Output<'a>,
        "status" => status: Text<'a>,
        "module_list" => module_list: List<Text<'a>, MAX_MODULES>,
        "params" => params: Params<'a>,
        "files" => files: List<File<'a>, MAX_MODULES>,
    }
}

lenient_object! {
    /// `data.output` of a progress event.
    Output<'a> {
        "status" => status: Text<'a>,
        "ext" => ext: Params<'a>,
    }
}

lenient_object! {
    /// What holds `files`: `data.params` of a start, `data.output.ext` of a progress event.
    Params<'a> {
        "files" => files: List<File<'a>, MAX_MODULES>,
    }
}

lenient_object! {
    /// One module's part of a start, a list reply or a progress event.
    File<'a> {
        "module" => module: Text<'a>,
        "size" => size: Number,
        "device_sn" => device_sn: Text<'a>,
        "key" => key: Text<'a>,
        "object_key" => object_key: Text<'a>,
        "fingerprint" => fingerprint: Text<'a>,
        "progress" => progress: Step<'a>,
        "result" => result: Number,
        "list" => list: List<Boot<'a>, MAX_LIST>,
    }
}

lenient_object! {
    /// `progress` of a file. V1.2 to 1.6 and the Dock 3 page write `prgress`; docks seem to send
    /// `progress`.
    Step<'a> {
        "current_step" => current_step: Number,
        "total_step" => total_step: Number,
        "progress" => progress: Number,
        "prgress" => prgress: Number,
        "finish_time" => finish_time: Number,
        "upload_rate" => upload_rate: Number,
        "result" => result: Number,
        "status" => status: Text<'a>,
    }
}

lenient_object! {
    /// An entry of a list. The samples of every version write `end_ime` in some places.
    Boot<'a> {
        "boot_index" => boot_index: Number,
        "start_time" => start_time: Number,
        "end_time" => end_time: Number,
        "end_ime" => end_ime: Number,
        "size" => size: Number,
    }
}

impl Step<'_> {
    /// 0 to 100. `progress` is preferred over `prgress`.
    pub(super) fn percent(&self) -> Option<i64> {
        self.progress.int().or(self.prgress.int()).map(|percent| percent.clamp(0, 100))
    }
}

impl Boot<'_> {
    pub(super) fn listed(&self) -> ListedFile {
        ListedFile {
            boot_index: self.boot_index.int(),
            start_time: self.start_time.int().map(in_ms),
            end_time: self.end_time.int().or(self.end_ime.int()).map(in_ms),
            size: self.size.int(),
        }
    }
}

/// Times are seconds by one version's column and milliseconds by another's; the samples are
/// milliseconds. 10^12 ms is the year 2001, 10^12 s is the year 33658.
fn in_ms(time: i64) -> i64 {
    if (1..1_000_000_000_000).contains(&time) { time * 1_000 } else { time }
}

/// The method of a message: what every reading of it says. A message may have the key twice, and which
/// one a dock's parser takes is not known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    /// The last that is one of the four.
    pub(super) last: Option<Method>,
    /// One of them is `fileupload_start`.
    pub(super) is_start: bool,
    /// One of them is another `fileupload_…`.
    pub(super) is_unknown: bool,
    /// The key stands there.
    pub(super) is_present: bool,
}

/// A message. Everything is optional; nothing of the credentials is read.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    pub(super) named: Named,
    pub(super) tid: Option<Text<'a>>,
    pub(super) bid: Option<Text<'a>>,
    pub(super) gateway: Text<'a>,
    pub(super) data: Message<'a>,
    /// `method` or `data` stands there twice, or `data` was not read.
    pub(super) repeated: bool,
    is_object: bool,
}

/// Reads an envelope, with what `data` holds or without.
struct Reader {
    with_data: bool,
}

impl<'de> Visitor<'de> for Reader {
    type Value = Envelope<'de>;

    anything_else!('de);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope { is_object: true, repeated: !self.with_data, ..Envelope::default() };
        let mut has_data = false;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key {
                "tid" => envelope.tid = Some(map.next_value()?),
                "bid" => envelope.bid = Some(map.next_value()?),
                "gateway" => envelope.gateway = map.next_value()?,
                // Some C parsers find keys whatever their case.
                key if key.eq_ignore_ascii_case("method") => {
                    envelope.name(&map.next_value::<Text<'de>>()?);
                }
                key if self.with_data && key.eq_ignore_ascii_case("data") => {
                    envelope.repeated |= has_data;
                    has_data = true;
                    envelope.data = map.next_value()?;
                }
                _ => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Envelope::default())
    }
}

impl<'a> Envelope<'a> {
    fn name(&mut self, name: &str) {
        let named = &mut self.named;
        self.repeated |= named.is_present;
        named.is_present = true;
        match Method::read(name) {
            Some(method) => {
                named.is_start |= method == Method::Start;
                named.last = Some(method);
            }
            None => named.is_unknown |= name.starts_with("fileupload_"),
        }
    }

    /// Reads a message. What follows the first JSON value is not looked at: some parsers do the same,
    /// and a start must not pass because of a letter behind it.
    pub(super) fn read(payload: &'a [u8]) -> Result<Envelope<'a>, ParseFailure> {
        Self::read_with(payload, true)
    }

    /// Reads only what stands around `data`, which then may hold what could not be read otherwise,
    /// such as a number out of range. What is in it is not known.
    pub(super) fn read_without_data(payload: &'a [u8]) -> Result<Envelope<'a>, ParseFailure> {
        Self::read_with(payload, false)
    }

    fn read_with(payload: &'a [u8], with_data: bool) -> Result<Envelope<'a>, ParseFailure> {
        let payload = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
        // All at once is quicker than text by text.
        let text = std::str::from_utf8(payload).map_err(|_| ParseFailure::Syntax)?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let envelope = deserializer.deserialize_any(Reader { with_data });
        let envelope = envelope.map_err(|_| ParseFailure::Syntax)?;
        if envelope.is_object { Ok(envelope) } else { Err(ParseFailure::NotAnObject) }
    }

    /// The files of a start: `params.files`; some backends put them into `data` itself.
    pub(super) fn start_files(&self) -> &[File<'a>] {
        let params = &self.data.params.files.items;
        if params.is_empty() { &self.data.files.items } else { params }
    }

    /// Whether a start can be read in more than one way.
    pub(super) fn is_ambiguous(&self) -> bool {
        let data = &self.data;
        let lists = [&data.params.files, &data.files];
        self.repeated
            || data.repeated
            || data.params.repeated
            || lists.iter().any(|list| list.more > 0 || list.items.iter().any(|file| file.repeated))
            || lists.iter().all(|list| !list.items.is_empty())
    }
}

/// A payload that failed to parse for what a laxer parser lets pass, made readable: invalid UTF-8
/// (RFC 3629) is replaced, and halves of surrogate pairs (RFC 8259, 8.2) become other characters.
/// None if neither is there.
pub(super) fn repaired(payload: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(payload);
    let mut was_broken = matches!(text, Cow::Owned(_));
    let mut bytes = text.into_owned().into_bytes();
    for at in memchr::memchr_iter(b'\\', &bytes.clone()) {
        if let Some([b'u', first @ (b'd' | b'D'), b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F']) =
            bytes.get_mut(at + 1..at + 4)
        {
            *first = b'0';
            was_broken = true;
        }
    }
    was_broken.then_some(bytes)
}

/// The digest of a start's `data`.
pub(super) struct DataDigest<'k>(pub(super) &'k super::digest::DigestKey);

impl<'de> Visitor<'de> for DataDigest<'_> {
    type Value = Option<u64>;

    anything_else!('de);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.eq_ignore_ascii_case("data") {
                let digest = map.next_value_seed(self.0.tree())?;
                skip_map(map)?;
                return Ok(digest);
            }
            map.next_value::<serde::de::IgnoredAny>()?;
        }
        Ok(None)
    }
}

impl fmt::Debug for DataDigest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataDigest")
    }
}
