//! What docks do that they should not: quirks seen in the field or in DJI's own samples (DOMAIN facts).

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

/// A fault that a simulated dock has for as long as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Progress stops half-way and never goes on; a cancel is answered and changes nothing.
    Stall,
    /// The connection breaks without a DISCONNECT in the middle of an upload; back again, the dock tells that the
    /// upload failed with 324021.
    Reboot,
    /// Every start is answered with a code.
    Reject,
    /// Every start is answered with 314000, though the dock is idle.
    Busy,
    /// Keys and types as in DJI's faulty samples: `prgress`, `end_ime`, modules as numbers, sizes as text, no
    /// `gateway`, no `total_step`.
    Typo,
    /// Every event is sent twice, with the same tid.
    Duplicate,
    /// Replies take seconds, and progress is told after the end.
    Late,
}

/// A fault that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no fault {name:?}: say one of stall, reboot, reject, busy, typo, duplicate, late")]
pub struct UnknownFault {
    name: String,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Stall, Self::Reboot, Self::Reject, Self::Busy, Self::Typo, Self::Duplicate, Self::Late];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Reboot => "reboot",
            Self::Reject => "reject",
            Self::Busy => "busy",
            Self::Typo => "typo",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.ok_or_else(|| UnknownFault { name: name.to_owned() })
    }
}

/// A message as [`Fault::Typo`] writes it. What is no JSON object stays as it is.
pub fn misspell(message: &[u8]) -> Vec<u8> {
    match serde_json::from_slice(message) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("gateway");
            Value::Object(fields.into_iter().map(misspelled).collect()).to_string().into_bytes()
        }
        _ => message.to_vec(),
    }
}

fn misspelled((key, value): (String, Value)) -> (String, Value) {
    let wrong_key = match (key.as_str(), &value) {
        // The object of that name holds the number of that name.
        ("progress", Value::Number(_)) => Some("prgress"),
        ("end_time", _) => Some("end_ime"),
        _ => None,
    };
    let value = match (key.as_str(), value) {
        ("module", Value::String(text)) => text.parse::<u64>().map_or(Value::String(text), Value::from),
        ("size", Value::Number(bytes)) => Value::String(bytes.to_string()),
        (_, Value::Object(fields)) => Value::Object(without_steps(fields).into_iter().map(misspelled).collect()),
        (_, Value::Array(items)) => Value::Array(items.into_iter().map(misspelled_item).collect()),
        (_, other) => other,
    };
    (wrong_key.map_or(key, str::to_owned), value)
}

fn misspelled_item(item: Value) -> Value {
    match item {
        Value::Object(fields) => Value::Object(fields.into_iter().map(misspelled).collect()),
        other => other,
    }
}

fn without_steps(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.remove("total_step");
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_a_name_that_is_read_back() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        assert!("sleep".parse::<Fault>().unwrap_err().to_string().contains("stall, reboot"));
    }

    #[test]
    fn a_misspelled_progress_event_has_every_quirk() {
        let event = br#"{"bid":"b","gateway":"g","tid":"t","data":{"output":{"ext":{"files":[{"module":"3","size":7,
            "progress":{"progress":40,"total_step":3,"current_step":3}}]},"status":"in_progress"}}}"#;
        assert_eq!(
            String::from_utf8(misspell(event)).unwrap(),
            r#"{"bid":"b","data":{"output":{"ext":{"files":[{"module":3,"progress":{"current_step":3,"prgress":40},"size":"7"}]},"status":"in_progress"}},"tid":"t"}"#
        );
    }

    #[test]
    fn a_misspelled_list_has_an_end_ime() {
        let list = br#"{"data":{"files":[{"list":[{"end_time":2,"size":1}],"module":"0"}]}}"#;
        assert_eq!(
            String::from_utf8(misspell(list)).unwrap(),
            r#"{"data":{"files":[{"list":[{"end_ime":2,"size":"1"}],"module":0}]}}"#
        );
        assert_eq!(misspell(b"no JSON"), b"no JSON");
    }
}
