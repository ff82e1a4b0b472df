//! The cases in `corpus/upload.txt`: messages on the topics that the upload guard reads.
//!
//! `on` is the last level of the topic (`services`, `services_reply` or `events`) of a gateway that nobody has heard of; or
//! `topic` is the whole topic, in the [`notation`]. With `busy`, an upload is pending on the gateway before. `send` is the
//! payload. `then` is one of
//! - `forwarded`: every byte of it comes to the subscribers;
//! - `refused`: none of it; the guard's answer comes instead, and the publisher is told 0x97;
//! - `closed 90`: the publisher's connection is closed with this reason code.
//!
//! `counts NAME LABEL N` is by how much a metric has grown; `running N` how many uploads the gateway has afterwards, `-`
//! if there is no such gateway.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use serde_json::Value;

use crate::common::property::MAXIMUM_PACKET_SIZE;
use crate::common::{Answer, Connect, Puback, Publish, V5, Value as Size, Wire, get, metric};
use crate::corpus::{self, Case};
use crate::ground::Ground;
use crate::notation;

const WORDS: [&str; 9] = ["why", "on", "topic", "busy", "send", "then", "counts", "running", "times"];
const BUSY: &str = r#"{"tid":"busy","bid":"busy","method":"fileupload_start","data":{"busy":true}}"#;
static GATEWAY: AtomicU16 = AtomicU16::new(0);

/// A publisher, and somebody who hears everything.
struct Talk {
    publisher: Wire,
    reader: Wire,
}

impl Talk {
    fn new(ground: &Ground) -> Self {
        let publisher = Wire::clean(ground.broker.mqtt, V5, "publisher");
        let mut reader = Wire::clean(ground.broker.mqtt, V5, "reader");
        reader.subscribe(&[("thing/#", 1)]);
        Self { publisher, reader }
    }

    /// What comes to the reader, which must not get anything else.
    #[track_caller]
    fn heard(&mut self) -> Publish {
        let message = self.reader.expect_publish();
        self.reader.complete(&message);
        self.publisher.publish(&Publish::new("thing/end", "end").qos(1, 9));
        self.reader.expect_message("end");
        message
    }
}

fn check(ground: &mut Ground, case: &Case<'_>) {
    let gateway = format!("HOSTILE-{}", GATEWAY.fetch_add(1, Relaxed));
    let topic = match case.get("topic") {
        Some(topic) => String::from_utf8(notation::bytes(topic)).expect("topics are UTF-8"),
        None => format!("thing/product/{gateway}/{}", case.need("on")),
    };
    let payload = notation::bytes(case.need("send"));
    let mut talk = Talk::new(ground);
    if case.get("busy").is_some() {
        let busy = format!("thing/product/{gateway}/services");
        assert_eq!(talk.publisher.publish(&Publish::new(&busy, BUSY).qos(1, 1)), 0);
        assert_eq!(talk.heard().text(), BUSY);
    }
    let counted = case.get("counts").map(|counts| {
        // A metric without labels has an empty one here.
        let [name, label, by] = counts.split(' ').collect::<Vec<_>>()[..] else { panic!("counts NAME LABEL N") };
        (name, label, metric(ground.broker.http, name, label) + by.parse::<f64>().expect("a number"))
    });

    let message = Publish::new(&topic, &payload).qos(1, 2);
    match case.need("then") {
        "forwarded" => {
            assert_eq!(talk.publisher.publish(&message), 0, "its acknowledgement");
            let heard = talk.heard();
            assert!(heard.topic == topic && heard.payload == payload, "other bytes came than went");
        }
        "refused" => {
            assert_eq!(talk.publisher.publish(&message), 0x97, "its acknowledgement");
            let heard = talk.heard();
            assert_eq!(heard.topic, format!("thing/product/{gateway}/services_reply"));
            assert!(heard.payload.len() < 10_000, "{} bytes of answer", heard.payload.len());
            let reply: Value = serde_json::from_slice(&heard.payload).expect("the answer is JSON");
            assert_eq!(reply["data"]["result"], 325_009);
        }
        closed => {
            let code = closed.strip_prefix("closed ").and_then(|code| u8::from_str_radix(code, 16).ok());
            talk.publisher.push(&message);
            assert_eq!(talk.publisher.expect_closed(), Some(code.expect("forwarded, refused or closed")));
        }
    }
    if let Some((name, label, wanted)) = counted {
        assert_eq!(metric(ground.broker.http, name, label), wanted, "{name} {label}");
    }
    if let Some(wanted) = case.get("running") {
        let text = get(ground.broker.http, "/api/v1/uploads?state=running&limit=1000");
        assert!(text.len() < 200_000, "{} bytes of running uploads", text.len());
        let list: Value = serde_json::from_str(&text).expect("JSON");
        let all = list["uploads"].as_array().expect("a list");
        let running = all.iter().filter(|upload| upload["gateway"] == gateway.as_str()).count();
        assert_eq!(running.to_string(), wanted, "running uploads");
    }
}

