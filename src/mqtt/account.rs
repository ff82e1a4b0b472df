//! The account of what waits in all sessions together (`limits.queue_bytes_total`), that of packets which have not come
//! as a whole, and that of packets which have not been written (half as much each).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A connected session need not report smaller changes: the account would be the one place that all deliveries write to.
const SLACK: usize = 4 << 10;
/// What a session may have waiting, or a connection of a packet, however much the others have.
pub(super) const FAIR_SHARE: usize = 64 << 10;

/// A session with less than this may use the last quarter of the account, too: a few that take all they can get leave
/// room for the little that waits for everybody else.
const SMALL: usize = 16 << 10;

/// Bytes that wait in all sessions.
#[derive(Debug)]
pub(super) struct Account {
    bytes: AtomicUsize,
    max: usize,
}

/// A session's part of the account.
#[derive(Debug, Default)]
pub(super) struct Share(usize);

impl Account {
    pub(super) fn new(max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), max }
    }

    /// Brings a session's part up to date: it has `bytes` now.
    pub(super) fn settle(&self, share: &mut Share, bytes: usize, online: bool) {
        if online && bytes.abs_diff(share.0) < SLACK {
            return;
        }
        match bytes.checked_sub(share.0) {
            Some(more) => self.bytes.fetch_add(more, Relaxed),
            None => self.bytes.fetch_sub(share.0 - bytes, Relaxed),
        };
        share.0 = bytes;
    }

    /// Whether a session with so many bytes may not have more. Who is connected keeps a fair share, so that it is served
    /// while the queues of those who are away fill the memory.
    pub(super) fn is_full_for(&self, bytes: usize, online: bool) -> bool {
        let most = if bytes < SMALL { self.max } else { self.max / 4 * 3 };
        self.is_over(most, bytes, online)
    }

    /// Whether those who publish to such a session should slow down.
    pub(super) fn is_short_for(&self, bytes: usize) -> bool {
        self.is_over(self.max / 2, bytes, true)
    }

    fn is_over(&self, most: usize, bytes: usize, online: bool) -> bool {
        let exempt = online && bytes <= FAIR_SHARE;
        !exempt && self.bytes.load(Relaxed) >= most
    }
}

/// What one connection holds of packets on their way in, or on their way out. Clients that leave their packets unfinished,
/// or do not take what they have asked for, must not take all memory; small packets come through all the same.
#[derive(Debug)]
pub(super) struct Held {
    account: Arc<Account>,
    share: Share,
}

impl Held {
    pub(super) fn new(account: &Arc<Account>) -> Self {
        Self { account: Arc::clone(account), share: Share::default() }
    }

    /// Takes it into account that there are so many bytes now.
    pub(super) fn settle(&mut self, bytes: usize) {
        let counted = if bytes > FAIR_SHARE { bytes } else { 0 };
        self.account.settle(&mut self.share, counted, true);
    }

    /// Takes it into account that there are so many bytes now. Says whether there may be.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        self.settle(bytes);
        !self.account.is_full_for(bytes, true)
    }

    /// Whether there may be more than a fair share. The last quarter is for those who are `trusted` with it.
    pub(super) fn has_room_for_large(&self, trusted: bool) -> bool {
        let most = if trusted { self.account.max } else { self.account.max / 4 * 3 };
        !self.account.is_over(most, FAIR_SHARE + 1, true)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.settle(&mut self.share, 0, false);
    }
}

#[cfg(test)]
impl Account {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

#[cfg(test)]
impl Share {
    pub(super) fn bytes(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_is_what_waits_and_small_changes_of_the_connected_do_not_count() {
        let account = Account::new(100_000);
        let (mut away, mut here) = (Share::default(), Share::default());
        account.settle(&mut away, 70_000, false);
        account.settle(&mut here, SLACK - 1, true);
        assert!(!account.is_full_for(70_000, false));
        account.settle(&mut here, 30_000, true);
        assert!(account.is_full_for(0, false));
        assert!(!account.is_full_for(FAIR_SHARE, true), "a fair share is everybody's who is connected");
        assert!(account.is_full_for(FAIR_SHARE + 1, true));
        account.settle(&mut away, 0, false);
        assert!(!account.is_full_for(FAIR_SHARE + 1, true));
        account.settle(&mut here, 0, true);
        assert_eq!(account.bytes.load(Relaxed), 0);
    }

    #[test]
    fn unfinished_packets_have_room_together_and_give_it_back() {
        let account = Arc::new(Account::new(300_000));
        let (mut one, mut other) = (Held::new(&account), Held::new(&account));
        assert!(one.has_room(200_000));
        assert!(!other.has_room(100_000));
        assert!(other.has_room(FAIR_SHARE), "a small packet");
        drop(one);
        assert!(other.has_room(100_000));
        assert!(other.has_room(0));
        assert_eq!(account.bytes.load(Relaxed), 0);
    }

    #[test]
    fn large_output_waits_for_room_and_the_last_quarter_is_for_the_trusted() {
        let account = Arc::new(Account::new(400_000));
        let (mut one, other) = (Held::new(&account), Held::new(&account));
        one.settle(FAIR_SHARE);
        assert_eq!(account.bytes.load(Relaxed), 0, "small output is not counted");
        one.settle(299_999);
        assert!(other.has_room_for_large(false));
        one.settle(310_000);
        assert!(!other.has_room_for_large(false));
        assert!(other.has_room_for_large(true));
        one.settle(400_000);
        assert!(!other.has_room_for_large(true));
        drop(one);
        assert!(other.has_room_for_large(false));
        assert_eq!(account.bytes.load(Relaxed), 0);
    }

    #[test]
    fn those_with_much_leave_the_last_quarter_to_those_with_little() {
        let account = Account::new(100_000);
        let mut greedy = Share::default();
        account.settle(&mut greedy, 75_000, false);
        assert!(account.is_full_for(75_000, false));
        assert!(!account.is_full_for(SMALL - 1, false));
        account.settle(&mut greedy, 100_000, false);
        assert!(account.is_full_for(0, false));
    }
}
