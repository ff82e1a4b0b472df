//! Clients that are many, or one that does much, within what the protocol allows.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::packet::Will;
use crate::common::property::{MAXIMUM_PACKET_SIZE, RECEIVE_MAXIMUM, Value};
use crate::common::{
    Answer, Connect, PINGREQ, Publish, V5, V31, V311, VERSIONS, Wait, Wire, disconnect, eventually, metric, subscribe,
    unsubscribe,
};
use crate::ground::Ground;

#[test]
fn many_clients_with_one_identifier_take_over_from_each_other() {
    let mut ground = Ground::new(&[]);
    let (address, http) = (ground.broker.mqtt, ground.broker.http);
    let heard = || {
        let ended = ["dockgate_connections_total", "dockgate_connections_refused_total"];
        ended.iter().map(|name| metric(http, name, "")).sum::<f64>()
    };
    let heard_before = heard();
    let (threads, rounds, strangers) = (8, 100, 20);
    thread::scope(|scope| {
        for number in 0..threads {
            scope.spawn(move || {
                for round in 0..rounds {
                    let version = VERSIONS[(number + round) % 3];
                    let mut wire = Wire::open(address, version);
                    let connect = if round % 2 == 0 {
                        Connect::persistent(version, "contested").will("storm/will", "taken over")
                    } else {
                        Connect::new(version, "contested")
                    };
                    wire.send_to_closing(&connect.bytes());
                    wire.send_to_closing(&subscribe(version, 1, &[], &[("storm/#", 1), ("storm/will", 2)]));
                    if round % 5 == 0 {
                        wire.wait(Duration::from_millis(5));
                    }
                }
            });
        }
        // With a stranger each time, who counts as well.
        for _ in 0..strangers {
            ground.expect_unmoved();
        }
    });
    let all = (threads * rounds + strangers) as f64;
    eventually("all of them have been heard", || heard() - heard_before >= all);
    let mut last = Wire::connect(address, &Connect::new(V5, "contested"));
    last.expect_alive();
    eventually("one of them is left", || metric(ground.broker.http, "dockgate_connections", "") == 3.0);
    last.subscribe(&[("storm/is-over", 1)]);
    last.publish(&Publish::new("storm/is-over", "x").qos(1, 1));
    last.expect_message("x");
    ground.expect_sound(120);
}

#[test]
fn hundreds_of_large_wills_at_once() {
    let mut ground = Ground::new(&[]);
    let mut reader = Wire::subscriber(ground.broker.mqtt, "reader", &[("wills/#", 1)]);
    let payload = vec![b'w'; 60_000];
    let mortals: Vec<Wire> = (0..200)
        .map(|number| {
            let connect = Connect::new(V5, &format!("mortal-{number}")).will("wills/x", "");
            Wire::connect(ground.broker.mqtt, &connect.change_will(|will: &mut Will| will.payload = payload.clone()))
        })
        .collect();
    drop(mortals);
    ground.expect_unmoved();
    for _ in 0..200 {
        let will = reader.expect_publish();
        assert_eq!(will.payload.len(), payload.len());
        reader.complete(&will);
    }
    ground.expect_sound(120);
}

/// CVE-2024-8376 (Mosquitto): shared and other subscriptions of one root come and go while messages are delivered.
#[test]
fn members_of_shared_groups_come_and_go_under_load() {
    let mut ground = Ground::new(&[]);
    let address = ground.broker.mqtt;
    let over = Instant::now() + Duration::from_secs(2);
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                while Instant::now() < over {
                    let version = if number % 2 == 0 { V5 } else { V311 };
                    let mut wire = Wire::clean(address, version, &format!("member-{number}"));
                    for _ in 0..5 {
                        wire.send(&subscribe(
                            version,
                            1,
                            &[],
                            &[("$share/g/churn/+", 1), ("churn/#", 0), ("churn/a", 2)],
                        ));
                        wire.send(&unsubscribe(version, 2, &["churn/a", "$share/g/churn/+"]));
                        wire.send(&subscribe(version, 3, &[], &[("$share/g/churn/a", 2), ("$share/h/#", 0)]));
                        wire.wait(Duration::from_millis(2));
                    }
                    // With messages unacknowledged, and without a word.
                    drop(wire);
                }
            });
        }
        scope.spawn(move || {
            let mut publisher = Wire::clean(address, V311, "churn-publisher");
            while Instant::now() < over {
                for pid in 1..=50 {
                    publisher.publish(&Publish::new("churn/a", "x").qos(u8::from(pid % 2 == 0) + 1, pid));
                }
            }
        });
        while Instant::now() < over {
            ground.expect_unmoved();
        }
    });
    eventually("they are gone", || metric(ground.broker.http, "dockgate_connections", "") == 2.0);
    eventually("and their groups", || metric(ground.broker.http, "dockgate_subscriptions", "shared") == 0.0);
    let mut member = Wire::subscriber(address, "member", &[("$share/g/churn/+", 1)]);
    Wire::clean(address, V311, "publisher").publish(&Publish::new("churn/a", "still works").qos(1, 1));
    member.expect_message("still works");
    ground.expect_sound(120);
}

