//! Counters that all threads add to at once.
//!
//! One number that every message of every core adds to would be one cache line that all cores pull from each other. So each
//! thread adds to a number of its own, on a cache line of its own, and who reads adds them up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use prometheus::core::{Atomic, GenericCounter, GenericCounterVec};

/// A counter of the way that each message takes.
pub(super) type HotCounter = GenericCounter<Striped>;
/// Such counters by labels.
pub(super) type HotCounterVec = GenericCounterVec<Striped>;

/// Threads share a stripe if there are more of them; the threads that count most are the runtime's, one a core.
const STRIPES: usize = 16;

thread_local! {
    static STRIPE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % STRIPES
    };
}

/// A number in stripes.
pub(super) struct Striped(Box<[Stripe; STRIPES]>);

/// Two cache lines: processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

impl Striped {
    fn stripe(&self) -> &AtomicU64 {
        &self.0[STRIPE.with(|stripe| *stripe)].0
    }
}

impl Atomic for Striped {
    type T = u64;

    fn new(value: u64) -> Self {
        let striped = Self(Box::default());
        striped.set(value);
        striped
    }

    fn set(&self, value: u64) {
        for stripe in self.0.iter() {
            stripe.0.store(0, Relaxed);
        }
        self.0[0].0.store(value, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.0.load(Relaxed)).sum()
    }

    fn inc_by(&self, delta: u64) {
        self.stripe().fetch_add(delta, Relaxed);
    }

    fn dec_by(&self, delta: u64) {
        self.stripe().fetch_sub(delta, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_add_is_counted_together() {
        let counter = HotCounter::new("messages_total", "Messages.").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| (0..1000).for_each(|_| counter.inc_by(3)));
            }
        });
        assert_eq!(counter.get(), 2 * STRIPES as u64 * 3000);
        counter.reset();
        assert_eq!(counter.get(), 0);
    }
}
