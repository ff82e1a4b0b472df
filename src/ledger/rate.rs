//! A bound on how often something is logged about one gateway: a token bucket in eight bytes.

use super::rules::Now;

/// One line in so many milliseconds, after a burst.
const EVERY_MS: u64 = 1_000;

/// Takes one token out of a bucket of `burst`. The bucket is kept as the moment up to which it is
/// used; the new one is returned if there was a token.
pub(super) fn spend(used_until: Now, now: Now, burst: u64) -> Option<Now> {
    let from = used_until.0.max(now.0.saturating_sub(burst * EVERY_MS));
    let until = from.saturating_add(EVERY_MS);
    (until <= now.0).then_some(Now(until))
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
}
