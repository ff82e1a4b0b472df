//! What holds in the ledger whatever is said, in whatever order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dockgate::hook::{DigestKey, Hook, Publisher, Verdict};
use dockgate::ledger::{
    Journal, Ledger, Now, Observation, Observer, Policy, Records, Rules, Scope, UploadView, Wanted,
};
use proptest::prelude::*;

const GATEWAYS: [&str; 4] = ["DOCK-A", "DOCK-B", "DOCK-C", "DOCK-D"];
const SECRETS: [&str; 3] = ["STS.SECRETID", "SECRETKEY", "SECRETTOKEN"];

#[derive(Debug)]
struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: &Observation) {}
}

/// A journal in memory.
#[derive(Debug, Default)]
struct Notebook(Mutex<Pages>);

/// Records by gateway, and by place.
type Pages = (BTreeMap<Box<str>, Vec<u8>>, BTreeMap<u64, Vec<u8>>);

impl Journal for Notebook {
    fn gateway(&self, gateway: &str, record: Option<Vec<u8>>) -> u64 {
        let gateways = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).0;
        match record {
            Some(record) => gateways.insert(gateway.into(), record),
            None => gateways.remove(gateway),
        };
        1
    }

    fn ended(&self, place: u64, record: Option<Vec<u8>>) -> u64 {
        let ended = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).1;
        match record {
            Some(record) => ended.insert(place, record),
            None => ended.remove(&place),
        };
        1
    }
}

impl Notebook {
    fn records(&self) -> Records {
        let (gateways, ended) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Records { gateways: gateways.into_iter().collect(), ended: ended.into_iter().collect() }
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Start { name: u8, data: u8, modules: u8 },
    StartReply { name: u8, result: i64, is_named: bool },
    Progress { name: u8, key: u8, status: &'static str, files: &'static str, modules: u8 },
    Cancel { name: u8, modules: u8 },
    CancelReply { name: u8, result: i64 },
    ListReply,
    Wait { seconds: u16, tick: bool },
    Gone { own: bool },
    Back { own: bool },
    Garbage(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let name = || 0..4_u8;
    let modules = || 0..8_u8;
    let result = || prop_oneof![Just(0_i64), Just(0), Just(325_009)];
    let status = || prop::sample::select(vec!["", "in_progress", "ok", "failed", "canceled", "file_zip", "uploading"]);
    let step = prop_oneof![
        4 => (name(), 0..3_u8, modules()).prop_map(|(name, data, modules)| Step::Start { name, data, modules }),
        2 => (name(), result(), any::<bool>()).prop_map(|(name, result, is_named)| Step::StartReply { name, result, is_named }),
        4 => (name(), 0..4_u8, status(), status(), modules())
            .prop_map(|(name, key, status, files, modules)| Step::Progress { name, key, status, files, modules }),
        2 => (name(), modules()).prop_map(|(name, modules)| Step::Cancel { name, modules }),
        2 => (name(), result()).prop_map(|(name, result)| Step::CancelReply { name, result }),
        1 => Just(Step::ListReply),
        3 => (prop::sample::select(vec![0_u16, 3, 16, 31, 121, 601]), any::<bool>())
            .prop_map(|(seconds, tick)| Step::Wait { seconds, tick }),
        1 => any::<bool>().prop_map(|own| Step::Gone { own }),
        1 => any::<bool>().prop_map(|own| Step::Back { own }),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Garbage),
    ];
    prop::collection::vec((0..GATEWAYS.len(), step), 1..120)
}

fn rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), any::<bool>(), 0..4_usize, 0..8_usize, 1..5_usize, 1..4_usize).prop_map(
        |(observe, module, history_per_gateway, history_total, max_gateways, max_aliases)| Rules {
            policy: if observe { Policy::Observe } else { Policy::Enforce },
            scope: if module { Scope::Module } else { Scope::Gateway },
            history_per_gateway,
            history_total,
            max_gateways,
            max_aliases,
            ..Rules::default()
        },
    )
}

fn named(modules: u8) -> Vec<&'static str> {
    let all = ["0", "3", "7"];
    all.into_iter().enumerate().filter(|(at, _)| modules & (1 << at) != 0).map(|(_, module)| module).collect()
}

