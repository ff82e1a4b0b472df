//! What must not get past the guard, and what must pass it whatever it holds.

use serde_json::json;

use super::quirks::{Desk, start};
use super::*;
use crate::ledger::{Policy, Rules, Scope};

fn refused(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::Refuse(refusal) => *refusal,
        _ => panic!("it was forwarded"),
    }
}

#[test]
fn the_answer_to_a_refused_start_is_what_the_dock_would_say() {
    let desk = Desk::busy();
    let refusal = refused(desk.publish("services", start("second", "other")));
    assert_eq!(refusal.reply_topic, "thing/product/4TADK7E0000003/services_reply");
    let reply: serde_json::Value = serde_json::from_slice(&refusal.reply_payload).expect("JSON");
    assert_eq!(
        reply,
        json!({"tid": "second", "bid": "second", "method": "fileupload_start", "timestamp": desk.now.0,
               "gateway": "4TADK7E0000003", "data": {"result": 325_009}})
    );
    assert_eq!(refusal.reason, "another log upload is active since 0 s");
}

#[test]
fn the_answer_lacks_the_names_that_the_start_lacks() {
    let desk = Desk::busy();
    let refusal = refused(desk.publish("services", r#"{"method":"fileupload_start","data":{}}"#));
    let reply: serde_json::Value = serde_json::from_slice(&refusal.reply_payload).expect("JSON");
    assert_eq!((reply.get("tid"), reply.get("bid")), (None, None));
}

#[test]
fn the_conflict_code_is_a_setting() {
    let desk = Desk::with(Rules { conflict_result: 314_000, ..Rules::default() });
    desk.publish("services", start("a", "1"));
    let refusal = refused(desk.publish("services", start("b", "2")));
    assert!(String::from_utf8_lossy(&refusal.reply_payload).contains(r#""result":314000"#));
}

#[test]
fn no_spelling_of_a_start_gets_past_the_guard() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_start =
        format!(r#"{{"x":{deep},"method":"fileupload_start","data":{{"bucket":{deep},"params":{{"files":{deep}}}}}}}"#);
    for (trick, payload) in [
        ("plain", &br#"{"method":"fileupload_start"}"#[..]),
        ("an escape in the method", br#"{"method":"\u0066ileupload_start"}"#),
        ("the underscore escaped", br#"{"method":"fileupload\u005Fstart"}"#),
        ("an escape in the key", br#"{"m\u0065thod":"fileupload_start"}"#),
        ("escapes in both", br#"{"m\u0065thod":"fileupload\u005fstart"}"#),
        ("the method twice, the last another", br#"{"method":"fileupload_start","method":"cover_open"}"#),
        ("the method twice, the last a list", br#"{"method":"fileupload_start","method":"fileupload_list"}"#),
        ("the method twice, the first another", br#"{"method":"fileupload_list","method":"fileupload_start"}"#),
        ("the method twice, one escaped", br#"{"method":"cover_open","m\u0065thod":"fileupload\u005fstart"}"#),
        ("the key in another case", br#"{"Method":"fileupload_start","METHOD":"x"}"#),
        ("a byte order mark", b"\xef\xbb\xbf{\"method\":\"fileupload_start\"}"),
        ("something behind it", br#"{"method":"fileupload_start"} x"#),
        ("a NUL behind it", b"{\"method\":\"fileupload_start\"}\0"),
        ("invalid UTF-8", b"{\"tid\":\"\xff\",\"method\":\"fileupload_start\"}"),
        ("half a surrogate pair", br#"{"tid":"\ud83d","method":"fileupload_start"}"#),
        ("half a surrogate pair, and escapes", br#"{"tid":"\uDE00","method":"\u0066ileupload_start"}"#),
        ("white space", b"\r\n\t { \"method\"\n:\t\"fileupload_start\" } \n"),
        ("values nested deeply", deep_start.as_bytes()),
        ("data twice", br#"{"method":"fileupload_start","data":{},"data":[]}"#),
        ("names that are objects", br#"{"tid":{},"bid":[],"gateway":{"a":1},"method":"fileupload_start"}"#),
    ] {
        let desk = Desk::busy();
        refused(desk.publish("services", payload));
        assert_eq!(desk.states(), ["active"], "{trick}");
    }
}

/// With the key twice, what looks like the running upload's data to one parser is other data to
/// another.
#[test]
fn no_conflicting_start_passes_as_a_retry() {
    let files = |key: &str| {
        format!(r#"{{"params":{{"files":[{{"module":"3","object_key":"{key}","list":[{{"boot_index":321}}]}}]}}}}"#)
    };
    let (same, other) = (files("first"), files("other"));
    let retry = format!(r#"{{"method":"fileupload_start","data":{same}}}"#);
    assert!(Desk::busy().publish("services", retry).forwards());
    for (trick, payload) in [
        ("data twice", format!(r#"{{"method":"fileupload_start","data":{same},"data":{other}}}"#)),
        ("data twice, the other way round", format!(r#"{{"method":"fileupload_start","data":{other},"data":{same}}}"#)),
        ("data twice, one in another case", format!(r#"{{"method":"fileupload_start","data":{same},"Data":{other}}}"#)),
        ("a key more", format!(r#"{{"method":"fileupload_start","data":{{"x":1,{}}}"#, &same[1..])),
        ("a key twice", format!(r#"{{"method":"fileupload_start","data":{{"params":1,{}}}"#, &same[1..])),
    ] {
        let desk = Desk::busy();
        refused(desk.publish("services", payload));
        assert_eq!(desk.running().retries, 0, "{trick}");
    }
}

#[test]
fn with_scope_module_a_module_named_twice_takes_the_whole_gateway() {
    for start_of_both in [
        r#"{"method":"fileupload_start","data":{"params":{"files":[{"module":"0","module":"3"}]}}}"#,
        r#"{"method":"fileupload_start","data":{"params":{"files":[{"module":"3","module":"0"}]}}}"#,
        r#"{"method":"fileupload_start","data":{"params":{"files":[{"module":"0"}]},"files":[{"module":"3"}]}}"#,
        r#"{"method":"fileupload_start","data":{"params":{"files":[{"module":"3"}],"files":[{"module":"0"}]}}}"#,
        r#"{"method":"fileupload_start","method":"fileupload_start","data":{"params":{"files":[{"module":"0"}]}}}"#,
    ] {
        let desk = Desk::with(Rules { scope: Scope::Module, ..Rules::default() });
        desk.publish("services", start("a", "k"));
        refused(desk.publish("services", start_of_both));
    }
}

#[test]
fn what_cannot_be_read_is_forwarded_and_counted() {
    let huge = format!(r#"{{"method":"fileupload_start","x":"{}"}}"#, " ".repeat(MAX_PAYLOAD));
    for (payload, kind) in [
        ("fileupload_start", ParseFailure::Syntax),
        (r#"{"method":"fileupload_start""#, ParseFailure::Syntax),
        (r#"{"method":"fileupload_start","data":{"#, ParseFailure::Syntax),
        (r#"{'method':'fileupload_start'}"#, ParseFailure::Syntax),
        (r#"["fileupload_start"]"#, ParseFailure::NotAnObject),
        (r#""fileupload_start""#, ParseFailure::NotAnObject),
        (&huge, ParseFailure::TooLarge),
    ] {
        let desk = Desk::busy();
        assert_eq!(desk.publish("services", payload), Verdict::Forward);
        assert_eq!(desk.seen(), [Observation::ParseFailure { kind }]);
    }
}

#[test]
fn brackets_without_end_do_no_harm() {
    for bracket in ["[", "{\"a\":", "[{\"fileupload_\":["] {
        let desk = Desk::busy();
        let bomb = format!("{{\"data\":{}fileupload_", bracket.repeat(200_000));
        for level in ["services", "services_reply", "events"] {
            assert_eq!(desk.publish(level, &bomb), Verdict::Forward);
        }
        assert_eq!(desk.states(), ["active"]);
    }
}

#[test]
fn what_is_not_ours_is_forwarded_uncounted() {
    let desk = Desk::busy();
    for payload in [
        &b""[..],
        b"\0",
        b"{}",
        b"[]",
        br#"{"method":"cover_open","tid":"a","bid":"a"}"#,
        b"\xff\xfe",
        br#"{"x":"\u00e4"}"#,
        br#"{"x":"\u00"#,
    ] {
        for level in ["services", "services_reply", "events"] {
            assert_eq!(desk.publish(level, payload), Verdict::Forward);
        }
    }
    assert_eq!(desk.seen(), []);
    assert_eq!(desk.states(), ["active"]);
}

#[test]
fn a_gateway_with_an_implausible_name_gets_no_state() {
    let desk = Desk::new();
    let publisher = Publisher { client_id: "x", is_here: true, may_speak_as_gateway: true, may_command: true };
    for gateway in ["", "机场", "a b", &"A".repeat(65)] {
        let topic = Topic { gateway, kind: Kind::Services };
        for name in ["a", "b"] {
            let verdict = desk.hook.inspect(&publisher, topic, start(name, name).as_bytes(), desk.now).verdict;
            assert_eq!(verdict, Verdict::Forward);
            assert!(desk.seen().contains(&Observation::BadGateway));
        }
    }
    assert_eq!(desk.hook.ledger.held(), (0, 0));
}

#[test]
fn who_may_not_speak_for_a_gateway_changes_nothing() {
    let stranger = Publisher { client_id: "x", is_here: true, may_speak_as_gateway: false, may_command: false };
    for (level, payload) in [
        ("services", start("b", "other")),
        ("services_reply", r#"{"tid":"a","method":"fileupload_start","data":{"result":314000}}"#.to_owned()),
        ("events", r#"{"bid":"a","method":"fileupload_progress","data":{"output":{"status":"ok"}}}"#.to_owned()),
        ("events", r#"{"bid":"a","data":{"output":{"status":"ok"}}}"#.to_owned()),
    ] {
        let desk = Desk::busy();
        assert_eq!(desk.publish_as(&stranger, level, &payload), Verdict::Forward);
        assert_eq!(desk.states(), ["active"], "{level}");
        let direction = if level == "services" { Direction::Down } else { Direction::Up };
        assert!(desk.seen().contains(&Observation::NotAllowed { direction }));
        assert_eq!(desk.view().refused, 0);
    }
}

#[test]
fn with_policy_observe_nothing_is_refused() {
    let desk = Desk::with(Rules { policy: Policy::Observe, ..Rules::default() });
    for name in ["a", "b", "c"] {
        assert_eq!(desk.publish("services", start(name, name)), Verdict::Forward);
    }
    let would = |seen: &&Observation| matches!(seen, Observation::WouldRefuse { .. });
    assert_eq!(desk.seen().iter().filter(would).count(), 2);
}

/// One that is retained, or queued for a dock that is away, must not come to the dock when the slot may be
/// another's.
#[test]
fn a_start_is_good_until_its_reply_is_due_and_so_is_each_retry_of_it() {
    let mut desk = Desk::new();
    let until = Verdict::ForwardUntil(Now(desk.now.0 + 15_000));
    assert_eq!(desk.publish("services", start("a", "k")), until);
    desk.now.0 += 9_000;
    let retry = start("a", "k").replace(r#""tid":"a""#, r#""tid":"b""#);
    assert_eq!(desk.publish("services", retry), until);
    assert_eq!(desk.publish("services", start("a", "k")), until, "the same message again");
    desk.now.0 += 6_000;
    assert_eq!(desk.publish("services", start("c", "other")), Verdict::ForwardUntil(Now(desk.now.0 + 15_000)));
}

#[test]
fn with_policy_observe_nothing_expires() {
    let desk = Desk::with(Rules { policy: Policy::Observe, ..Rules::default() });
    assert_eq!(desk.publish("services", start("a", "k")), Verdict::Forward);
}

#[test]
fn the_answer_names_the_start_as_the_start_does() {
    let payload = r#"{"method":"fileupload_start","tid":17,"bid":null,"data":{}}"#;
    let refusal = refused(Desk::busy().publish("services", payload));
    let reply: serde_json::Value = serde_json::from_slice(&refusal.reply_payload).expect("JSON");
    assert_eq!((reply.get("tid"), reply.get("bid")), (Some(&json!(17)), None));
}
