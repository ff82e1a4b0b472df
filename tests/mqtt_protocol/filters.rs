//! Which topic matches which filter, and which filters are none.

use crate::common::packet::PINGREQ;
use crate::common::{Answer, Broker, Publish, V5, V311, VERSIONS, Wire, subscribe};

/// Filter, topics that match, topics that do not (4.7).
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const MATCHES: &[Row] = &[
    ("a", &["a"], &["A", "a/", "/a", "a/b", "b", "aa"]),
    ("a/b", &["a/b"], &["a", "a/b/", "a/b/c", "a//b"]),
    ("/a", &["/a"], &["a", "//a"]),
    ("/", &["/"], &["//", "a/", "/a"]),
    ("#", &["a", "a/b", "/", "/a", "温度/1", "a//b"], &["$test/a", "$test"]),
    ("a/#", &["a", "a/", "a/b", "a/b/c"], &["b", "b/a", "aa"]),
    ("a/b/#", &["a/b", "a/b/", "a/b/c/d"], &["a", "a/c", "a/bb"]),
    ("/#", &["/", "/a", "//", "/a/b"], &["a", "a/b", "a/"]),
    ("+", &["a", "温度"], &["a/b", "/", "/a", "a/", "$test"]),
    ("+/+", &["/", "a/b", "a/", "/a"], &["a", "a/b/c", "//", "$test/a"]),
    ("/+", &["/", "/a"], &["a", "a/b", "//", "/a/b"]),
    ("a/+", &["a/", "a/b"], &["a", "a/b/c", "aa/b", "a//"]),
    ("a/+/b", &["a//b", "a/x/b"], &["a/b", "a/x/y/b", "a/x/b/c"]),
    ("+/b/#", &["a/b", "/b", "a/b/c"], &["b", "a/c", "$test/b"]),
    ("a/+/#", &["a/", "a/b", "a/b/c"], &["a", "b/a"]),
    ("+/#", &["a", "/", "a/b"], &["$test/a", "$test"]),
    ("$test/#", &["$test", "$test/a"], &["a", "test/a"]),
    ("$test/+", &["$test/a"], &["$test", "$test/a/b"]),
    ("$test/a", &["$test/a"], &["$test/b", "test/a"]),
    ("温度/+", &["温度/1"], &["温度", "湿度/1"]),
    ("thing/product/+/services", &["thing/product/8UUX/services"], &["thing/product/8UUX/services_reply"]),
];

#[test]
fn every_filter_matches_what_it_should_and_nothing_else() {
    let broker = Broker::start(|_| {});
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for (filter, matching, other) in MATCHES {
        let mut subscriber = Wire::clean(broker.mqtt, V5, "sub");
        subscriber.subscribe(&[(filter, 0)]);
        // Once this one has everything, the broker has looked at every message for all subscribers.
        let mut witness = Wire::subscriber(broker.mqtt, "witness", &[("#", 0), ("$test/#", 0)]);
        for topic in other.iter().chain(*matching) {
            publisher.push(&Publish::new(topic, topic));
        }
        for _ in other.iter().chain(*matching) {
            witness.expect_publish();
        }
        let mut came: Vec<String> = matching.iter().map(|_| subscriber.expect_publish().topic).collect();
        subscriber.expect_alive();
        let mut wanted = matching.to_vec();
        came.sort();
        wanted.sort_unstable();
        assert_eq!(came, wanted, "filter {filter}");
        subscriber.leave();
    }
}

#[test]
fn a_filter_that_is_none_is_refused() {
    let broker = Broker::start(|_| {});
    let wrong = [
        "a#",
        "#/a",
        "a/#/b",
        "a/b#",
        "##",
        "+a",
        "a+",
        "a/+b",
        "a/b+/c",
        "++",
        "",
        "a\0b",
        "a/#b",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//x",
        "$share/g+/x",
        "$share/g#/x",
        "$share/+/x",
        "$share/#",
        "$share/g/a#",
    ];
    for version in VERSIONS {
        for filter in wrong {
            let mut wire = Wire::clean(broker.mqtt, version, "wrong");
            wire.send(&subscribe(version, 3, &[], &[(filter, 1)]));
            match wire.next_or_close() {
                None => {}
                Some(Answer::Disconnect(code, _)) => {
                    assert!([0x81, 0x82, 0x8f].contains(&code), "{filter:?}: {code:#04x}");
                }
                Some(Answer::Suback(3, codes)) if version == V5 => {
                    assert!([[0x8f], [0x80]].contains(&[codes[0]]), "{filter:?}: {codes:02x?}");
                }
                Some(Answer::Suback(3, codes)) => assert_eq!(codes, [0x80], "{filter:?}"),
                other => panic!("{filter:?} in {version:?}: {other:?} came"),
            }
        }
    }
}

#[test]
fn one_wrong_filter_does_not_take_the_others_with_it() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        let mut wire = Wire::clean(broker.mqtt, version, "mixed");
        wire.send(&subscribe(version, 3, &[], &[("good/1", 1), ("bad#", 1), ("good/+", 2)]));
        match wire.next_or_close() {
            // Closing on a malformed filter is allowed too (4.7.1-1 is a protocol violation).
            None | Some(Answer::Disconnect(..)) => continue,
            Some(Answer::Suback(3, codes)) => {
                assert_eq!((codes.len(), codes[0], codes[2]), (3, 1, 2), "{codes:02x?}");
                assert!(codes[1] >= 0x80, "{codes:02x?}");
            }
            other => panic!("{other:?} came"),
        }
        wire.push(&Publish::new("good/2", "x"));
        wire.expect_message("x");
    }
}

#[test]
fn many_levels_and_long_topics_neither_kill_nor_hang() {
    let broker = Broker::start(|_| {});
    let deep = "a/".repeat(5_000);
    let wild = format!("{}#", "+/".repeat(5_000));
    let long = "x".repeat(60_000);
    for version in [V311, V5] {
        for topic in [&deep, &wild, &long] {
            let mut wire = Wire::clean(broker.mqtt, version, "deep");
            wire.send(&subscribe(version, 3, &[], &[(topic, 1)]));
            while !matches!(wire.next_or_close(), None | Some(Answer::Suback(3, _))) {}
            let mut wire = Wire::clean(broker.mqtt, version, "deep");
            wire.send(&Publish::new(&topic.replace(['#', '+'], "b"), "x").bytes(version));
            wire.send_to_closing(&PINGREQ);
            while !matches!(wire.next_or_close(), None | Some(Answer::Pingresp)) {}
        }
    }
    Wire::clean(broker.mqtt, V311, "end").expect_alive();
}