#[test]
fn retained_messages_beyond_their_limit_are_refused_and_nothing_else() {
    let settings = [
        ("DOCKGATE_LIMITS__RETAINED_MESSAGES", "100"),
        ("DOCKGATE_LIMITS__RETAINED_BYTES", "1 MiB"),
        ("DOCKGATE_LIMITS__MAX_PACKET_SIZE", "1 MiB"),
    ];
    let mut ground = Ground::new(&settings);
    let mut publisher = Wire::clean(ground.broker.mqtt, V5, "hoarder");
    let mut codes = Vec::new();
    for number in 0..3_000 {
        let message = Publish::new(&format!("hoard/{number}/{}", "x".repeat(500)), [b'x'; 100]).qos(1, 1).retain();
        codes.push(publisher.publish(&message));
    }
    assert_eq!(codes.iter().filter(|code| **code == 0x10).count(), 100);
    assert_eq!(codes.iter().filter(|code| **code == 0x97).count(), 2_900);
    // A large one in place of a small one is over the bytes, and the small one stays.
    let topic = format!("hoard/0/{}", "x".repeat(500));
    assert_eq!(publisher.publish(&Publish::new(&topic, vec![b'x'; 1_000_000]).qos(1, 1).retain()), 0x97);
    let mut reader = Wire::clean(ground.broker.mqtt, V311, "reader");
    reader.subscribe(&[(&topic, 0)]);
    assert_eq!(reader.expect_publish().payload.len(), 100);
    ground.expect_sound(100);
}

#[test]
fn sessions_beyond_their_limit_make_room_for_each_other() {
    let mut ground = Ground::new(&[("DOCKGATE_LIMITS__SESSIONS", "50")]);
    for number in 0..600 {
        let mut wire = Wire::connect(ground.broker.mqtt, &Connect::persistent(V5, &format!("session-{number}")));
        wire.subscribe(&[("offline/#", 1)]);
        wire.vanish();
    }
    Wire::clean(ground.broker.mqtt, V311, "pub").publish(&Publish::new("offline/x", vec![b'x'; 10_000]).qos(1, 1));
    // The gauge follows once a second.
    eventually("there are no more than there may be, and not many less", || {
        let online = metric(ground.broker.http, "dockgate_sessions", "online");
        (40.0..=50.0).contains(&(online + metric(ground.broker.http, "dockgate_sessions", "offline")))
    });
    ground.expect_sound(100);
}

/// One message for a session with a thousand filters that all match it: it comes once, or once a filter, and soon.
#[test]
fn a_thousand_overlapping_subscriptions_of_one_session() {
    let mut ground = Ground::new(&[]);
    let mut greedy = Wire::clean(ground.broker.mqtt, V5, "greedy");
    let patterns: Vec<String> = (0..1_000_u32)
        .map(|number| {
            let level = |bit: u32| if number >> bit & 1 == 0 { "a" } else { "+" };
            let levels: Vec<&str> = (0..10).map(level).collect();
            levels.join("/")
        })
        .collect();
    for chunk in patterns.chunks(100) {
        let filters: Vec<(&str, u8)> = chunk.iter().map(|pattern| (pattern.as_str(), 0)).collect();
        greedy.subscribe(&filters);
    }
    let began = Instant::now();
    let mut publisher = Wire::clean(ground.broker.mqtt, V311, "pub");
    let topic = ["a"; 10].join("/");
    for number in 0..200 {
        publisher.push(&Publish::new(&topic, number.to_string()));
    }
    publisher.publish(&Publish::new("a/end", "end").qos(1, 1));
    let mut copies = 0;
    while let Wait::Answer(Answer::Publish(_)) = greedy.wait(Duration::from_millis(500)) {
        copies += 1;
    }
    assert!((200..=200_000).contains(&copies), "{copies} copies");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let all: Vec<&str> = patterns.iter().map(String::as_str).collect();
    assert_eq!(greedy.unsubscribe(&all), vec![0; 1_000]);
    ground.expect_sound(150);
}

