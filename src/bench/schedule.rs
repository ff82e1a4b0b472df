//! When messages are due: by the clock, whatever the broker does.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::process;
use super::tally::{histogram, nanos};

/// Messages at even distances, from the publishers in turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    start: Instant,
    /// Messages a second.
    rate: f64,
    publishers: u32,
    /// Messages before this one are sent, and their latencies not counted.
    first_counted: u64,
}

impl Schedule {
    pub(super) fn new(start: Instant, rate: f64, publishers: u32, warm_up: Duration) -> Self {
        Self { start, rate, publishers, first_counted: (rate * warm_up.as_secs_f64()).ceil() as u64 }
    }

    /// How many are due in this time.
    pub(super) fn total(&self, time: Duration) -> u64 {
        (self.rate * time.as_secs_f64()).round().max(1.0) as u64
    }

    /// When a message is due, by its number among all.
    pub(super) fn due(&self, message: u64) -> Instant {
        self.start + Duration::from_secs_f64(message as f64 / self.rate)
    }

    /// When a publisher's message was due, if its latency counts.
    pub(super) fn counted(&self, publisher: u32, sequence: u32) -> Option<Instant> {
        let message = u64::from(sequence) * u64::from(self.publishers) + u64::from(publisher);
        (message >= self.first_counted).then(|| self.due(message))
    }

    /// Calls for each message when it is due, as long as it says true, and returns how late these calls were. A thread of
    /// its own: the runtime's timers count in milliseconds.
    pub(super) fn keep(&self, total: u64, mut each: impl FnMut(u64) -> bool) -> Histogram<u64> {
        process::wake_in_time();
        let mut lateness = histogram();
        for message in 0..total {
            let due = self.due(message);
            let mut now = Instant::now();
            if now < due {
                std::thread::sleep(due - now);
                now = Instant::now();
            }
            lateness.saturating_record(nanos(now.saturating_duration_since(due)));
            if !each(message) {
                break;
            }
        }
        lateness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_by_its_number_and_its_publishers() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 100.0, 10, Duration::from_millis(200));
        assert_eq!(schedule.total(Duration::from_secs(2)), 200);
        assert_eq!(schedule.counted(3, 5), Some(start + Duration::from_millis(530)));
        assert_eq!(schedule.counted(9, 1), None, "the 19th is in the warm-up");
        assert_eq!(schedule.counted(0, 2), Some(start + Duration::from_millis(200)));
    }

    #[test]
    fn what_is_called_late_is_said_to_be_late_and_the_rest_follows_at_once() {
        let schedule = Schedule::new(Instant::now(), 1000.0, 1, Duration::ZERO);
        let mut calls = 0;
        let lateness = schedule.keep(100, |message| {
            calls += 1;
            if message == 10 {
                std::thread::sleep(Duration::from_millis(50));
            }
            true
        });
        assert_eq!((calls, lateness.len()), (100, 100));
        // The eleventh is 49 ms late, and those after it a millisecond less each.
        assert!(lateness.max() >= 48_000_000, "{}", lateness.max());
        assert!(lateness.value_at_quantile(0.8) >= 20_000_000, "{}", lateness.value_at_quantile(0.8));
    }
}
