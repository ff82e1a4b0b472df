//! Which messages have come to any member of a shared group: of two members, each may get a message once, and one of them has
//! got it again.

use parking_lot::Mutex;

/// A bit for each message, by publisher and number.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Vec<Vec<u64>>>);

impl Seen {
    /// Takes note of a message. Says whether it has not come before.
    pub(super) fn is_new(&self, publisher: u32, number: u32) -> bool {
        let mut all = self.0.lock();
        let (publisher, word, bit) = (publisher as usize, number as usize / 64, 1 << (number % 64));
        if all.len() <= publisher {
            all.resize(publisher + 1, Vec::new());
        }
        let seen = &mut all[publisher];
        if seen.len() <= word {
            seen.resize(word + 1, 0);
        }
        let is_new = seen[word] & bit == 0;
        seen[word] |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_of_each_publisher_is_new_once() {
        let seen = Seen::default();
        for (publisher, number) in [(0, 0), (0, 64), (2, 64), (0, 1), (2, 6400)] {
            assert!(seen.is_new(publisher, number));
            assert!(!seen.is_new(publisher, number));
        }
    }
}