#[test]
fn messages_to_the_upload_guard() {
    let corpus = corpus::read(include_str!("corpus/upload.txt"), &WORDS);
    let mut ground = Ground::new(&corpus.settings);
    ground.play(&corpus.cases, |case| case.name, check);
    ground.expect_sound(corpus.memory);
}

/// A gateway that nobody has heard of takes a place; the places are bounded, and a real one still finds one.
#[test]
fn thousands_of_invented_gateways() {
    let mut ground = Ground::new(&[("DOCKGATE_UPLOADS__MAX_GATEWAYS", "100")]);
    let mut talk = Talk::new(&ground);
    talk.reader.unsubscribe(&["thing/#"]);
    for number in 0..5_000_u16 {
        let progress = r#"{"bid":"b","method":"fileupload_progress","data":{"output":{"status":"in_progress"}}}"#;
        talk.publisher.push(&Publish::new(&format!("thing/product/INVENTED{number}/events"), progress));
        let list = r#"{"tid":"l","method":"fileupload_list","data":{"result":0,"files":[{"module":"3","list":[{"boot_index":1}]}]}}"#;
        talk.publisher.push(&Publish::new(&format!("thing/product/LISTED{number}/services_reply"), list));
    }
    talk.publisher.expect_alive();
    talk.reader.subscribe(&[("thing/#", 1)]);
    for (payload, code) in [(BUSY.to_owned(), 0), (BUSY.replace("true", "false"), 0x97)] {
        let start = Publish::new("thing/product/REAL/services", payload).qos(1, 1);
        assert_eq!(talk.publisher.publish(&start), code, "a real start has a place, and is guarded");
        talk.heard();
    }
    for number in 0..5_000_u16 {
        talk.publisher.push(&Publish::new(&format!("thing/product/STARTED{number}/services"), BUSY));
    }
    talk.publisher.expect_alive();
    assert!(metric(ground.broker.http, "dockgate_gateways", "") <= 100.0);
    let text = get(ground.broker.http, "/api/v1/gateways?limit=1000");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    assert!(list["gateways"].as_array().expect("a list").len() <= 100);
    ground.expect_sound(100);
}

