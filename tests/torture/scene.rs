//! What all actors share: where the broker is, what is to be done, and the history.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use crate::fact::{Fact, History};

/// How long anything may take. Only waited for in full by a test that fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A life of the broker, and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) number: usize,
    pub(crate) mqtt: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// What the actors are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Subscribe: publishers wait, so that every message has somebody to go to.
    Prelude,
    /// Publish, come and go.
    Load,
    /// Finish what was begun, stay connected, take all that comes.
    Settle,
    /// End.
    Over,
}

/// What all actors share.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) history: History,
    life: Mutex<Option<Life>>,
    stage: AtomicU8,
    /// How often all that shows from outside has been looked at.
    pub(crate) inspections: AtomicUsize,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let stage = AtomicU8::new(Stage::Prelude as u8);
        Self { history: History::new(), life: Mutex::default(), stage, inspections: AtomicUsize::new(0) }
    }

    pub(crate) fn record(&self, fact: Fact) {
        self.history.record(fact);
    }

    /// Where the broker is; nothing while it is dead.
    pub(crate) fn life(&self) -> Option<Life> {
        *self.life.lock().expect("nobody panics with it")
    }

    pub(crate) fn set_life(&self, life: Option<Life>) {
        *self.life.lock().expect("nobody panics with it") = life;
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Prelude,
            1 => Stage::Load,
            2 => Stage::Settle,
            _ => Stage::Over,
        }
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage() == Stage::Over
    }
}
