//! Shared subscriptions (MQTT 5, 4.8.2), which MQTT 3 clients may use as well.

use std::collections::HashSet;

use crate::common::property::SUBSCRIPTION_ID;
use crate::common::{Broker, Connect, Publish, V5, V311, Value, Version, Wait, Wire};

/// Everything that the members get, until `count` messages have come; at most `count` may come.
#[track_caller]
fn collect(members: &mut [Wire], count: usize) -> Vec<Vec<String>> {
    let mut parts: Vec<Vec<String>> = members.iter().map(|_| Vec::new()).collect();
    let until = std::time::Instant::now() + crate::common::DEADLINE;
    while parts.iter().map(Vec::len).sum::<usize>() < count {
        assert!(std::time::Instant::now() < until, "{count} messages expected: {parts:?}");
        for (member, part) in members.iter_mut().zip(&mut parts) {
            while let Wait::Answer(crate::common::Answer::Publish(message)) =
                member.wait(std::time::Duration::from_millis(5))
            {
                member.complete(&message);
                part.push(message.text());
            }
        }
    }
    for member in members {
        member.expect_alive();
    }
    parts
}

fn publish_numbers(broker: &Broker, topic: &str, qos: u8, numbers: std::ops::Range<u32>) {
    let mut publisher = Wire::clean(broker.mqtt, V311, "publisher");
    for number in numbers {
        publisher.publish(&Publish::new(topic, number.to_string()).qos(qos, 1));
    }
    publisher.expect_alive();
}

fn distinct(parts: &[Vec<String>]) -> usize {
    parts.iter().flatten().collect::<HashSet<_>>().len()
}

#[test]
fn each_message_goes_to_one_member() {
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        for (topic, filter) in [("s/exact", "$share/g/s/exact"), ("s/wild/x", "$share/g/s/+/x")] {
            for qos in 0..=2 {
                let mut members: Vec<Wire> = ["m1", "m2"]
                    .map(|id| {
                        let mut member = Wire::clean(broker.mqtt, version, id);
                        member.subscribe(&[(filter, qos)]);
                        member
                    })
                    .into();
                publish_numbers(&broker, topic, qos, 0..40);
                let parts = collect(&mut members, 40);
                assert_eq!(distinct(&parts), 40, "{version:?}, {filter} at {qos}: {parts:?}");
                assert!(parts.iter().all(|part| !part.is_empty()), "{filter} at {qos}: {parts:?}");
            }
        }
    }
}

#[test]
fn a_group_and_an_ordinary_subscriber_both_get_all() {
    let broker = Broker::start(|_| {});
    let mut plain = Wire::subscriber(broker.mqtt, "plain", &[("both/#", 1)]);
    let mut members = vec![
        Wire::subscriber(broker.mqtt, "m1", &[("$share/g/both/#", 1)]),
        Wire::subscriber(broker.mqtt, "m2", &[("$share/g/both/#", 1)]),
    ];
    publish_numbers(&broker, "both/x", 1, 0..20);
    assert_eq!(distinct(&collect(&mut members, 20)), 20);
    for number in 0..20 {
        plain.expect_message(&number.to_string());
    }
}

#[test]
fn groups_do_not_share_with_each_other() {
    let broker = Broker::start(|_| {});
    for filter in ["groups/x", "groups/+"] {
        let mut first = vec![Wire::subscriber(broker.mqtt, "m1", &[(&format!("$share/g1/{filter}"), 1)])];
        let mut second = vec![Wire::subscriber(broker.mqtt, "m2", &[(&format!("$share/g2/{filter}"), 1)])];
        publish_numbers(&broker, "groups/x", 1, 0..20);
        assert_eq!(distinct(&collect(&mut first, 20)), 20, "{filter}");
        assert_eq!(distinct(&collect(&mut second, 20)), 20, "{filter}");
    }
}

/// The usual way to scale a backend: every worker subscribes to every filter under one group name.
#[test]
fn two_filters_under_one_group_name_are_each_complete() {
    let broker = Broker::start(|_| {});
    for (one, two) in [("$share/w/up/+/osd", "$share/w/up/+/events"), ("$share/w/up/1/osd", "$share/w/up/1/events")] {
        let mut members: Vec<Wire> =
            ["m1", "m2"].map(|id| Wire::subscriber(broker.mqtt, id, &[(one, 1), (two, 1)])).into();
        publish_numbers(&broker, "up/1/osd", 1, 0..20);
        publish_numbers(&broker, "up/1/events", 1, 100..120);
        let parts = collect(&mut members, 40);
        assert_eq!(distinct(&parts), 40, "{one}: {parts:?}");
    }
}