/// A hook, its ledger, and the time.
struct World {
    hook: Hook,
    ledger: Arc<Ledger>,
    notebook: Arc<Notebook>,
    now: Now,
    /// Who is connected.
    online: BTreeSet<String>,
    /// The clock of the devices, so that no two events have the same bytes unless they should.
    stamp: u64,
}

impl World {
    fn new(rules: Rules) -> World {
        let notebook = Arc::new(Notebook::default());
        let ledger = Ledger::with_journal(rules, Arc::clone(&notebook) as Arc<dyn Journal>);
        World::of(ledger, notebook, Now(1_700_000_000_000), 0)
    }

    fn of(ledger: Ledger, notebook: Arc<Notebook>, now: Now, stamp: u64) -> World {
        let ledger = Arc::new(ledger);
        let hook = Hook::new(Arc::clone(&ledger), Arc::new(Nobody), DigestKey::from([7; 32]));
        let online = GATEWAYS.iter().chain(&["bridge"]).map(|client| (*client).to_owned()).collect();
        World { hook, ledger, notebook, now, online, stamp }
    }

    /// What a new process makes of what the journal has now. Every client has come back.
    fn restarted(&self, rules: Rules) -> World {
        let notebook =
            Arc::new(Notebook(Mutex::new(self.notebook.0.lock().unwrap_or_else(PoisonError::into_inner).clone())));
        let (ledger, restored) = Ledger::restore(rules, Arc::clone(&notebook) as _, notebook.records(), self.now);
        assert!(restored.unreadable.is_empty(), "{:?}", restored.unreadable);
        World::of(ledger, notebook, self.now, self.stamp)
    }

    fn all_come_back(&mut self) {
        for client in GATEWAYS.iter().chain(&["bridge"]) {
            self.online.insert((*client).to_owned());
            self.ledger.client_back(client, self.now);
        }
    }

    /// What is known of the gateways with uploads, less what need not be the same after a restart: numbers and lists.
    fn known(&self) -> Vec<serde_json::Value> {
        let views = GATEWAYS.iter().filter_map(|gateway| self.ledger.gateway(gateway, self.now));
        let views = views.filter(|view| !view.running.is_empty() || view.ended > 0);
        let mut views: Vec<_> = views.map(|view| serde_json::to_value(view).expect("a view serialises")).collect();
        views.iter_mut().for_each(|view| strip(view, &["id", "listed"]));
        views
    }

    fn known_but_for_progress(&self) -> Vec<serde_json::Value> {
        const PROGRESS: [&str; 16] = [
            "age_ms",
            "heard_ms",
            "refused",
            "refusals",
            "present",
            "gone_ms",
            "status",
            "code",
            "meaning",
            "size",
            "progress",
            "current_step",
            "total_step",
            "overall",
            "upload_rate",
            "finish_time",
        ];
        let mut views = self.known();
        views.iter_mut().for_each(|view| strip(view, &PROGRESS));
        views
    }

    fn publish(&self, client: &str, gateway: &str, level: &str, payload: &[u8]) -> Verdict {
        let topic = format!("thing/product/{gateway}/{level}");
        let topic = Hook::concerns(&topic).expect("one of the three");
        let publisher = Publisher { client_id: client, is_here: true, may_speak_as_gateway: true, may_command: true };
        self.hook.inspect(&publisher, topic, payload, self.now).verdict
    }

    fn say(&self, client: &str, gateway: &str, level: &str, message: &serde_json::Value) -> Verdict {
        self.publish(client, gateway, level, message.to_string().as_bytes())
    }