/// The same start under thousands of names: all pass, as retries, and only some of the names are remembered.
#[test]
fn thousands_of_names_for_one_start() {
    let mut ground = Ground::new(&[("DOCKGATE_UPLOADS__REPLY_TIMEOUT", "10m")]);
    let mut talk = Talk::new(&ground);
    talk.reader.unsubscribe(&["thing/#"]);
    let padding = "x".repeat(10_000);
    for number in 0..3_000 {
        let start = BUSY.replace(r#""tid":"busy""#, &format!(r#""tid":"{number}{padding}""#));
        talk.publisher.push(&Publish::new("thing/product/MANY/services", start).qos(1, 1));
        assert_eq!(talk.publisher.expect_ack(Puback, 1), 0x10, "a retry passes");
    }
    let text = get(ground.broker.http, "/api/v1/gateways/MANY");
    assert!(text.len() < 100_000, "{} bytes about one gateway", text.len());
    let view: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(view["running"].as_array().expect("a list").len(), 1);
    assert_eq!(view["running"][0]["retries"], 2_999);
    ground.expect_sound(100);
}

/// MQTT-3.4.2-2: a reason string must not make PUBACK larger than the client takes.
#[test]
fn a_refusal_fits_into_the_smallest_packets() {
    let mut ground = Ground::new(&[]);
    for (most, wants_reason) in [(10, false), (1_000, false), (10_000, true)] {
        let connect = Connect::new(V5, "small").property((MAXIMUM_PACKET_SIZE, Size::Four(most)));
        let mut wire = Wire::connect(ground.broker.mqtt, &connect);
        wire.publish(&Publish::new("thing/product/SMALL/services", BUSY).qos(1, 1));
        wire.push(&Publish::new("thing/product/SMALL/services", BUSY.replace("true", "1")).qos(1, 2));
        match wire.next() {
            Answer::Ack(Puback, 2, 0x97, properties) => {
                assert_eq!(!properties.is_empty(), wants_reason, "{most} bytes")
            }
            other => panic!("PUBACK with 0x97 expected, {other:?} came"),
        }
    }
    ground.expect_sound(100);
}

/// Credentials in every place where they do not belong, and where the guard or the broker may look at them.
#[test]
fn credentials_in_odd_places() {
    const SECRETS: [&str; 3] = ["STS.NVlG0d5yQ4vG", "kXmZ1rJ8bQ2uT6wE", "CAIS9wJ1q6Ft5B2y"];
    let credentials = format!(
        r#"{{"access_key_id":"{}","access_key_secret":"{}","security_token":"{}"}}"#,
        SECRETS[0], SECRETS[1], SECRETS[2]
    );
    let mut ground = Ground::new(&[("DOCKGATE_LOG__LEVEL", "trace")]);
    let places = [
        r#"{"tid":"a","bid":"a","method":"fileupload_start","data":{"credentials":C}}"#,
        r#"{"tid":"b","bid":"b","method":"fileupload_start","data":{"credentials":C,"n":2}}"#,
        r#"{"tid":"c","bid":"c","method":"fileupload_start","credentials":C,"data":{"n":3}}"#,
        r#"{"tid":"d","bid":"d","method":"fileupload_start","data":[C]}"#,
        r#"{"tid":C,"bid":[C],"method":"fileupload_start","data":C}"#,
        r#"{"tid":"e","bid":"e","method":"fileupload_start","data":{"params":{"files":[{"module":C,"object_key":C,"list":[C]}]}}}"#,
        r#"{"tid":"f","bid":"f","method":"fileupload_start","method":C,"data":C,"data":C}"#,
        r#"{"tid":"g","bid":"g","method":"fileupload_start","data":{"credentials":C"#,
        r#"{"tid":"h","bid":"h","method":"fileupload_start","data":{"credentials":C,"x":1e999}}"#,
        r#"{"tid":"i","bid":"i","method":"fileupload_begin","data":{"credentials":C}}"#,
        r#"{"tid":"j","bid":"j","method":"fileupload_list","data":{"credentials":C,"module_list":[C]}}"#,
        r#"{"tid":"k","bid":"a","method":"fileupload_update","data":{"status":C,"credentials":C,"module_list":[C]}}"#,
        r#"{"tid":"a","bid":"a","method":"fileupload_start","data":{"result":C,"credentials":C}}"#,
        r#"{"tid":"a","bid":"a","gateway":C,"data":{"result":0,"credentials":C,"output":{"credentials":C}}}"#,
        r#"{"tid":"l","bid":"a","method":"fileupload_progress","data":{"output":{"status":"in_progress","ext":{"credentials":C,"files":[{"module":"3","credentials":C,"progress":C}]}}}}"#,
        r#"C"#,
        r#"[C,"fileupload_start"]"#,
        r#"{"method":"fileupload_progress"} C"#,
    ];
    let mut talk = Talk::new(&ground);
    talk.reader.unsubscribe(&["thing/#"]);
    let mut payloads: Vec<String> = places.iter().map(|place| place.replace('C', &credentials)).collect();
    payloads.push(places[0].replace('C', &credentials.replace('_', "\\u005f")));
    for payload in &payloads {
        for level in ["services", "services_reply", "events", "status", "requests"] {
            for retain in [false, true] {
                let message = Publish::new(&format!("thing/product/SECRETIVE/{level}"), payload).qos(1, 1);
                talk.publisher.publish(&if retain { message.retain() } else { message });
            }
        }
    }
    // What a parser of packets may complain of with the packet in its hand.
    for broken in [r#"30 { "a" { 26 ffff 'C' } 'C' }"#, r#"82 { 0001 {} [ 'C' 00 ] 00 }"#, r#"3d { "C" 0000 {} 'C' }"#]
    {
        let mut wire = Wire::clean(ground.broker.mqtt, V5, "broken");
        wire.send_to_closing(&notation::bytes(&broken.replace('C', SECRETS[1])));
        while !matches!(wire.next_or_close(), None | Some(Answer::Disconnect(..))) {}
    }
    let login =
        Connect::new(V5, "login").login("user", SECRETS[2]).will("thing/product/SECRETIVE/services", &payloads[0]);
    Wire::connect(ground.broker.mqtt, &login).vanish();
    ground.expect_unmoved();

    let mut seen = ground.broker.log();
    assert!(seen.contains("SECRETIVE"), "the log says something about it");
    for path in ["/metrics", "/api/v1/uploads", "/api/v1/gateways", "/api/v1/gateways/SECRETIVE"] {
        seen.push_str(&get(ground.broker.http, path));
    }
    for secret in SECRETS {
        let at = seen.find(secret);
        let around = at.map(|at| &seen[at.saturating_sub(300)..(at + 40).min(seen.len())]);
        assert_eq!(around, None, "{secret} is seen");
    }
}
