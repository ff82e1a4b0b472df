//! The words for how far an upload is, and how it can end.

/// A published status word, of `data.output.status` and of a file's `progress.status` alike
/// (`FileUploadStatusEnum` of the demo backend).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// `file_pull`, `file_zip`, `file_uploading`, `sent`, `in_progress`, `paused`: still going on.
    GoingOn,
    /// `ok`, `rejected`, `failed`, `canceled`, `timeout`.
    Over(Outcome),
    /// Something else, and not nothing. It means still going on: the demo backend loses such an
    /// event, and "uploading" has been seen in the field.
    Unknown,
    /// Nothing was said.
    Absent,
}

impl Status {
    pub(crate) fn read(word: &str) -> Status {
        match word.trim() {
            "" => Status::Absent,
            "file_pull" | "file_zip" | "file_uploading" | "sent" | "in_progress" | "paused" => Status::GoingOn,
            "ok" => Status::Over(Outcome::Ok),
            "rejected" => Status::Over(Outcome::Rejected),
            "failed" => Status::Over(Outcome::Failed),
            "canceled" => Status::Over(Outcome::Canceled),
            "timeout" => Status::Over(Outcome::Timeout),
            _ => Status::Unknown,
        }
    }

    /// How it ended, if it did.
    pub(crate) fn outcome(self) -> Option<Outcome> {
        match self {
            Status::Over(outcome) => Some(outcome),
            _ => None,
        }
    }
}

/// How an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The dock said `ok`.
    Ok,
    /// The dock said `failed`.
    Failed,
    /// The dock answered the start with a result that is not 0, or said `rejected`.
    Rejected,
    /// The dock said `canceled`, or accepted a cancel and then said nothing for `cancel_timeout`.
    Canceled,
    /// The dock said `timeout`.
    Timeout,
    /// The dock did not answer the start within `reply_timeout`.
    Unanswered,
    /// No progress for `stall_timeout`.
    Stalled,
    /// The dock was gone for `offline_grace`.
    Lost,
    /// The operator freed its slot.
    Released,
}

impl Outcome {
    /// Every value.
    pub const ALL: [Outcome; 9] = [
        Outcome::Ok,
        Outcome::Failed,
        Outcome::Rejected,
        Outcome::Canceled,
        Outcome::Timeout,
        Outcome::Unanswered,
        Outcome::Stalled,
        Outcome::Lost,
        Outcome::Released,
    ];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Rejected => "rejected",
            Outcome::Canceled => "canceled",
            Outcome::Timeout => "timeout",
            Outcome::Unanswered => "unanswered",
            Outcome::Stalled => "stalled",
            Outcome::Lost => "lost",
            Outcome::Released => "released",
        }
    }

    /// The outcome of an upload from those of its files: the worst. A file that was cancelled beside
    /// one that arrived does not make the upload a cancelled one.
    pub(crate) fn of_files(files: impl Iterator<Item = Outcome>) -> Outcome {
        let rank = |outcome: Outcome| match outcome {
            Outcome::Failed => 4,
            Outcome::Rejected => 3,
            Outcome::Timeout => 2,
            Outcome::Ok => 1,
            _ => 0,
        };
        files.max_by_key(|outcome| rank(*outcome)).unwrap_or(Outcome::Ok)
    }
}

/// Who said that an upload is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EndedBy {
    /// The broker: its clock, or its operator. The dock may still be at it.
    Clock,
    /// The dock's answers to the sendings of the start. It may be at it for another sending.
    Answer,
    /// The dock's own report. That is its last word.
    Event,
}

/// Where a running upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Started; the dock has not answered.
    Pending,
    /// Accepted, or seen in progress.
    Active,
    /// The dock accepted a cancel of all that was still going on.
    Cancelling,
}

impl State {
    /// Every value.
    pub const ALL: [State; 3] = [State::Pending, State::Active, State::Cancelling];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Active => "active",
            State::Cancelling => "cancelling",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_status_word_is_known_and_others_mean_still_going_on() {
        for word in ["file_pull", "file_zip", "file_uploading", "sent", "in_progress", "paused"] {
            assert_eq!(Status::read(word), Status::GoingOn, "{word}");
        }
        for word in ["ok", "rejected", "failed", "canceled", "timeout"] {
            let outcome = Status::read(word).outcome().expect(word);
            assert_eq!(outcome.as_str(), word);
        }
        for word in ["uploading", "cancel", "partially_done", "OK!"] {
            assert_eq!(Status::read(word), Status::Unknown, "{word}");
        }
        assert_eq!(Status::read(" "), Status::Absent);
    }

    #[test]
    fn the_worst_file_decides_but_a_cancelled_one_does_not_spoil_an_ok() {
        let of = |files: &[Outcome]| Outcome::of_files(files.iter().copied());
        assert_eq!(of(&[Outcome::Ok, Outcome::Canceled]), Outcome::Ok);
        assert_eq!(of(&[Outcome::Ok, Outcome::Failed]), Outcome::Failed);
        assert_eq!(of(&[Outcome::Canceled, Outcome::Canceled]), Outcome::Canceled);
        assert_eq!(of(&[Outcome::Canceled, Outcome::Timeout]), Outcome::Timeout);
    }
}
