//! Which uploads are begun when, by whom, and whether they are to be canceled: known before the first connection.

use std::time::Duration;

use super::settings::Settings;
use crate::sim::random::{Random, mix};

/// One upload that a backend wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    /// Counts all jobs.
    pub(super) number: u32,
    /// Since the uploads began.
    pub(super) at: Duration,
    pub(super) dock: u32,
    pub(super) backend: u32,
    /// Percent at which it is canceled, if it gets so far.
    pub(super) cancel_at: Option<u32>,
}

/// How long after the first a rival wants the same dock: by then the dock has answered the first, and is not done.
const RIVAL_AFTER: (u64, u64) = (1200, 2000);
/// Of a hundred uploads, so many are to be canceled.
const CANCELED: u64 = 15;

/// All jobs for ever: the same for the same seed.
#[derive(Debug)]
pub(super) struct Jobs {
    docks: Vec<u32>,
    random: Random,
    backends: u32,
    at_once: u32,
    every: Duration,
    /// Which turn on the docks is next.
    turn: u32,
    number: u32,
    rival: Option<Job>,
}

impl Jobs {
    /// None if there are to be no uploads.
    pub(super) fn new(settings: &Settings) -> Option<Self> {
        (settings.uploads > 0).then(|| Self {
            docks: settings.roster().into_iter().map(|(dock, _)| dock).collect(),
            random: Random::new(mix(settings.seed, u64::MAX - 1)),
            backends: settings.backends,
            at_once: settings.uploads,
            every: settings.upload_every,
            turn: 0,
            number: 0,
            rival: None,
        })
    }

    fn number(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.number
    }
}

impl Iterator for Jobs {
    type Item = Job;

    /// Not in order of time: a rival comes behind its first.
    fn next(&mut self) -> Option<Job> {
        if let Some(rival) = self.rival.take() {
            return Some(rival);
        }
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let first = Job {
            number: self.number(),
            at: self.every * (turn / self.at_once),
            dock: self.docks[turn as usize % self.docks.len()],
            backend: turn % self.backends,
            cancel_at: (self.random.between(1, 100) <= CANCELED)
                .then(|| u32::try_from(self.random.between(10, 60)).unwrap_or(50)),
        };
        // Every other upload has a rival: another backend, or with one only its other user.
        if turn.is_multiple_of(2) {
            self.rival = Some(Job {
                number: self.number(),
                at: first.at + Duration::from_millis(self.random.between(RIVAL_AFTER.0, RIVAL_AFTER.1)),
                backend: (turn + 1) % self.backends,
                cancel_at: None,
                ..first
            });
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_uploads_again_and_another_seed_others() {
        let first = |seed| Jobs::new(&Settings { seed, ..Settings::of(20) }).unwrap().take(200).collect::<Vec<_>>();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn uploads_go_round_the_docks_and_every_other_has_a_rival() {
        let jobs: Vec<Job> = Jobs::new(&Settings { uploads: 2, ..Settings::of(20) }).unwrap().take(30).collect();
        let mut docks: Vec<u32> = jobs.iter().map(|job| job.dock).collect();
        assert_eq!((docks[0], docks[0] != docks[2]), (docks[1], true));
        assert_ne!(jobs[0].backend, jobs[1].backend);
        assert_eq!((jobs[0].at, jobs[2].at, jobs[3].at), (Duration::ZERO, Duration::ZERO, Duration::from_secs(10)));
        docks.dedup();
        docks.sort_unstable();
        assert!(docks.into_iter().eq(0..20));
    }

    #[test]
    fn some_uploads_are_canceled() {
        let jobs = Jobs::new(&Settings::of(20)).unwrap().take(1500);
        let canceled = jobs.filter(|job| job.cancel_at.is_some()).count();
        assert!((100..200).contains(&canceled), "{canceled} of 1500, of which 500 are rivals");
    }

    #[test]
    fn no_uploads_are_no_jobs() {
        assert!(Jobs::new(&Settings { uploads: 0, ..Settings::of(20) }).is_none());
    }
}