/// As many wildcards as the broker takes, from many sessions, and topics that nobody has published to before.
#[test]
fn ten_thousand_wildcards_and_new_topics() {
    let mut ground = Ground::new(&[]);
    let holders: Vec<Wire> = (0..10)
        .map(|holder| {
            let mut wire = Wire::clean(ground.broker.mqtt, V311, &format!("holder-{holder}"));
            for block in 0..10 {
                let filters: Vec<String> = (0..100).map(|number| format!("+/{holder}/{block}/{number}/+/#")).collect();
                let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
                wire.try_subscribe(&[], &filters);
            }
            wire
        })
        .collect();
    let mut publisher = Wire::clean(ground.broker.mqtt, V311, "pub");
    let began = Instant::now();
    for number in 0..5_000 {
        publisher.push(&Publish::new(&format!("x/{}/{}/nothing/y/{number}", number % 10, number % 7), "x"));
    }
    publisher.expect_alive();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    ground.expect_unmoved();
    drop(holders);
    ground.expect_sound(150);
}

/// A window of one message that never moves: the queue is bounded, and what is dropped is counted.
#[test]
fn a_subscriber_that_never_acknowledges() {
    let settings = [("DOCKGATE_LIMITS__QUEUE_MESSAGES", "500"), ("DOCKGATE_LIMITS__QUEUE_BYTES", "4 MiB")];
    let mut ground = Ground::new(&settings);
    let mut stubborn: Vec<Wire> = (0..10)
        .map(|number| {
            let connect = Connect::persistent(V5, &format!("stubborn-{number}"));
            let mut wire = Wire::connect(ground.broker.mqtt, &connect.property((RECEIVE_MAXIMUM, Value::Two(1))));
            wire.subscribe(&[("stubborn/x", 2)]);
            wire
        })
        .collect();
    let mut publisher = Wire::clean(ground.broker.mqtt, V311, "pub");
    let payload = vec![b'x'; 10_000];
    for pid in 1..=2_000 {
        publisher.publish(&Publish::new("stubborn/x", &payload).qos(1, pid));
    }
    for wire in &mut stubborn {
        assert!(matches!(wire.next(), Answer::Publish(_)));
        assert!(matches!(wire.wait(Duration::ZERO), Wait::Nothing), "more than the window");
    }
    assert!(metric(ground.broker.http, "dockgate_dropped_total", "queue_full") > 0.0);
    // Their queues take 40 MiB at most; 20 MB have been published to each of the ten.
    ground.expect_sound(120);
}

/// MQTT-3.1.2-24: what is larger than the client takes is not sent to it.
#[test]
fn a_client_that_takes_packets_of_one_byte() {
    let mut ground = Ground::new(&[]);
    let connect = |size| Connect::new(V5, "tiny").property((MAXIMUM_PACKET_SIZE, Value::Four(size)));
    for size in [1, 2, 4, 20] {
        let mut wire = Wire::open(ground.broker.mqtt, V5);
        wire.send(&connect(size).bytes());
        wire.send(&subscribe(V5, 1, &[], &[("tiny/#", 1)]));
        wire.send(&Publish::new("tiny/large", vec![b'x'; 1_000]).qos(1, 2).bytes(V5));
        while let Wait::Answer(answer) = wire.wait(Duration::from_millis(200)) {
            assert!(!matches!(answer, Answer::Publish(_)), "larger than {size} bytes");
        }
        ground.expect_unmoved();
    }
    ground.expect_sound(100);
}

/// Every client says that it will be silent for 18 hours (CVE-2020-13849, SlowITe): the rest of the broker is not theirs.
#[test]
fn clients_with_the_longest_keep_alive_take_no_more_places_than_there_are() {
    let mut ground = Ground::new(&[("DOCKGATE_LIMITS__CONNECTIONS", "60")]);
    let silent: Vec<Wire> = (0..100)
        .filter_map(|number| {
            let connect = Connect::new(V311, &format!("silent-{number}")).keep_alive(u16::MAX);
            let (wire, connack) = Wire::try_connect(ground.broker.mqtt, &connect);
            (connack.code == 0).then_some(wire)
        })
        .collect();
    assert_eq!(silent.len(), 58, "and two witnesses");
    let (_, full) = Wire::try_connect(ground.broker.mqtt, &Connect::new(V5, "late"));
    assert_eq!(full.code, 0x89);
    drop(silent);
    eventually("there is room again", || metric(ground.broker.http, "dockgate_connections", "") == 2.0);
    ground.expect_sound(100);
}

/// A session's end, said in every way that there is, with its will and without.
#[test]
fn sessions_that_end_in_every_way_at_once() {
    let mut ground = Ground::new(&[]);
    let address = ground.broker.mqtt;
    thread::scope(|scope| {
        for number in 0..6_u8 {
            scope.spawn(move || {
                for round in 0..60_u32 {
                    let id = format!("ending-{}", (u32::from(number) + round) % 4);
                    let version = if number % 3 == 0 { V31 } else { V5 };
                    let connect = Connect::persistent(version, &id).will("ends", "will");
                    let mut wire = Wire::open(address, version);
                    wire.send_to_closing(&connect.bytes());
                    match round % 4 {
                        0 => wire.send_to_closing(&disconnect(0x04, &[])),
                        1 => wire.send_to_closing(&[0xe0, 0]),
                        2 => wire.send_to_closing(&[0xff; 9]),
                        _ => {}
                    }
                }
            });
        }
    });
    eventually("they are gone", || metric(ground.broker.http, "dockgate_connections", "") == 2.0);
    ground.expect_sound(100);
}