    /// Something happens. What is said to the hook has a verdict.
    fn take(&mut self, gateway: &str, step: &Step) -> Vec<Verdict> {
        use serde_json::json;
        let mut verdicts = Vec::new();
        self.stamp += 1;
        let dock = if self.stamp.is_multiple_of(5) { "bridge" } else { gateway };
        match step {
            Step::Start { name, data, modules } => {
                let files: Vec<_> = named(*modules)
                    .iter()
                    .map(|module| json!({"module": module, "object_key": format!("k{data}"), "list": [{"boot_index": data}]}))
                    .collect();
                let credentials =
                    json!({"access_key_id": SECRETS[0], "access_key_secret": SECRETS[1], "security_token": SECRETS[2]});
                let data = json!({"bucket": "b", "credentials": credentials, "params": {"files": files}, "n": data});
                verdicts.push(self.say("backend", gateway, "services", &json!({"tid": format!("t{name}"), "bid": format!("b{name}"), "method": "fileupload_start", "data": data})));
            }
            Step::StartReply { name, result, is_named } => {
                let mut reply =
                    json!({"tid": format!("t{name}"), "bid": format!("b{name}"), "data": {"result": result}});
                if *is_named {
                    reply["method"] = json!("fileupload_start");
                }
                self.say(dock, gateway, "services_reply", &reply);
            }
            Step::Progress { name, key, status, files, modules } => {
                let files: Vec<_> = named(*modules)
                    .iter()
                    .map(|module| json!({"module": module, "size": 5, "key": format!("k{key}"), "progress": {"progress": 1, "status": files}}))
                    .collect();
                let data = json!({"output": {"status": status, "ext": {"files": files}}});
                self.say(dock, gateway, "events", &json!({"tid": "t", "bid": format!("b{name}"), "timestamp": self.stamp / 2, "method": "fileupload_progress", "data": data}));
            }
            Step::Cancel { name, modules } => {
                let data = json!({"status": "cancel", "module_list": named(*modules)});
                self.say("backend", gateway, "services", &json!({"tid": format!("c{name}"), "bid": format!("b{name}"), "method": "fileupload_update", "data": data}));
            }
            Step::CancelReply { name, result } => {
                self.say(
                    dock,
                    gateway,
                    "services_reply",
                    &json!({"tid": format!("c{name}"), "method": "fileupload_update", "data": {"result": result}}),
                );
            }
            Step::ListReply => {
                let data = json!({"result": 0, "files": [{"module": "3", "list": [{"boot_index": 1}]}]});
                self.say(
                    dock,
                    gateway,
                    "services_reply",
                    &json!({"tid": "l", "method": "fileupload_list", "data": data}),
                );
            }
            Step::Wait { seconds, tick } => {
                self.now = self.now.after(Duration::from_secs(u64::from(*seconds)));
                if *tick {
                    self.ledger.tick(self.now);
                }
            }
            Step::Gone { own } => {
                let client = if *own { gateway } else { "bridge" };
                self.online.remove(client);
                self.ledger.client_gone(client, self.now, &|client| self.online.contains(client));
            }
            Step::Back { own } => {
                let client = if *own { gateway } else { "bridge" };
                self.online.insert(client.to_owned());
                self.ledger.client_back(client, self.now);
            }
            Step::Garbage(bytes) => {
                let payload = [b"{\"method\":\"fileupload_start\",", &bytes[..]].concat();
                for level in ["services", "services_reply", "events"] {
                    verdicts.push(self.publish(gateway, gateway, level, &payload));
                }
            }
        }
        verdicts
    }

    fn running(&self) -> Vec<UploadView> {
        self.ledger.gateways(self.now).into_iter().flat_map(|view| view.running).collect()
    }

    /// The same, but time ends what it ends at its moment: what is looked at later ends in an order that nothing promises,
    /// and of a history that is full, others are forgotten.
    fn take_in_time(&mut self, gateway: &str, step: &Step) -> Vec<Verdict> {
        let Step::Wait { seconds, .. } = step else {
            // Of a gateway that only showed a list nothing is kept.
            let is_first = matches!(step, Step::ListReply) && self.ledger.gateway(gateway, self.now).is_none();
            return if is_first { Vec::new() } else { self.take(gateway, step) };
        };
        let until = self.now.after(Duration::from_secs(u64::from(*seconds)));
        while let Some(due) = self.ledger.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.ledger.tick(self.now);
        }
        self.now = until;
        Vec::new()
    }

    /// Ticks at every deadline until there is none, at most so many times.
    fn let_time_pass(&mut self) {
        for _ in 0..1_000 {
            let Some(at) = self.ledger.next_deadline() else {
                return;
            };
            assert!(at <= self.now.after(Duration::from_secs(601)), "a deadline beyond every time-out");
            self.now = self.now.max(at);
            self.ledger.tick(self.now);
        }
        panic!("deadlines without end");
    }
}

