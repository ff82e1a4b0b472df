//! What a message is known by, and the payload that carries it.

use std::fmt;
use std::sync::Arc;

use crate::common::{Publish, Value, property};

/// The name of a client, a topic, a filter, a gateway.
pub(crate) type Name = Arc<str>;

/// One message: who published it, and its number, which grows with each message of that publisher.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Label {
    pub(crate) publisher: Name,
    pub(crate) number: u64,
}

impl Label {
    pub(crate) fn new(publisher: &str, number: u64) -> Self {
        Self { publisher: publisher.into(), number }
    }

    fn parse(text: &str) -> Option<Self> {
        let (publisher, number) = text.rsplit_once('#')?;
        Some(Self::new(publisher, number.parse().ok()?))
    }

    /// The payload of a message that is no JSON: the label, and bytes that follow from it. Most are short; one in 61
    /// fills more than a page of a database.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let size = if self.number.is_multiple_of(61) { 6000 } else { self.number % 50 };
        let filler = b'a' + u8::try_from(self.number % 26).expect("less than 26");
        let mut payload = format!("{self} ").into_bytes();
        payload.extend((0..size).map(|_| filler));
        payload
    }

    /// The label of a message that came, which must be as it was sent.
    pub(crate) fn of(message: &Publish) -> Result<Self, String> {
        let label =
            if message.payload.starts_with(b"{") { of_json(&message.payload) } else { of_text(&message.payload) };
        let label = label.ok_or_else(|| format!("an unknown payload: {message:?}"))?;
        match property::find(&message.properties, property::CORRELATION) {
            Some(Value::Bytes(bytes)) if *bytes != label.to_string().as_bytes() => {
                Err(format!("correlation data of another message: {message:?}"))
            }
            _ => Ok(label),
        }
    }
}

fn of_text(payload: &[u8]) -> Option<Label> {
    let text = std::str::from_utf8(payload).ok()?;
    let label = Label::parse(text.split_once(' ')?.0)?;
    (label.payload() == payload).then_some(label)
}

/// Messages of the Cloud API have it as their `tid`, except for a dock's replies.
fn of_json(payload: &[u8]) -> Option<Label> {
    let json: serde_json::Value = serde_json::from_slice(payload).ok()?;
    Label::parse(json["label"].as_str().or_else(|| json["tid"].as_str())?)
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.publisher, self.number)
    }
}
