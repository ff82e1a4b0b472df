//! The upload guard: messages on the three topics that it reads, clients that come and go, and time.
//!
//! Whatever is said, in whatever order: one upload at most runs in a slot, everything stays within its bounds, every slot
//! is free when time has passed, no credential is shown, and no start passes while another upload has the slot, unless it
//! repeats that upload's own start.

use std::sync::Arc;
use std::time::Duration;

use dockgate::hook::{DigestKey, Hook, Kind, Publisher, Topic, Verdict};
use dockgate::ledger::{Ledger, Now, Observation, Observer, Policy, Rules, Scope, UploadView, Wanted};
use serde_json::Value;

use super::input::Input;

/// Operations of one input.
const MAX_STEPS: usize = 40;
const GATEWAYS: [&str; 4] = ["DOCK-A", "DOCK-B", "DOCK-C", "x y"];
const KINDS: [Kind; 3] = [Kind::Services, Kind::ServicesReply, Kind::Events];
/// What the templates have for credentials, and what may be found nowhere.
const SECRETS: [&str; 3] = ["SECRETKEYID", "SECRETACCESSKEY", "SECRETTOKEN"];
/// Messages as they should be. An input may use one as it is, or with some bytes replaced.
const TEMPLATES: [&str; 8] = [
    r#"{"tid":"t1","bid":"b1","timestamp":1,"method":"fileupload_start","data":{"bucket":"b","credentials":{"access_key_id":"SECRETKEYID","access_key_secret":"SECRETACCESSKEY","expire":1,"security_token":"SECRETTOKEN"},"params":{"files":[{"module":"3","object_key":"k1","list":[{"boot_index":1}]}]}}}"#,
    r#"{"tid":"t2","bid":"b2","method":"fileupload_start","data":{"params":{"files":[{"module":"0","object_key":"k2"},{"module":"3","object_key":"k3"}]},"n":1}}"#,
    r#"{"tid":"t1","bid":"b1","method":"fileupload_start","data":{"result":0}}"#,
    r#"{"tid":"t1","bid":"b1","data":{"result":325009}}"#,
    r#"{"tid":"p1","bid":"b1","method":"fileupload_progress","gateway":"DOCK-A","data":{"output":{"status":"in_progress","ext":{"files":[{"module":"3","size":5,"device_sn":"DOCK-A","key":"k1","fingerprint":"f","progress":{"current_step":1,"total_step":2,"progress":10,"finish_time":0,"upload_rate":100,"result":0,"status":"uploading"}}]}}}}"#,
    r#"{"tid":"p2","bid":"b1","method":"fileupload_progress","data":{"output":{"status":"ok","ext":{"files":[{"module":"3","key":"k1","progress":{"prgress":"100","status":"ok"}}]}}}}"#,
    r#"{"tid":"c1","bid":"b1","method":"fileupload_update","data":{"status":"cancel","module_list":["3"]}}"#,
    r#"{"tid":"l1","bid":"b1","method":"fileupload_list","data":{"result":0,"files":[{"module":"3","result":0,"device_sn":"","list":[{"boot_index":1,"start_time":1659427398806,"end_ime":1659427399,"size":"5"}]}]}}"#,
];

#[derive(Debug)]
struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: &Observation) {}
}

/// The guard, and what it has let through.
struct World {
    hook: Hook,
    ledger: Arc<Ledger>,
    now: Now,
    /// The `data` of the starts that passed, by gateway, while one of them holds the slot.
    passed: [Vec<Value>; GATEWAYS.len()],
}