#[test]
fn a_group_name_with_different_filters_by_different_members_is_two_groups() {
    let broker = Broker::start(|_| {});
    let mut osd = vec![Wire::subscriber(broker.mqtt, "m1", &[("$share/g/two/+/osd", 1)])];
    let mut events = vec![Wire::subscriber(broker.mqtt, "m2", &[("$share/g/two/+/events", 1)])];
    publish_numbers(&broker, "two/1/osd", 1, 0..20);
    publish_numbers(&broker, "two/1/events", 1, 100..120);
    assert_eq!(distinct(&collect(&mut osd, 20)), 20);
    assert_eq!(distinct(&collect(&mut events, 20)), 20);
}

#[test]
fn a_member_that_leaves_is_not_counted_on() {
    let broker = Broker::start(|_| {});
    for filter in ["$share/g/leave/x", "$share/g/leave/+"] {
        let mut stays = Wire::subscriber(broker.mqtt, "stays", &[(filter, 1)]);
        Wire::subscriber(broker.mqtt, "leaves", &[(filter, 1)]).leave();
        let mut unsubscribes = Wire::subscriber(broker.mqtt, "unsubscribes", &[(filter, 1)]);
        unsubscribes.unsubscribe(&[filter]);
        publish_numbers(&broker, "leave/x", 1, 0..20);
        for number in 0..20 {
            stays.expect_message(&number.to_string());
        }
        unsubscribes.expect_alive();
    }
}

/// Of what the first member did not acknowledge, every message must come again, to whomever.
#[test]
fn messages_of_a_member_that_leaves_are_not_lost() {
    fn run(broker: &Broker, version: Version, filter: &str) {
        let connect = Connect::persistent(version, "gone");
        let mut gone = Wire::connect(broker.mqtt, &connect);
        gone.subscribe(&[(filter, 1)]);
        publish_numbers(broker, "lost/x", 1, 0..10);
        for _ in 0..10 {
            gone.expect_publish();
        }
        gone.vanish();
        let mut other = Wire::subscriber(broker.mqtt, "other", &[(filter, 1)]);
        let gone = Wire::connect(broker.mqtt, &connect);
        let mut members = [gone, other_after(&mut other, broker)];
        let parts = collect(&mut members, 10);
        assert_eq!(distinct(&parts), 10, "{version:?}, {filter}: {parts:?}");
        members[0].unsubscribe(&[filter]);
        for member in members {
            member.leave();
        }
    }
    /// The other member, once the broker has answered it.
    fn other_after(other: &mut Wire, broker: &Broker) -> Wire {
        let spare = Wire::clean(broker.mqtt, V311, "spare");
        std::mem::replace(other, spare)
    }
    let broker = Broker::start(|_| {});
    for version in [V311, V5] {
        for filter in ["$share/g/lost/x", "$share/g/lost/+"] {
            run(&broker, version, filter);
        }
    }
}

#[test]
fn a_group_of_one_offline_session_keeps_its_messages() {
    let broker = Broker::start(|_| {});
    for filter in ["$share/g/alone/x", "$share/g/alone/+"] {
        let connect = Connect::persistent(V5, "alone");
        let mut member = Wire::connect(broker.mqtt, &connect);
        member.subscribe(&[(filter, 1)]);
        member.leave();
        publish_numbers(&broker, "alone/x", 1, 0..10);
        let mut member = Wire::connect(broker.mqtt, &connect);
        for number in 0..10 {
            member.expect_message(&number.to_string());
        }
        member.unsubscribe(&[filter]);
        member.leave();
    }
}

#[test]
fn an_online_member_is_preferred_to_an_offline_one() {
    let broker = Broker::start(|_| {});
    for filter in ["$share/g/prefer/x", "$share/g/prefer/+"] {
        let mut offline = Wire::connect(broker.mqtt, &Connect::persistent(V311, "offline"));
        offline.subscribe(&[(filter, 1)]);
        offline.leave();
        let mut online = Wire::subscriber(broker.mqtt, "online", &[(filter, 1)]);
        publish_numbers(&broker, "prefer/x", 1, 0..10);
        for number in 0..10 {
            online.expect_message(&number.to_string());
        }
    }
}

#[test]
fn dollar_topics_match_a_shared_filter_that_names_them() {
    let broker = Broker::start(|_| {});
    let mut named = Wire::subscriber(broker.mqtt, "named", &[("$share/g/$test/#", 0)]);
    let mut wild = Wire::subscriber(broker.mqtt, "wild", &[("$share/g/#", 0)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    publisher.push(&Publish::new("$test/x", "dollar"));
    publisher.push(&Publish::new("plain/x", "plain"));
    named.expect_message("dollar");
    wild.expect_message("plain");
}

#[test]
fn a_shared_subscription_has_its_identifier() {
    let broker = Broker::start(|_| {});
    for filter in ["$share/g/id/x", "$share/g/id/+"] {
        let mut member = Wire::clean(broker.mqtt, V5, "identified");
        let identifier = (SUBSCRIPTION_ID, Value::Variable(99));
        member.try_subscribe(std::slice::from_ref(&identifier), &[(filter, 1)]);
        publish_numbers(&broker, "id/x", 1, 0..1);
        assert!(member.expect_message("0").properties.contains(&identifier), "{filter}");
        member.leave();
    }
}
