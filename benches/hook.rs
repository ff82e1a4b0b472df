//! What the hook costs a publish: next to nothing on a topic that is none of its business, a search on one that is,
//! and parsing with a turn of the ledger only where the remote log upload is spoken of.
//!
//! `cargo bench --bench hook`; the whole way of a publish through topic test, hook and ledger is measured.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use dockgate::hook::{DigestKey, Hook, Publisher};
use dockgate::ledger::{Ledger, Now, Observation, Observer, Rules};
use serde_json::json;

const GATEWAY: &str = "8UUXN000000001"; // the shape of a Dock 3's serial number
const NOW: Now = Now(1_700_000_000_000);
/// Stands in a message where a number of eight digits is to change from one to the next.
const CHANGING: &str = "@@@@@@@@";

/// Counts nothing: the price of the metrics is theirs.
#[derive(Debug)]
struct Silent;

impl Observer for Silent {
    fn observe(&self, observation: &Observation) {
        black_box(observation);
    }
}

/// A hook with a ledger of its own.
struct Subject {
    hook: Hook,
}

impl Subject {
    fn new() -> Self {
        let ledger = Arc::new(Ledger::new(Rules::default()));
        Self { hook: Hook::new(ledger, Arc::new(Silent), DigestKey::random()) }
    }

    /// What the edge does with every publish. False if it was refused.
    fn forwards(&self, topic: &str, payload: &[u8]) -> bool {
        let Some(topic) = Hook::concerns(topic) else {
            return true;
        };
        let publisher =
            Publisher { client_id: "backend", is_here: true, may_speak_as_gateway: true, may_command: true };
        self.hook.inspect(&publisher, topic, payload, NOW).verdict.forwards()
    }
}

/// A message whose changing number counts up, so that none is the repetition of the one before.
struct Message {
    bytes: Vec<u8>,
    places: Vec<usize>,
    number: u64,
}

impl Message {
    fn new(value: &serde_json::Value) -> Self {
        let text = value.to_string();
        Self { places: text.match_indices(CHANGING).map(|(at, _)| at).collect(), bytes: text.into_bytes(), number: 0 }
    }

    fn next(&mut self) -> &[u8] {
        self.number += 1;
        let mut rest = self.number;
        for digit in (0..CHANGING.len()).rev() {
            for place in &self.places {
                self.bytes[place + digit] = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
        }
        &self.bytes
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    other_topics(&mut criterion);
    other_methods(&mut criterion);
    progress(&mut criterion);
    starts(&mut criterion);
    list_reply(&mut criterion);
    criterion.final_summary();
}

fn other_topics(criterion: &mut Criterion) {
    let subject = Subject::new();
    let telemetry = format!("thing/product/{GATEWAY}/osd");
    let cases = [
        ("publish on an unrelated topic", "bench/000", 256),
        ("telemetry on osd, 0.8 KB", &telemetry, 800),
        ("telemetry on osd, 3.7 KB", &telemetry, 3_700),
    ];
    for (name, topic, size) in cases {
        let payload = padded(json!({ "tid": "t", "bid": "b", "data": {} }), size);
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| subject.forwards(black_box(topic), black_box(&payload)));
        });
    }
}

fn other_methods(criterion: &mut Criterion) {
    let subject = Subject::new();
    let topic = format!("thing/product/{GATEWAY}/events");
    let named = json!({ "bid": "b", "data": {}, "gateway": GATEWAY, "method": "hms", "tid": "t" });
    let unnamed = json!({ "bid": "b", "data": {}, "gateway": GATEWAY, "tid": "t" });
    let cases = [
        ("event of another method, 0.8 KB", &named, 800),
        ("event of another method, 3.7 KB", &named, 3_700),
        ("event without a method, 0.8 KB", &unnamed, 800),
    ];
    for (name, event, size) in cases {
        let payload = padded(event.clone(), size);
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| subject.forwards(black_box(&topic), black_box(&payload)));
        });
    }
}

fn progress(criterion: &mut Criterion) {
    let subject = Subject::new();
    let topics = Topics::new();
    assert!(subject.forwards(&topics.services, Message::new(&start()).next()));
    let mut event = Message::new(&progress_event());
    let size = event.bytes.len();
    assert!((750..1_000).contains(&size), "{size} bytes");
    criterion.bench_function("progress event, 0.8 KB", |bencher| {
        bencher.iter(|| subject.forwards(&topics.events, black_box(event.next())));
    });
    let repeated = event.next().to_vec();
    criterion.bench_function("progress event, sent again", |bencher| {
        bencher.iter(|| subject.forwards(&topics.events, black_box(&repeated)));
    });
}

