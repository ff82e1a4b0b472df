//! What can be wrong.

use std::fmt;

use crate::label::{Label, Name};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// An acknowledged message did not reach who was subscribed.
    Lost { label: Label, target: String },
    /// A message came twice where it must come once.
    Doubled { label: Label, target: String },
    /// It came after a later one.
    Disordered { label: Label, session: Name, after: u64 },
    /// It came with another QoS than it must.
    WrongQos { label: Label, session: Name, came: u8, wanted: u8 },
    /// It came on another topic.
    WrongTopic { label: Label, session: Name, topic: Name },
    /// It came to one who was not subscribed.
    Uninvited { label: Label, session: Name },
    /// A packet identifier that was not released came with another message.
    Swapped { session: Name, first: Label, label: Label },
    /// What came was sent by nobody.
    Garbled { session: Name, what: String },
    /// A session that was acknowledged is not there.
    SessionLost(Name),
    /// A session is there that nobody began, or that was to end with its connection.
    SessionInvented(Name),
    /// A subscription was granted with another QoS.
    WrongGrant { session: Name, filter: Name, qos: u8 },
    /// A message that nothing is wrong with was refused.
    Refused(Label, u8),
    /// A message was not acknowledged, to the end.
    Unfinished(Label),
    /// A retained message is older than the last acknowledged, or was never sent.
    Stale { topic: Name, found: Option<Label>, wanted: String },
    /// An upload that must be running is not, or an ended one is not remembered.
    SlotLost { gateway: Name, what: String },
    /// More is running or has ended than there was.
    SlotDoubled { gateway: Name, what: String },
    /// An upload is in another state.
    WrongState { gateway: Name, what: String },
    /// A start passed while an upload was running.
    Passed(Label),
    /// SUBSCRIBE or UNSUBSCRIBE was not answered, to the end.
    Unanswered { session: Name, filter: Name },
}

impl Flaw {
    /// Which message it is about, if it is about one.
    pub(crate) fn label(&self) -> Option<&Label> {
        match self {
            Flaw::Lost { label, .. }
            | Flaw::Doubled { label, .. }
            | Flaw::Disordered { label, .. }
            | Flaw::WrongQos { label, .. }
            | Flaw::WrongTopic { label, .. }
            | Flaw::Uninvited { label, .. }
            | Flaw::Swapped { label, .. }
            | Flaw::Refused(label, _)
            | Flaw::Unfinished(label)
            | Flaw::Passed(label) => Some(label),
            Flaw::Stale { found, .. } => found.as_ref(),
            _ => None,
        }
    }

    /// The session, the topic or the gateway that it is about.
    pub(crate) fn place(&self) -> Option<&Name> {
        match self {
            Flaw::Disordered { session, .. }
            | Flaw::WrongQos { session, .. }
            | Flaw::WrongTopic { session, .. }
            | Flaw::Uninvited { session, .. }
            | Flaw::Swapped { session, .. }
            | Flaw::Garbled { session, .. }
            | Flaw::SessionLost(session)
            | Flaw::SessionInvented(session)
            | Flaw::WrongGrant { session, .. }
            | Flaw::Unanswered { session, .. } => Some(session),
            Flaw::Stale { topic, .. } => Some(topic),
            Flaw::SlotLost { gateway, .. } | Flaw::SlotDoubled { gateway, .. } | Flaw::WrongState { gateway, .. } => {
                Some(gateway)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
