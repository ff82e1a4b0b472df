//! The state machine, case by case.

mod bounds;
mod endings;
mod matching;
mod slots;

use std::cell::Cell;
use std::time::Duration;

use super::*;

pub(super) const DOCK: &str = "4TADKAQ000000A";

/// How a case gets to where it begins.
pub(super) type Reach = fn(&Desk);

/// A ledger with a clock that the test moves, and one gateway to talk about.
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    now: Cell<u64>,
}

impl Desk {
    pub(super) fn new() -> Desk {
        Desk::with(Rules::default())
    }

    pub(super) fn with(rules: Rules) -> Desk {
        Desk { ledger: Ledger::new(rules), now: Cell::new(1_700_000_000_000) }
    }

    pub(super) fn now(&self) -> Now {
        Now(self.now.get())
    }

    /// Moves the clock, without a tick.
    pub(super) fn wait(&self, seconds: u64) -> &Desk {
        self.now.set(self.now.get() + seconds * 1_000);
        self
    }

    pub(super) fn tick(&self) -> Vec<Observation> {
        self.ledger.tick(self.now())
    }

    pub(super) fn say(&self, client: &str, tid: &str, bid: &str, body: Body<'_>) -> Effects {
        self.ledger.apply(DOCK, &Event { client, is_here: true, tid, bid, body }, self.now())
    }

    /// A start named `bid` (tid `t-bid`) with this data.
    pub(super) fn start(&self, bid: &str, data: u64, modules: &[&str]) -> Effects {
        let files =
            modules.iter().map(|module| StartFile { module: Module::read(module), object_key: "", device_sn: "" });
        let start = Start { digest: Some(Digest(data)), files: files.collect(), ambiguous: false };
        self.say("backend", &format!("t-{bid}"), bid, Body::Start(start))
    }

    pub(super) fn reply(&self, bid: &str, result: i64) -> Effects {
        self.say(DOCK, &format!("t-{bid}"), bid, Body::StartReply(Some(result)))
    }

    /// A progress event with this `output.status` and, for each module, this `progress.status`.
    pub(super) fn progress(&self, bid: &str, status: &str, files: &[(&str, &str)]) -> Effects {
        let files = files.iter().map(|(module, status)| file(module, status, ""));
        let progress = Progress { status, files: files.collect(), ..Progress::default() };
        self.say(DOCK, "", bid, Body::Progress(progress))
    }

    pub(super) fn cancel(&self, tid: &str, modules: &[&str]) -> Effects {
        let slots = modules.iter().map(|module| Module::read(module).slots()).fold(Slots::NONE, Slots::with);
        self.say("backend", tid, tid, Body::Cancel(slots.or_all()))
    }

    pub(super) fn cancel_reply(&self, tid: &str, result: i64) -> Effects {
        self.say(DOCK, tid, tid, Body::CancelReply(Some(result)))
    }

    pub(super) fn view(&self) -> GatewayView {
        self.ledger.gateway(DOCK, self.now()).expect("the gateway has state")
    }

    /// The states of what is running.
    pub(super) fn states(&self) -> Vec<&'static str> {
        self.view().running.iter().map(|upload| upload.state).collect()
    }

    /// How the uploads ended, the last first.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        self.view().history.unwrap_or_default().iter().filter_map(|upload| upload.outcome).collect()
    }
}

pub(super) fn file<'a>(module: &str, status: &'a str, key: &'a str) -> ProgressFile<'a> {
    ProgressFile {
        module: Module::read(module),
        device_sn: "",
        key,
        fingerprint: "",
        status,
        size: Some(155_232),
        progress: Some(50),
        current_step: Some(2),
        total_step: Some(4),
        upload_rate: Some(0.5),
        finish_time: None,
        result: None,
    }
}

pub(super) fn saw(effects: &Effects, observation: Observation) -> bool {
    effects.observations.contains(&observation)
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