/// Plays one input.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let shape = input.byte();
    let rules = Rules {
        policy: if shape & 1 != 0 { Policy::Observe } else { Policy::Enforce },
        scope: if shape & 2 != 0 { Scope::Module } else { Scope::Gateway },
        max_gateways: if shape & 4 != 0 { 1 } else { 10 },
        history_per_gateway: 3,
        history_total: 5,
        max_aliases: 2,
        max_listed_files: 4,
        ..Rules::default()
    };
    let ledger = Arc::new(Ledger::new(rules));
    let hook = Hook::new(ledger.clone(), Arc::new(Nobody), DigestKey::random());
    let mut world = World { hook, ledger, now: Now(1_700_000_000_000), passed: Default::default() };
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.check();
    }
    world.let_time_pass();
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let step = input.byte();
        let at = usize::from(step & 3);
        let kind = KINDS[usize::from((step >> 2) & 3).min(2)];
        match step >> 4 {
            0..=3 => self.publish(at, kind, input.long()),
            // A template, whole or with a part replaced; the method belongs to the topic unless the input says otherwise.
            4..=11 => {
                let template = TEMPLATES[usize::from(input.byte()) % TEMPLATES.len()];
                self.publish(at, kind, template.as_bytes());
            }
            12 | 13 => {
                let mut payload = TEMPLATES[usize::from(input.byte()) % TEMPLATES.len()].as_bytes().to_vec();
                let from = usize::from(input.two()) % (payload.len() + 1);
                let until = (from + usize::from(input.byte())).min(payload.len());
                payload.splice(from..until, input.short().iter().copied());
                self.publish(at, kind, &payload);
            }
            14 => {
                let seconds = [1, 3, 16, 31, 121, 601, 3_600, 0][usize::from(input.byte()) % 8];
                self.now = self.now.after(Duration::from_secs(seconds));
                if step & 4 != 0 {
                    self.ledger.tick(self.now);
                }
            }
            _ => {
                let client = if step & 4 != 0 { GATEWAYS[at] } else { "bridge" };
                if step & 8 != 0 {
                    self.ledger.client_gone(client, self.now, &|_| step & 4 == 0);
                } else {
                    self.ledger.client_back(client, self.now);
                }
            }
        }
    }

    fn publish(&mut self, at: usize, kind: Kind, payload: &[u8]) {
        let topic = Topic { gateway: GATEWAYS[at], kind };
        let client_id = if payload.len().is_multiple_of(5) { "bridge" } else { GATEWAYS[at] };
        let publisher = Publisher { client_id, is_here: true, may_speak_as_gateway: true, may_command: true };
        // The ledger learns of a time-out when it is told the time, so that the slot is really taken or really free.
        self.ledger.tick(self.now);
        let before = self.running(at);
        let verdict = self.hook.inspect(&publisher, topic, payload, self.now).verdict;
        if let Verdict::Refuse(refusal) = &verdict {
            assert_eq!(self.ledger.rules().policy, Policy::Enforce, "nothing is refused by who only observes");
            assert_eq!(kind, Kind::Services);
            assert!(!before.is_empty(), "a start was refused while nothing was running");
            let reply: Value = serde_json::from_slice(&refusal.reply_payload).expect("the answer is JSON");
            assert_eq!(reply["data"]["result"], 325_009);
            assert!(refusal.reply_payload.len() < 64 << 10, "the answer is larger than any request has to be");
        }
        if kind == Kind::Services {
            self.expect_guarded(at, payload, &before, &verdict);
        }
    }

    /// A start, read by a parser that is not ours, must not have passed while its slot was taken.
    fn expect_guarded(&mut self, at: usize, payload: &[u8], before: &[UploadView], verdict: &Verdict) {
        let is_guarded = self.ledger.rules().policy == Policy::Enforce
            && self.ledger.rules().scope == Scope::Gateway
            && Topic { gateway: GATEWAYS[at], kind: Kind::Services }.is_plausible();
        let Ok(Value::Object(message)) = serde_json::from_slice::<Value>(payload) else { return };
        if !is_guarded || message.get("method").and_then(Value::as_str) != Some("fileupload_start") {
            return;
        }
        let data = message.iter().find(|(key, _)| key.eq_ignore_ascii_case("data")).map(|(_, data)| data.clone());
        let data = data.unwrap_or_default();
        if before.is_empty() {
            self.passed[at].clear();
        }
        match verdict {
            Verdict::Refuse(_) => {}
            Verdict::ForwardUntil(until) => {
                assert!(*until > self.now, "a start that passed is good for no time");
                let is_retry = self.passed[at].contains(&data);
                assert!(before.is_empty() || is_retry, "a second start passed: {data}");
                self.passed[at].push(data);
            }
            // There was no place for another gateway; then it had nothing running either.
            Verdict::Forward => assert!(before.is_empty(), "a start passed unguarded while an upload was running"),
        }
    }

    fn running(&self, at: usize) -> Vec<UploadView> {
        self.ledger.gateway(GATEWAYS[at], self.now).map(|view| view.running).unwrap_or_default()
    }

    fn check(&self) {
        let rules = self.ledger.rules();
        let views = self.ledger.gateways(self.now);
        let (gateways, history) = self.ledger.held();
        assert!(gateways <= rules.max_gateways && history <= rules.history_total);
        assert_eq!((views.len(), views.iter().map(|view| view.ended).sum()), (gateways, history));
        let mut states = (0, 0, 0);
        for view in &views {
            let mut slots: Vec<&str> = view.running.iter().map(|upload| upload.slots).collect();
            slots.sort_unstable();
            let is_right = match rules.scope {
                Scope::Gateway => matches!(slots[..], [] | ["both"]),
                Scope::Module => matches!(slots[..], [] | [_] | ["aircraft", "dock"]),
            };
            assert!(is_right, "{slots:?} are running at once");
            for upload in &view.running {
                assert!(upload.aliases.len() <= rules.max_aliases);
                match upload.state {
                    "pending" => states.0 += 1,
                    "active" => states.1 += 1,
                    "cancelling" => states.2 += 1,
                    other => panic!("{other} is not running"),
                }
            }
        }
        assert_eq!(self.ledger.active(), states);
    }

    /// Ticks at every deadline until there is none; then nothing is running.
    fn let_time_pass(&mut self) {
        for _ in 0..1_000 {
            let Some(at) = self.ledger.next_deadline() else { break };
            self.now = self.now.max(at);
            self.ledger.tick(self.now);
        }
        self.check();
        assert_eq!(self.ledger.active(), (0, 0, 0), "an upload never ends");
        let shown = serde_json::to_string(&self.ledger.uploads(&Wanted::default(), self.now).uploads);
        let shown = shown.expect("views serialise") + &format!("{:?} {:?}", self.ledger, self.hook);
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{secret} is shown");
        }
    }
}
