//! When a dock has something to send: by the clock, whatever the broker does.

use std::time::Duration;

use super::stream::{Pace, Stream};
use crate::sim::random::{Random, mix};

/// One message to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// Since the dock came online.
    pub(super) at: Duration,
    pub(super) stream: Stream,
    /// Any number, from which the message's form and figures come.
    pub(super) draw: u64,
}

/// All messages of one dock for ever, in order of time: the same for the same seed.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    clocks: Vec<Clock>,
    random: Random,
}

#[derive(Debug, Clone)]
struct Clock {
    stream: Stream,
    pace: Pace,
    next: Duration,
}

impl Schedule {
    /// What the dock itself sends.
    pub(super) fn of_dock(seed: u64, dock: u32, is_flying: bool) -> Self {
        let data = Stream::ALL.into_iter().filter(|stream| *stream != Stream::Command);
        Self::of(data, mix(seed, u64::from(dock)), is_flying)
    }

    /// What its backend commands it. None for a dock that has no flight to be commanded in.
    pub(super) fn of_commands(seed: u64, dock: u32, is_flying: bool) -> Option<Self> {
        let schedule = Self::of([Stream::Command].into_iter(), mix(seed, !u64::from(dock)), is_flying);
        (!schedule.clocks.is_empty()).then_some(schedule)
    }

    fn of(streams: impl Iterator<Item = Stream>, seed: u64, is_flying: bool) -> Self {
        let mut random = Random::new(seed);
        let clocks = streams.filter_map(|stream| {
            let pace = stream.pace(is_flying)?;
            // Docks do not beat together.
            let next = Duration::from_micros(random.between(0, micros(pace.every)));
            Some(Clock { stream, pace, next })
        });
        Self { clocks: clocks.collect(), random }
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let clock = self.clocks.iter_mut().min_by_key(|clock| clock.next)?;
        let due = Due { at: clock.next, stream: clock.stream, draw: self.random.next() };
        let every = micros(clock.pace.every);
        let off = every * clock.pace.spread / 100;
        clock.next += Duration::from_micros(self.random.between(every - off, every + off));
        Some(due)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_messages_again_and_another_dock_or_seed_others() {
        let first = |seed, dock| Schedule::of_dock(seed, dock, true).take(1000).collect::<Vec<_>>();
        assert_eq!(first(1, 5), first(1, 5));
        assert_ne!(first(1, 5), first(1, 6));
        assert_ne!(first(1, 5), first(2, 5));
    }

    #[test]
    fn messages_are_in_order_of_time_and_keep_their_pace() {
        let hour = Duration::from_secs(3600);
        let all: Vec<Due> = Schedule::of_dock(3, 1, true).take_while(|due| due.at < hour).collect();
        assert!(all.is_sorted_by_key(|due| due.at));
        for stream in [Stream::AircraftOsd, Stream::DockOsd, Stream::DockEvents, Stream::AircraftState] {
            let count = all.iter().filter(|due| due.stream == stream).count();
            let wanted = hour.as_secs_f64() / stream.pace(true).unwrap().every.as_secs_f64();
            assert!((count as f64 / wanted - 1.0).abs() < 0.05, "{stream:?}: {count} of {wanted:.0}");
        }
    }

    #[test]
    fn an_idle_dock_gets_no_flight_commands() {
        assert!(Schedule::of_commands(1, 1, false).is_none());
        assert!(Schedule::of_commands(1, 1, true).is_some());
    }
}
