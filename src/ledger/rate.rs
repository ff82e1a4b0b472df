//! A bound on how often something is logged: a token bucket.

use parking_lot::Mutex;

use super::rules::Now;

/// One line in so many milliseconds, after a burst.
const EVERY_MS: u64 = 1_000;

/// Takes one token out of a bucket of `burst`. The bucket is kept as the moment up to which it is
/// used; the new one is returned if there was a token.
pub(crate) fn spend(used_until: Now, now: Now, burst: u64) -> Option<Now> {
    let from = used_until.0.max(now.0.saturating_sub(burst * EVERY_MS));
    let until = from.saturating_add(EVERY_MS);
    (until <= now.0).then_some(Now(until))
}

/// Lines a second about all gateways together.
const LINES_A_SECOND: u64 = 100;

/// A bound on the lines about all gateways, for many threads: so many within each second of the clock.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    at: u64,
    lines: u64,
    suppressed: u64,
}

impl Lines {
    /// Whether one more line may be logged, and how many were not since the last.
    pub(crate) fn allow(&self, now: Now) -> Option<u64> {
        let mut second = self.0.lock();
        if now.0 / 1_000 > second.at {
            (second.at, second.lines) = (now.0 / 1_000, 0);
        }
        if second.lines >= LINES_A_SECOND {
            second.suppressed += 1;
            return None;
        }
        second.lines += 1;
        Some(std::mem::take(&mut second.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_line_a_second() {
        let mut used = Now(0);
        let mut passes = |now: u64| match spend(used, Now(now), 10) {
            Some(until) => {
                used = until;
                true
            }
            None => false,
        };
        let start = 1_000_000;
        assert_eq!((0..100).filter(|_| passes(start)).count(), 10);
        assert!(!passes(start + EVERY_MS - 1));
        assert!(passes(start + EVERY_MS));
        assert!(!passes(start + EVERY_MS));
    }

    #[test]
    fn all_gateways_share_so_many_lines_a_second_and_the_next_says_how_many_were_not_logged() {
        let lines = Lines::default();
        let logged = |now| (0..250).filter_map(|_| lines.allow(Now(now))).collect::<Vec<_>>();
        assert_eq!(logged(7_000), [0; 100]);
        let next = logged(8_000);
        assert_eq!((next.len(), next[0], next[1]), (100, 150, 0));
    }
}
