//! What is worth counting. Whoever counts implements [`Observer`]; every label comes from a closed set.

use super::module::Modules;
use super::status::{Outcome, State};

/// Receives everything that is counted. Called without any lock of the ledger held, from the
/// thread that carries the message: it must be quick and must not block.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// One thing happened.
    fn observe(&self, observation: &Observation);
}

/// The four methods of the remote log upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// `fileupload_list`
    List,
    /// `fileupload_start`
    Start,
    /// `fileupload_update`
    Update,
    /// `fileupload_progress`
    Progress,
}

impl Method {
    /// Every value.
    pub const ALL: [Method; 4] = [Method::List, Method::Start, Method::Update, Method::Progress];

    /// The method as it stands in a message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::List => "fileupload_list",
            Method::Start => "fileupload_start",
            Method::Update => "fileupload_update",
            Method::Progress => "fileupload_progress",
        }
    }

    /// The method of this exact name. A prefix is not enough: other methods look alike.
    #[must_use]
    pub fn read(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the cloud to the dock: `services`.
    Down,
    /// From the dock to the cloud: `services_reply` and `events`.
    Up,
}

impl Direction {
    /// Every value.
    pub const ALL: [Direction; 2] = [Direction::Down, Direction::Up];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Down => "down",
            Direction::Up => "up",
        }
    }
}

/// Why a payload could not be read. It was forwarded all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParseFailure {
    /// Not JSON, or cut short.
    Syntax,
    /// JSON, but not an object.
    NotAnObject,
    /// Longer than what is looked at.
    TooLarge,
}

impl ParseFailure {
    /// Every value.
    pub const ALL: [ParseFailure; 3] = [ParseFailure::Syntax, ParseFailure::NotAnObject, ParseFailure::TooLarge];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ParseFailure::Syntax => "syntax",
            ParseFailure::NotAnObject => "not_an_object",
            ParseFailure::TooLarge => "too_large",
        }
    }
}

/// One thing that happened and is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// One of the four methods went by, whatever became of it.
    Message {
        /// Which.
        method: Method,
        /// Which way.
        direction: Direction,
    },
    /// A payload could not be read; it was forwarded.
    ParseFailure {
        /// Why.
        kind: ParseFailure,
    },
    /// A `fileupload_*` method that is none of the four; it was forwarded.
    UnknownMethod,
    /// A start took its slot.
    Started,
    /// A start found its slot taken by an upload in this state, and was refused.
    Refused {
        /// The state of the upload that holds the slot.
        reason: State,
    },
    /// The same under [`Policy::Observe`](super::Policy::Observe): it was let through.
    WouldRefuse {
        /// The state of the upload that holds the slot.
        reason: State,
    },
    /// The same start again under a new tid or bid.
    Retry,
    /// The same message again: the same tid and the same bytes.
    Duplicate,
    /// An upload that the ledger did not know, or had given up, is going on.
    Adopted,
    /// A message about an upload that has ended.
    Late,
    /// A reply or an event that belongs to nothing that is known.
    Unmatched,
    /// An upload ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// Whose logs it was about.
        modules: Modules,
    },
    /// `data.result` of a reply, 0 included, or the code with which an upload ended. Not from a
    /// closed set: see [`codes::published`](super::codes::published).
    ResultCode(i64),
    /// How long an ended upload took from its start, in milliseconds.
    UploadDuration(u64),
    /// The size of a file that arrived, in bytes.
    FileSize(u64),
    /// The payload names another gateway than the topic. The topic's counts.
    GatewayMismatch,
    /// A status word that DJI does not publish. It means still going on.
    UnknownStatusWord,
    /// The topic's serial number is not one that state is kept for.
    BadGateway,
    /// A gateway that was idle was forgotten to make room.
    GatewaysEvicted,
    /// No room for one more gateway, since all are busy, or since it only spoke and the rest is kept for
    /// gateways that are sent a start; the message was forwarded unguarded.
    GatewaysFull,
    /// The publisher may not say this for the gateway; nothing changed.
    NotAllowed {
        /// Which way.
        direction: Direction,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_four_exact_names_are_methods() {
        for method in Method::ALL {
            assert_eq!(Method::read(method.as_str()), Some(method));
        }
        for name in
            ["fileupload_", "fileupload_starts", "file_upload_callback", "FILEUPLOAD_START", "fileupload_result"]
        {
            assert_eq!(Method::read(name), None, "{name}");
        }
    }
}