/// Every filter is looked up among all retained messages, which takes seconds for thousands of them: others come first.
#[test]
fn hundreds_of_wildcards_over_all_retained_messages() {
    let mut ground = Ground::new(&[]);
    let mut hoarder = Wire::clean(ground.broker.mqtt, V311, "hoarder");
    for number in 0..20_000 {
        hoarder.push(&Publish::new(&format!("{number}/y"), "x").retain());
    }
    hoarder.expect_alive();
    let filters: Vec<String> = (0..500).map(|number| format!("+/nothing-{number}")).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
    let greedy: Vec<Wire> = (0..3)
        .map(|number| {
            let mut wire = Wire::clean(ground.broker.mqtt, V311, &format!("greedy-{number}"));
            wire.send(&subscribe(V311, 1, &[], &filters));
            // What comes behind a SUBSCRIBE waits for it.
            wire.send(&PINGREQ);
            wire
        })
        .collect();
    for mut wire in greedy {
        let codes = loop {
            ground.expect_unmoved();
            match wire.wait(Duration::from_millis(1)) {
                Wait::Nothing => {}
                Wait::Answer(Answer::Suback(1, codes)) => break codes,
                other => panic!("{other:?} before SUBACK"),
            }
        };
        assert_eq!(codes, vec![0; 500]);
        assert_eq!(wire.next(), Answer::Pingresp);
    }
    ground.expect_sound(120);
}

/// What waits for a subscriber stays in memory when the store has long had something newer.
#[test]
fn retained_messages_that_were_replaced_and_nobody_reads_are_bounded() {
    let settings = [("DOCKGATE_LIMITS__QUEUE_BYTES_TOTAL", "64 MiB"), ("DOCKGATE_LIMITS__QUEUE_BYTES", "16 MiB")];
    let mut ground = Ground::new(&settings);
    let mut publisher = Wire::clean(ground.broker.mqtt, V311, "publisher");
    let mut stubborn = Vec::new();
    for version in 0..12_u8 {
        for topic in 0..30 {
            let message = Publish::new(&format!("versions/{topic}"), vec![version; 1_000_000]);
            publisher.publish(&message.qos(1, 1).retain());
        }
        let connect = Connect::persistent(V5, &format!("stubborn-{version}"));
        let mut wire = Wire::connect(ground.broker.mqtt, &connect.property((RECEIVE_MAXIMUM, Value::Two(1))));
        wire.send(&subscribe(V5, 1, &[], &[("versions/+", 1)]));
        wire.send(&unsubscribe(V5, 2, &["versions/+"]));
        loop {
            match wire.next() {
                Answer::Unsuback(..) => break,
                Answer::Suback(..) | Answer::Publish(_) => {}
                other => panic!("{other:?}"),
            }
        }
        // Some stay, some leave what they have not read to their sessions.
        if version % 2 == 0 {
            stubborn.push(wire);
        }
    }
    // 360 MB were retained, one version after the other.
    ground.expect_sound(200);
}

/// Whether a message comes twice depends on all the session's other filters. To compare them in pairs took a minute here.
#[test]
fn a_wildcard_that_comes_and_goes_over_hundreds_of_other_subscriptions() {
    let mut ground = Ground::new(&[]);
    let mut wire = Wire::clean(ground.broker.mqtt, V311, "toggle");
    let exact: Vec<String> = (0..500).map(|number| format!("a/b/c/d/e/f/g/h/{number}")).collect();
    let wild: Vec<String> = (0..499).map(|number| format!("a/b/c/d/e/f/g/h/+/{number}/+")).collect();
    for filters in [exact, wild] {
        let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 1)).collect();
        wire.subscribe(&filters);
    }
    for round in 0..100_u16 {
        wire.subscribe(&[("a/b/c/d/e/f/g/h/+", 1)]);
        if round % 10 == 0 {
            wire.publish(&Publish::new(&format!("a/b/c/d/e/f/g/h/{round}"), "once").qos(1, 1));
            wire.expect_message("once");
        }
        wire.unsubscribe(&["a/b/c/d/e/f/g/h/+"]);
    }
    wire.publish(&Publish::new("a/b/c/d/e/f/g/h/7", "once").qos(1, 1));
    wire.expect_message("once");
    wire.expect_alive();
    ground.expect_sound(100);
}
