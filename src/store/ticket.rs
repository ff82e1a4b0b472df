//! What to wait for before something may be acknowledged.

/// A commit to come. Later ones are greater, so that the greatest of several stands for them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticket(pub(super) u64);

impl Ticket {
    /// Nothing to wait for.
    pub const NONE: Self = Self(0);
    /// Has failed, and will for ever. It is the greatest, so that it wins over any other.
    pub(super) const REFUSED: Self = Self(u64::MAX);

    /// The ticket as a number, for rooms that do not know of tickets: greater for a later one, 0 for [`Ticket::NONE`].
    #[must_use]
    pub fn mark(self) -> u64 {
        self.0
    }

    /// The ticket with this number.
    #[must_use]
    pub fn from_mark(mark: u64) -> Self {
        Self(mark)
    }

    /// Whether there is something to wait for.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// Whether what it is for has been refused, and will not be made good.
    #[must_use]
    pub fn is_refused(self) -> bool {
        self == Self::REFUSED
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

/// How far the commits have come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Everything up to this batch is on the disk.
    pub(super) committed: u64,
    /// Whatever of the batches up to this is not on the disk has failed; it may be there later.
    pub(super) failed: u64,
}

impl Progress {
    /// What has come of a ticket.
    pub(super) fn verdict(self, Ticket(number): Ticket) -> Option<Settled> {
        if number == Ticket::REFUSED.0 {
            Some(Settled::Failed)
        } else if number <= self.committed {
            Some(Settled::Committed)
        } else {
            (number <= self.failed).then_some(Settled::Failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_waits_fails_and_is_committed_after_all() {
        let verdict = |committed, failed| Progress { committed, failed }.verdict(Ticket(3));
        assert_eq!(verdict(2, 2), None);
        assert_eq!(verdict(2, 3), Some(Settled::Failed));
        assert_eq!(verdict(4, 3), Some(Settled::Committed));
    }

    #[test]
    fn a_refused_ticket_wins_over_all_others_and_is_never_committed() {
        let refused = Ticket(9).max(Ticket::REFUSED);
        assert_eq!(Progress { committed: 10, failed: 0 }.verdict(refused), Some(Settled::Failed));
        assert_eq!(Progress::default().verdict(Ticket::NONE), Some(Settled::Committed));
    }
}
