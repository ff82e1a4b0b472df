//! What the hook costs a publish: next to nothing on a topic that is none of its business, a search on one that is, and
//! parsing with a turn of the ledger only where the remote log upload is spoken of.

use super::Subject;
use super::payload::{self, Changing, GATEWAY};
use dockgate::hook::{DigestKey, Hook, Publisher};
use dockgate::ledger::{Journal, Ledger, Now, Observation, Observer, Rules};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const NOW: Now = Now(1_700_000_000_000);

/// What becomes of a ledger's records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    Nothing,
    Journal,
}

/// Counts nothing: the price of the metrics is theirs.
#[derive(Debug)]
struct Silent;

impl Observer for Silent {
    fn observe(&self, observation: &Observation) {
        black_box(observation);
    }
}

/// Keeps nothing: the price of the store is its own.
#[derive(Debug)]
struct Forgetful;

impl Journal for Forgetful {
    fn gateway(&self, _: &str, record: Option<Vec<u8>>) -> u64 {
        black_box(record);
        1
    }

    fn ended(&self, _: u64, record: Option<Vec<u8>>) -> u64 {
        black_box(record);
        1
    }
}

/// A hook with a ledger of its own, and the topics of one gateway.
struct Desk {
    hook: Hook,
    services: String,
    services_reply: String,
    events: String,
}

impl Desk {
    fn new(keeping: Keeping) -> Self {
        let ledger = match keeping {
            Keeping::Nothing => Ledger::new(Rules::default()),
            Keeping::Journal => Ledger::with_journal(Rules::default(), Arc::new(Forgetful)),
        };
        let of = |name: &str| format!("thing/product/{GATEWAY}/{name}");
        Self {
            hook: Hook::new(Arc::new(ledger), Arc::new(Silent), DigestKey::from([7; 32])),
            services: of("services"),
            services_reply: of("services_reply"),
            events: of("events"),
        }
    }

    /// One that knows of an upload.
    fn busy(keeping: Keeping) -> Self {
        let desk = Self::new(keeping);
        assert!(desk.forwards(NOW, &desk.services, Changing::new(payload::start()).next()));
        desk
    }

    /// What the edge does with every publish. False if it was refused.
    fn forwards(&self, now: Now, topic: &str, payload: &[u8]) -> bool {
        self.forwards_from(true, now, topic, payload)
    }

    fn forwards_from(&self, is_allowed: bool, now: Now, topic: &str, payload: &[u8]) -> bool {
        let Some(topic) = Hook::concerns(topic) else { return true };
        let publisher = Publisher {
            client_id: "backend",
            is_here: true,
            may_speak_as_gateway: is_allowed,
            may_command: is_allowed,
        };
        self.hook.inspect(&publisher, topic, payload, now).verdict.forwards()
    }
}

/// Whether a topic concerns the hook.
pub(crate) fn topic(topic: &'static str) -> Subject {
    Subject::part(move || {
        black_box(Hook::concerns(black_box(topic)));
    })
}

/// An event that is not of the remote log, which takes a search to see.
pub(crate) fn method(method: Option<&str>, size: usize) -> Subject {
    let (desk, event) = (Desk::new(Keeping::Nothing), payload::event(method, size));
    Subject::part(move || assert!(desk.forwards(NOW, &desk.events, black_box(&event))))
}

/// A message of the remote log of a client that may not say it: it is read, and the ledger does not hear of it.
pub(crate) fn parse(level: &str, payload: &[u8]) -> Subject {
    let (desk, payload) = (Desk::new(Keeping::Nothing), payload.to_vec());
    let topic = format!("thing/product/{GATEWAY}/{level}");
    Subject::part(move || assert!(desk.forwards_from(false, NOW, &topic, black_box(&payload))))
}

/// A start, and the reply that frees its slot.
pub(crate) fn start_and_rejection(keeping: Keeping) -> Subject {
    let desk = Desk::new(keeping);
    let (mut start, mut rejection) = (Changing::new(payload::start()), Changing::new(payload::rejection()));
    Subject::part(move || {
        assert!(desk.forwards(NOW, &desk.services, black_box(start.next())));
        assert!(desk.forwards(NOW, &desk.services_reply, black_box(rejection.next())));
    })
}

/// A start that finds its slot taken.
pub(crate) fn start_refused() -> Subject {
    let (desk, mut start) = (Desk::busy(Keeping::Nothing), Changing::new(payload::start()));
    start.next();
    Subject::part(move || assert!(!desk.forwards(NOW, &desk.services, black_box(start.next()))))
}

/// Progress, so many seconds after the one before.
pub(crate) fn progress(keeping: Keeping, seconds: u64) -> Subject {
    let (desk, mut event, mut now) = (Desk::busy(keeping), Changing::new(payload::progress()), NOW);
    assert!(desk.forwards(now, &desk.events, event.next()));
    Subject::part(move || {
        now = now.after(Duration::from_secs(seconds));
        assert!(desk.forwards(now, &desk.events, black_box(event.next())));
    })
}

/// Progress that comes a second time.
pub(crate) fn progress_again() -> Subject {
    let desk = Desk::busy(Keeping::Nothing);
    let event = Changing::new(payload::progress()).next().to_vec();
    assert!(desk.forwards(NOW, &desk.events, &event));
    Subject::part(move || assert!(desk.forwards(NOW, &desk.events, black_box(&event))))
}

/// The list of 760 logs, asked for once.
pub(crate) fn list_reply() -> Subject {
    let desk = Desk::new(Keeping::Nothing);
    assert!(desk.forwards(NOW, &desk.services, Changing::new(payload::list()).next()));
    let reply = Changing::new(payload::long_list_reply()).next().to_vec();
    Subject::part(move || assert!(desk.forwards(NOW, &desk.services_reply, black_box(&reply))))
}
