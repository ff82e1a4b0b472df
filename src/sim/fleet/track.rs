//! What came of the data that the docks sent: who hears it notes each message, and counts what is missing.

use hdrhistogram::Histogram;

use super::stamp::Stamp;
use super::stream::Stream;

/// A minute in microseconds: whoever is later than that is counted as so late.
const LATEST: u64 = 60_000_000;

/// The messages of one stream of one dock, as far as they have come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Track {
    /// One more than the highest sequence number that has come.
    next: u32,
    /// Which of the 64 before `next` have come, the last one in the lowest bit.
    window: u64,
    /// Different messages.
    pub(super) received: u32,
    /// Messages that had come before.
    pub(super) repeated: u32,
    /// Messages that came after one that was sent later.
    pub(super) disordered: u32,
}

impl Track {
    fn note(&mut self, sequence: u32) {
        if sequence >= self.next {
            let ahead = sequence - self.next + 1;
            self.window = if ahead < 64 { self.window << ahead } else { 0 } | 1;
            self.next = sequence.saturating_add(1);
            self.received += 1;
            return;
        }
        let behind = self.next - 1 - sequence;
        // What is older than the window is taken for late: a broker that repeats it would have kept it long.
        let bit = if behind < 64 { 1 << behind } else { 0 };
        if self.window & bit != 0 {
            self.repeated += 1;
        } else {
            self.window |= bit;
            self.received += 1;
            self.disordered += 1;
        }
    }
}

/// What one backend, or one group that shares a subscription, has heard of all docks.
#[derive(Debug)]
pub(super) struct Ears {
    tracks: Vec<[Track; Stream::DATA]>,
    latency: [Histogram<u64>; Stream::DATA],
    /// Different messages that have come.
    pub(super) received: u64,
    /// Messages that no dock of this run has sent.
    pub(super) foreign: u64,
}

impl Ears {
    pub(super) fn new(docks: usize) -> Self {
        Self {
            tracks: vec![[Track::default(); Stream::DATA]; docks],
            latency: std::array::from_fn(|_| histogram()),
            received: 0,
            foreign: 0,
        }
    }

    /// A message came, `now` microseconds since the run began.
    pub(super) fn note(&mut self, stamp: Stamp, now: u64) {
        let stream = usize::from(stamp.stream);
        let track = self.tracks.get_mut(stamp.sender as usize).and_then(|dock| dock.get_mut(stream));
        let Some(track) = track else {
            self.foreign += 1;
            return;
        };
        let before = track.received;
        track.note(stamp.sequence);
        if track.received > before {
            self.received += 1;
            self.latency[stream].saturating_record(now.saturating_sub(stamp.micros));
        }
    }

    /// What has come of one stream of one dock.
    pub(super) fn track(&self, dock: usize, stream: Stream) -> Track {
        self.tracks[dock][stream.index()]
    }

    /// How long the messages of a data stream took, in microseconds.
    pub(super) fn latency(&self, stream: Stream) -> &Histogram<u64> {
        &self.latency[stream.index()]
    }
}

/// A histogram of microseconds, exact to a thousandth.
pub(super) fn histogram() -> Histogram<u64> {
    let within = Histogram::new_with_bounds(1, LATEST, 3);
    within.expect("the lower bound is above 0, the upper above twice the lower, and 3 digits are allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(sequences: impl IntoIterator<Item = u32>) -> (u32, u32, u32) {
        let mut track = Track::default();
        sequences.into_iter().for_each(|sequence| track.note(sequence));
        (track.received, track.repeated, track.disordered)
    }

    #[test]
    fn what_comes_in_order_is_neither_repeated_nor_disordered() {
        assert_eq!(track(0..1000), (1000, 0, 0));
        assert_eq!(track([3, 4, 200, 201]), (4, 0, 0));
    }

    #[test]
    fn what_comes_again_is_counted_once() {
        assert_eq!(track([0, 0, 1, 2, 1, 2]), (3, 3, 0));
        assert_eq!(track([0, 64, 0]), (3, 0, 1), "too old to be remembered");
    }

    #[test]
    fn what_comes_late_is_received_and_disordered() {
        assert_eq!(track([0, 2, 1, 3, 63, 4, 4]), (6, 1, 2));
    }

    #[test]
    fn messages_of_no_dock_of_this_run_are_foreign() {
        let mut ears = Ears::new(2);
        let stamp = Stamp { run: 1, stream: 0, sender: 1, sequence: 0, micros: 100 };
        ears.note(stamp, 350);
        ears.note(Stamp { sender: 2, ..stamp }, 350);
        ears.note(Stamp { stream: 7, ..stamp }, 350);
        assert_eq!((ears.received, ears.foreign), (1, 2));
        assert_eq!(ears.latency(Stream::AircraftOsd).max(), 250);
    }
}
