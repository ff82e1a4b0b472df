//! Which messages have come to any member of a shared group: of two members, each may get a message once, and one of them has
//! got it again.

use ahash::HashMap;
use parking_lot::Mutex;

/// A bit for each message, by publisher and number: 64 numbers are a word. The numbers are the broker's word, so that what
/// is kept grows with messages, not with numbers.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashMap<(u32, u32), u64>>);

impl Seen {
    /// Takes note of a message. Says whether it has not come before.
    pub(super) fn is_new(&self, publisher: u32, number: u32) -> bool {
        let mut all = self.0.lock();
        let (word, bit) = (all.entry((publisher, number / 64)).or_default(), 1 << (number % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_of_each_publisher_is_new_once() {
        let seen = Seen::default();
        for (publisher, number) in [(0, 0), (0, 64), (2, 64), (0, 1), (2, u32::MAX)] {
            assert!(seen.is_new(publisher, number));
            assert!(!seen.is_new(publisher, number));
        }
    }
}