/// Takes fields out, however deep they are.
fn strip(value: &mut serde_json::Value, fields: &[&str]) {
    match value {
        serde_json::Value::Object(object) => {
            object.retain(|field, _| !fields.contains(&&**field));
            object.values_mut().for_each(|value| strip(value, fields));
        }
        serde_json::Value::Array(array) => array.iter_mut().for_each(|value| strip(value, fields)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_leaves_two_running_uploads_in_a_slot(rules in rules(), steps in steps()) {
        let mut world = World::new(rules.clone());
        for (gateway, step) in &steps {
            world.take(GATEWAYS[*gateway], step);
            for view in world.ledger.gateways(world.now) {
                let mut slots: Vec<&str> = view.running.iter().map(|upload| upload.slots).collect();
                slots.sort_unstable();
                let is_right = match rules.scope {
                    Scope::Gateway => matches!(slots[..], [] | ["both"]),
                    Scope::Module => matches!(slots[..], [] | [_] | ["aircraft", "dock"]),
                };
                prop_assert!(is_right, "{:?}", slots);
            }
        }
    }

    #[test]
    fn history_gateways_and_names_stay_bounded(rules in rules(), steps in steps()) {
        let mut world = World::new(rules.clone());
        for (gateway, step) in &steps {
            world.take(GATEWAYS[*gateway], step);
            let (gateways, history) = world.ledger.held();
            prop_assert!(gateways <= rules.max_gateways);
            prop_assert!(history <= rules.history_total);
            let views = world.ledger.gateways(world.now);
            prop_assert_eq!(views.len(), gateways);
            prop_assert_eq!(views.iter().map(|view| view.ended).sum::<usize>(), history);
            for view in views {
                prop_assert!(view.ended <= rules.history_per_gateway);
                prop_assert!(view.running.iter().all(|upload| upload.aliases.len() <= rules.max_aliases));
            }
        }
    }

    #[test]
    fn the_gauge_is_what_is_running(rules in rules(), steps in steps()) {
        let mut world = World::new(rules);
        for (gateway, step) in &steps {
            world.take(GATEWAYS[*gateway], step);
            let running = world.running();
            let count = |state| running.iter().filter(|upload| upload.state == state).count() as u64;
            prop_assert_eq!(world.ledger.active(), (count("pending"), count("active"), count("cancelling")));
        }
    }

    #[test]
    fn every_slot_is_free_in_the_end_when_time_passes(rules in rules(), steps in steps()) {
        let mut world = World::new(rules);
        for (gateway, step) in &steps {
            world.take(GATEWAYS[*gateway], step);
        }
        world.let_time_pass();
        prop_assert_eq!(world.running().len(), 0);
        prop_assert_eq!(world.ledger.active(), (0, 0, 0));
        for gateway in GATEWAYS {
            let start = serde_json::json!({"tid": "last", "bid": "last", "method": "fileupload_start", "data": {"n": "last"}});
            prop_assert!(world.say("backend", gateway, "services", &start).forwards());
            world.let_time_pass();
        }
    }

    /// With `enforce` and one slot, between a start that passed and the end of its upload every other
    /// start is refused.
    #[test]
    fn a_different_start_passes_only_when_nothing_is_running(rules in rules(), steps in steps()) {
        let rules = Rules { policy: Policy::Enforce, scope: Scope::Gateway, max_gateways: 100, ..rules };
        let mut world = World::new(rules);
        for (at, (gateway, step)) in steps.iter().enumerate() {
            world.take(GATEWAYS[*gateway], step);
            world.ledger.tick(world.now);
            let is_busy = world.ledger.gateway(GATEWAYS[*gateway], world.now).is_some_and(|view| !view.running.is_empty());
            if is_busy {
                let probe = serde_json::json!({"tid": "p", "bid": "p", "method": "fileupload_start", "data": {"n": at, "probe": true}});
                let verdict = world.say("backend", GATEWAYS[*gateway], "services", &probe);
                prop_assert!(matches!(verdict, Verdict::Refuse(_)));
            }
        }
    }

    #[test]
    fn no_credential_is_in_any_debug_or_view_output(rules in rules(), steps in steps()) {
        let mut world = World::new(rules);
        for (gateway, step) in &steps {
            world.take(GATEWAYS[*gateway], step);
        }
        let mut shown = format!("{:?} {:?}", world.ledger, world.hook);
        shown += &serde_json::to_string(&world.ledger.uploads(&Wanted::default(), world.now).uploads).expect("views serialise");
        for gateway in GATEWAYS {
            shown += &serde_json::to_string(&world.ledger.gateway(gateway, world.now)).expect("views serialise");
        }
        let records = world.notebook.records();
        for record in records.gateways.iter().map(|(_, record)| record).chain(records.ended.iter().map(|(_, record)| record)) {
            shown += &String::from_utf8_lossy(record);
        }
        for secret in SECRETS {
            prop_assert!(!shown.contains(secret));
        }
    }

    /// Two brokers hear the same, and one of them is restarted in the middle: a second after the last message, or when it
    /// has been told to end.
    #[test]
    fn a_restart_changes_nothing(rules in rules(), steps in steps(), at in any::<prop::sample::Index>(), is_killed: bool) {
        let rules = Rules { max_gateways: 100, ..rules };
        let at = at.index(steps.len());
        let mut before = World::new(rules.clone());
        for (gateway, step) in &steps[..at] {
            before.take_in_time(GATEWAYS[*gateway], step);
        }
        if is_killed {
            before.take_in_time("", &Step::Wait { seconds: 1, tick: true });
        } else {
            before.ledger.flush(before.now);
        }
        let mut after = before.restarted(rules);
        before.all_come_back();
        after.all_come_back();
        prop_assert_eq!(before.known(), after.known());
        for (gateway, step) in &steps[at..] {
            let verdicts = (before.take_in_time(GATEWAYS[*gateway], step), after.take_in_time(GATEWAYS[*gateway], step));
            prop_assert_eq!(verdicts.0, verdicts.1, "{:?}", step);
            prop_assert_eq!(before.known(), after.known(), "{:?}", step);
            prop_assert_eq!(before.ledger.active(), after.ledger.active());
        }
        before.let_time_pass();
        after.let_time_pass();
        prop_assert_eq!(after.ledger.active(), (0, 0, 0));
        after.ledger.flush(after.now);
        prop_assert_eq!(after.notebook.records(), after.ledger.records());
    }

    /// Anything at all, on any of the three topics.
    #[test]
    fn no_payload_panics_or_is_refused_on_an_idle_gateway(payload in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
        let world = World::new(Rules::default());
        for level in ["services", "services_reply", "events"] {
            for payload in [&payload[..], text.as_bytes(), format!("{{\"method\":\"fileupload_progress\",{text}}}").as_bytes()] {
                prop_assert_eq!(world.publish("x", "DOCK-A", level, payload), Verdict::Forward);
            }
        }
    }
}

proptest! {
    // Each looks at everything after every step.
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Nothing stale, nothing missing, nothing left behind.
    #[test]
    fn what_the_journal_has_is_what_the_ledger_knows(rules in rules(), steps in steps()) {
        let mut world = World::new(rules);
        for (gateway, step) in &steps {
            world.take(GATEWAYS[*gateway], step);
            world.ledger.flush(world.now);
            prop_assert_eq!(world.notebook.records(), world.ledger.records(), "{:?}", step);
        }
    }

    /// Killed in the midst of a burst: what the last second said of the progress may be unknown, and nothing else.
    #[test]
    fn a_kill_at_any_moment_loses_progress_at_most(rules in rules(), steps in steps()) {
        let mut before = World::new(rules.clone());
        for (gateway, step) in &steps {
            before.take(GATEWAYS[*gateway], step);
            let after = before.restarted(rules.clone());
            prop_assert_eq!(before.known_but_for_progress(), after.known_but_for_progress(), "{:?}", step);
            prop_assert_eq!(before.ledger.active(), after.ledger.active());
        }
    }
}