fn starts(criterion: &mut Criterion) {
    let subject = Subject::new();
    let topics = Topics::new();
    let mut start = Message::new(&start());
    let mut rejection = Message::new(&json!({
        "bid": bid(), "data": { "result": 324_015 }, "method": "fileupload_start", "tid": tid(), "timestamp": 0,
    }));
    criterion.bench_function("start, and the reply that frees its slot", |bencher| {
        bencher.iter(|| {
            assert!(subject.forwards(&topics.services, black_box(start.next())));
            assert!(subject.forwards(&topics.services_reply, black_box(rejection.next())));
        });
    });
    assert!(subject.forwards(&topics.services, start.next()));
    criterion.bench_function("start, refused", |bencher| {
        bencher.iter(|| assert!(!subject.forwards(&topics.services, black_box(start.next()))));
    });
}

fn list_reply(criterion: &mut Criterion) {
    let subject = Subject::new();
    let topics = Topics::new();
    let boot = |index: u32| {
        json!({
            "boot_index": index, "start_time": 1_654_070_968_655_u64, "end_time": 1_659_427_398_806_u64, "size": 33_789,
        })
    };
    let module = |module: &str, serial: &str| {
        let list: Vec<_> = (0..380).map(boot).collect();
        json!({ "device_sn": serial, "list": list, "module": module, "result": 0 })
    };
    let request = json!({
        "bid": bid(), "data": { "module_list": ["0", "3"] }, "method": "fileupload_list", "tid": tid(), "timestamp": 0,
    });
    let reply = json!({
        "bid": bid(), "data": { "files": [module("0", "1581F000000000000001"), module("3", GATEWAY)], "result": 0 },
        "gateway": "", "method": "fileupload_list", "tid": tid(), "timestamp": 0,
    });
    assert!(subject.forwards(&topics.services, Message::new(&request).next()));
    let payload = Message::new(&reply).next().to_vec();
    let size = payload.len();
    assert!((60 << 10..68 << 10).contains(&size), "{size} bytes");
    criterion.bench_function("list reply, 64 KiB", |bencher| {
        bencher.iter(|| subject.forwards(&topics.services_reply, black_box(&payload)));
    });
}

struct Topics {
    services: String,
    services_reply: String,
    events: String,
}

impl Topics {
    fn new() -> Self {
        let of = |name: &str| format!("thing/product/{GATEWAY}/{name}");
        Self { services: of("services"), services_reply: of("services_reply"), events: of("events") }
    }
}

fn tid() -> String {
    format!("7b1d6f2e-3f05-4c3a-9d8e-2a54{CHANGING}")
}

fn bid() -> &'static str {
    "1c9a4f3b-96b7-4c85-8d52-31f5a0e6c7d2"
}

fn object_key(serial: &str) -> String {
    format!("{}/{serial}/log.tar", bid())
}

/// The sample of the protocol page, with the newer `object_key`; the security token is as long as those of object stores.
fn start() -> serde_json::Value {
    json!({
        "bid": bid(),
        "data": {
            "bucket": "stg-dji-service-hz-ksd7",
            "credentials": {
                "access_key_id": "STS.access_key_id", "access_key_secret": "access_key_secret",
                "expire": 1_659_432_522_000_u64, "security_token": format!("{CHANGING}{}", "s".repeat(1_000)),
            },
            "endpoint": "https://oss-cn-hangzhou.aliyuncs.com",
            "params": { "files": [{
                "list": [{ "boot_index": 321 }, { "boot_index": 322 }], "module": "3", "object_key": object_key(GATEWAY),
            }] },
            "provider": "ali",
        },
        "method": "fileupload_start", "tid": tid(), "timestamp": 1_659_429_523_120_u64,
    })
}

/// The sample of the protocol page: one file of the aircraft, one of the dock.
fn progress_event() -> serde_json::Value {
    let file = |module: &str, serial: &str| {
        json!({
            "device_sn": serial, "fingerprint": "4f65b891f3bc09bdb6d4c36a996b532d", "key": object_key(serial),
            "module": module,
            "progress": {
                "current_step": 19, "finish_time": 0, "progress": 40, "result": 0, "status": "file_uploading",
                "total_step": 30, "upload_rate": 5_000,
            },
            "size": 155_232,
        })
    };
    let files = [file("0", "1581F000000000000001"), file("3", GATEWAY)];
    json!({
        "bid": bid(), "data": { "output": { "ext": { "files": files }, "status": "in_progress" } },
        "gateway": GATEWAY, "method": "fileupload_progress", "need_reply": 0, "tid": tid(),
        "timestamp": 1_655_781_395_926_u64,
    })
}

/// The message with so many telemetry-like members in its `data` that it has about this size.
fn padded(mut message: serde_json::Value, size: usize) -> Vec<u8> {
    for i in 0.. {
        if message.to_string().len() >= size {
            break;
        }
        message["data"][format!("wind_speed_{i}")] = json!(3.25);
    }
    message.to_string().into_bytes()
}
