//! What holds in the ledger whatever is said, in whatever order.

use std::sync::Arc;
use std::time::Duration;

use dockgate::hook::{DigestKey, Hook, Publisher, Verdict};
use dockgate::ledger::{Ledger, Now, Observation, Observer, Policy, Rules, Scope, UploadView, Wanted};
use proptest::prelude::*;

const GATEWAYS: [&str; 4] = ["DOCK-A", "DOCK-B", "DOCK-C", "DOCK-D"];
const SECRETS: [&str; 3] = ["STS.SECRETID", "SECRETKEY", "SECRETTOKEN"];

#[derive(Debug)]
struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: &Observation) {}
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
    now: Now,
    /// The clock of the devices, so that no two events have the same bytes unless they should.
    stamp: u64,
}

impl World {
    fn new(rules: Rules) -> World {
        let ledger = Arc::new(Ledger::new(rules));
        let hook = Hook::new(Arc::clone(&ledger), Arc::new(Nobody), DigestKey::random());
        World { hook, ledger, now: Now(1_700_000_000_000), stamp: 0 }
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

    fn take(&mut self, gateway: &str, step: &Step) {
        use serde_json::json;
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
                self.say("backend", gateway, "services", &json!({"tid": format!("t{name}"), "bid": format!("b{name}"), "method": "fileupload_start", "data": data}));
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
            Step::Gone { own } => self.ledger.client_gone(if *own { gateway } else { "bridge" }, self.now, &|_| false),
            Step::Back { own } => self.ledger.client_back(if *own { gateway } else { "bridge" }, self.now),
            Step::Garbage(bytes) => {
                let payload = [b"{\"method\":\"fileupload_start\",", &bytes[..]].concat();
                for level in ["services", "services_reply", "events"] {
                    self.publish(gateway, gateway, level, &payload);
                }
            }
        }
    }

    fn running(&self) -> Vec<UploadView> {
        self.ledger.gateways(self.now).into_iter().flat_map(|view| view.running).collect()
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
        for secret in SECRETS {
            prop_assert!(!shown.contains(secret));
        }
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
