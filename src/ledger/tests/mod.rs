//! The state machine, case by case.

mod bounds;
mod endings;
mod journal;
mod matching;
mod release;
mod restart;
mod slots;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

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

    /// One whose ledger is kept in a notebook.
    pub(super) fn kept(rules: Rules) -> (Desk, Arc<Notebook>) {
        let notebook = Arc::new(Notebook::default());
        let ledger = Ledger::with_journal(rules, Arc::clone(&notebook) as Arc<dyn Journal>);
        (Desk { ledger, now: Cell::new(1_700_000_000_000) }, notebook)
    }

    /// What a new process finds, with a notebook of its own that begins where the other one ends.
    pub(super) fn after_a_restart(&self, rules: Rules, notebook: &Notebook) -> (Desk, Arc<Notebook>, Restored) {
        let copy = Arc::new(notebook.copy());
        let (ledger, restored) = Ledger::restore(rules, Arc::clone(&copy) as _, copy.records(), self.now());
        (Desk { ledger, now: self.now.clone() }, copy, restored)
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

/// A journal in memory: every record as it was last told, and how often it was told one.
#[derive(Debug, Default)]
pub(super) struct Notebook(Mutex<Pages>);

#[derive(Debug, Default, Clone)]
struct Pages {
    gateways: BTreeMap<Box<str>, Vec<u8>>,
    ended: BTreeMap<u64, Vec<u8>>,
    told: u64,
}

impl Journal for Notebook {
    fn gateway(&self, gateway: &str, record: Option<Vec<u8>>) -> u64 {
        let mut pages = self.0.lock();
        put(&mut pages.gateways, gateway.into(), record);
        pages.told += 1;
        pages.told
    }

    fn ended(&self, place: u64, record: Option<Vec<u8>>) -> u64 {
        let mut pages = self.0.lock();
        put(&mut pages.ended, place, record);
        pages.told += 1;
        pages.told
    }
}

fn put<K: Ord>(records: &mut BTreeMap<K, Vec<u8>>, key: K, record: Option<Vec<u8>>) {
    match record {
        Some(record) => drop(records.insert(key, record)),
        None => assert!(records.remove(&key).is_some(), "what is not there need not be forgotten"),
    }
}

impl Notebook {
    pub(super) fn with(records: Records) -> Notebook {
        let (gateways, ended) = (records.gateways.into_iter().collect(), records.ended.into_iter().collect());
        Notebook(Mutex::new(Pages { gateways, ended, told: 0 }))
    }

    pub(super) fn copy(&self) -> Notebook {
        Notebook(Mutex::new(self.0.lock().clone()))
    }

    pub(super) fn records(&self) -> Records {
        let Pages { gateways, ended, .. } = self.0.lock().clone();
        Records { gateways: gateways.into_iter().collect(), ended: ended.into_iter().collect() }
    }

    /// How many records it has been told.
    pub(super) fn told(&self) -> u64 {
        self.0.lock().told
    }

    /// The record of the gateway that is talked about.
    pub(super) fn gateway_record(&self) -> serde_json::Value {
        let pages = self.0.lock();
        pages.gateways.get(DOCK).map_or(serde_json::Value::Null, |it| serde_json::from_slice(it).expect("JSON"))
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
