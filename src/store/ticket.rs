//! What to wait for before something may be acknowledged.

/// A commit to come. Later ones are greater, so that the greatest of several stands for them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticket(pub(super) u64);

impl Ticket {
    /// Nothing to wait for.
    pub const NONE: Self = Self(0);

    /// Whether there is something to wait for.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// What has come of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is on the disk.
    Committed,
    /// It is not, or not certainly. It will be tried again, but nobody should be told that it is safe.
    Failed,
}
