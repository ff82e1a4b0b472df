//! How fast a client may speak (`limits.messages_per_second`, `limits.bytes_per_second`).

use crate::config::Limits;
use crate::metrics::Limit;
use std::time::Duration;
use tokio::time::Instant;

/// The pace of one connection. It begins with nothing saved, so that coming again brings nothing; up to a second's worth is
/// saved while the client says less.
///
/// Who is faster is not disconnected but read more slowly: TCP slows it down, and nothing is lost.
#[derive(Debug)]
pub(super) struct Pace {
    messages: Rate,
    bytes: Rate,
}

/// When a budget of one kind is empty again, as if it were filled at a steady rate (the generic cell rate algorithm).
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u32,
    paid_until: Instant,
}

impl Pace {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        let rate = |per_second| Rate { per_second, paid_until: now + Rate::BURST };
        Self { messages: rate(limits.messages_per_second), bytes: rate(limits.bytes_per_second) }
    }

    /// Whether there is any limit.
    pub(super) fn is_limited(&self) -> bool {
        self.messages.per_second > 0 || self.bytes.per_second > 0
    }

    /// Takes what a client has sent into account; until when to read nothing more of it, and by which limit.
    pub(super) fn spend(&mut self, messages: usize, bytes: usize, now: Instant) -> Option<(Instant, Limit)> {
        let by_messages = self.messages.spend(messages, now).map(|until| (until, Limit::MessageRate));
        let by_bytes = self.bytes.spend(bytes, now).map(|until| (until, Limit::ByteRate));
        by_messages.into_iter().chain(by_bytes).max_by_key(|(until, _)| *until)
    }
}

impl Rate {
    const BURST: Duration = Duration::from_secs(1);

    fn spend(&mut self, amount: usize, now: Instant) -> Option<Instant> {
        if self.per_second == 0 {
            return None;
        }
        let cost = Duration::from_secs_f64(amount as f64 / f64::from(self.per_second));
        self.paid_until = self.paid_until.max(now) + cost;
        let free = self.paid_until - Self::BURST;
        (free > now).then_some(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_may_be_saved_and_then_come_at_once() {
        let came = Instant::now();
        let now = came + Duration::from_secs(60);
        let limits = Limits { messages_per_second: 10, bytes_per_second: 1000, ..Limits::default() };
        let mut pace = Pace::new(&limits, came);
        assert_eq!(pace.spend(10, 100, now), None);
        let (until, limit) = pace.spend(5, 0, now).unwrap();
        assert_eq!((until - now, limit), (Duration::from_millis(500), Limit::MessageRate));
        let later = now + Duration::from_millis(600);
        let (until, limit) = pace.spend(0, 2400, later).unwrap();
        assert_eq!((until - later, limit), (Duration::from_millis(1400), Limit::ByteRate));
    }

    #[test]
    fn who_comes_again_has_nothing_saved() {
        let now = Instant::now();
        let limits = Limits { messages_per_second: 10, ..Limits::default() };
        let (until, _) = Pace::new(&limits, now).spend(1, 0, now).unwrap();
        assert_eq!(until - now, Duration::from_millis(100));
    }

    #[test]
    fn without_a_rate_there_is_no_wait() {
        let now = Instant::now();
        assert_eq!(Pace::new(&Limits::default(), now).spend(1 << 30, 1 << 40, now), None);
    }
}
