//! How a gateway and an ended upload are written down: JSON that names its fields.
//!
//! A later version reads what an earlier one wrote: a new field has a default, and none is renamed or changes its
//! meaning. What is empty is left out. An earlier version skips the fields that it does not know.
//!
//! Nothing is in a record that is not in the ledger, so no credentials are; the digest of a start is a keyed hash.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::gateway::{Gateway, Own};
use super::module::{Module, Slots};
use super::remembered::{Asked, Ended, RefusedStart};
use super::rules::Now;
use super::status::{EndedBy, Outcome};
use super::upload::Upload;

/// What is kept of a gateway. Its history stands in records of its own, and lists of files are not kept: the dock has
/// them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GatewayRecord<'a> {
    #[serde(default, skip_serializing_if = "<[Upload]>::is_empty")]
    pub(crate) running: Cow<'a, [Upload]>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) asked: Cow<'a, VecDeque<Asked>>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) seen: Cow<'a, VecDeque<u64>>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) let_through: Cow<'a, VecDeque<Box<str>>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) refused: u64,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) refusals: Cow<'a, VecDeque<RefusedStart>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) touched: Now,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) is_started: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) own: Own,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) speaker: Option<SpeakerRecord<'a>>,
    /// Endings with a later place came after this record, and count more than its running uploads.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) buried: u64,
}

/// The client that last spoke as a gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SpeakerRecord<'a> {
    pub(crate) client: Cow<'a, str>,
    /// Since when it is gone. Only where an upload is running, since only those gateways are told when it comes and goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone: Option<Now>,
}

/// An ended upload. Its place is its key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EndedRecord<'a> {
    pub(crate) gateway: Cow<'a, str>,
    pub(crate) upload: Cow<'a, Upload>,
    pub(crate) outcome: Outcome,
    pub(crate) by: EndedBy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<i64>,
    pub(crate) at: Now,
}

impl Gateway {
    /// Its record; none if it has nothing worth keeping: lists, and who is there.
    pub(crate) fn record(&self) -> Option<Vec<u8>> {
        let is_worth_it = self.is_started
            || self.refused > 0
            || !(self.running.is_empty()
                && self.asked.is_empty()
                && self.seen.is_empty()
                && self.let_through.is_empty());
        if !is_worth_it {
            return None;
        }
        let speaker = self.speaker.as_ref().map(|speaker| SpeakerRecord {
            client: Cow::Borrowed(&speaker.client),
            gone: speaker.gone().filter(|_| !self.running.is_empty()),
        });
        Some(json(&GatewayRecord {
            running: Cow::Borrowed(&self.running),
            asked: Cow::Borrowed(&self.asked),
            seen: Cow::Borrowed(&self.seen),
            let_through: Cow::Borrowed(&self.let_through),
            refused: self.refused,
            refusals: Cow::Borrowed(&self.refusals),
            touched: self.touched,
            is_started: self.is_started,
            own: self.own,
            speaker,
            buried: self.buried,
        }))
    }
}

impl Ended {
    pub(crate) fn record(&self, gateway: &str) -> Vec<u8> {
        json(&EndedRecord {
            gateway: Cow::Borrowed(gateway),
            upload: Cow::Borrowed(&self.upload),
            outcome: self.outcome,
            by: self.by,
            code: self.code,
            at: self.at,
        })
    }
}

fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record has no map and no key that is not a text")
}

/// What needs not be written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Serialize for Slots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Slots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        Slots::read(&word).ok_or_else(|| serde::de::Error::custom("not the name of a set of slots"))
    }
}

impl Serialize for Module {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Module {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Box::<str>::deserialize(deserializer)?;
        Ok(match &*word {
            "0" => Module::Aircraft,
            "3" => Module::Dock,
            _ => Module::Other(word),
        })
    }
}

/// A list that is short as a rule.
pub(crate) mod small {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use smallvec::{Array, SmallVec};

    pub(crate) fn serialize<A, S>(list: &SmallVec<A>, serializer: S) -> Result<S::Ok, S::Error>
    where
        A: Array<Item: Serialize>,
        S: Serializer,
    {
        list.as_slice().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, A, D>(deserializer: D) -> Result<SmallVec<A>, D::Error>
    where
        A: Array<Item: Deserialize<'de>>,
        D: Deserializer<'de>,
    {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
