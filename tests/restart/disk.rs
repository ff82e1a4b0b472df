//! A disk that is full while the broker runs.

use std::time::Duration;

use crate::common::property::{REASON, REQUEST_PROBLEM_INFORMATION, find};
use crate::common::{
    Answer, Connect, Puback, Pubcomp, Publish, Pubrec, Pubrel, V5, V311, Value, Wait, Wire, ack, eventually, metric,
    status,
};
use crate::ground::Ground;

/// A few times what an empty store takes.
const DISK: u64 = 4 << 20;

/// Publishes retained messages until one is refused; says how many were accepted.
#[track_caller]
fn fill(publisher: &mut Wire) -> u16 {
    let payload = vec![b'x'; 100_000];
    for n in 1..1000 {
        let message = Publish::new(&format!("fill/{n}"), &payload).qos(1, n).retain();
        match publisher.publish(&message) {
            0 | 0x10 => {}
            0x97 => return n - 1,
            other => panic!("PUBACK with {other:#04x}"),
        }
    }
    panic!("the disk is never full");
}

#[track_caller]
fn retained(ground: &Ground, filter: &str) -> usize {
    let mut reader = Wire::clean(ground.mqtt(), V311, "reader");
    reader.subscribe(&[(filter, 0)]);
    reader.send(&crate::common::PINGREQ);
    let mut found = 0;
    loop {
        match reader.next() {
            Answer::Publish(_) => found += 1,
            Answer::Pingresp => return found,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_needs_the_disk_is_refused_and_all_else_goes_on_until_there_is_room() {
    let mut ground = Ground::with_a_disk_of(DISK);
    let offline = Connect::persistent(V5, "offline");
    let mut subscriber = Wire::connect(ground.mqtt(), &offline);
    subscriber.subscribe(&[("kept", 2)]);
    subscriber.leave();
    let mut publisher = Wire::clean(ground.mqtt(), V5, "publisher");
    publisher.publish(&Publish::new("kept", "before").qos(2, 1));
    let accepted = fill(&mut publisher);
    assert!(accepted > 5, "{accepted}");

    // It says so.
    eventually("it is not ready", || status(ground.http(), "/readyz") == 503);
    eventually("the log says what to do", || ground.log().contains("Free space"));
    assert!(metric(ground.http(), "dockgate_store_failures_total", "") > 0.5);
    eventually("the metric says so", || metric(ground.http(), "dockgate_store_up", "") < 0.5);

    // MQTT 5 gets a reason; MQTT 3 has none, and gets nothing.
    publisher.push(&Publish::new("fill/refused", "x").qos(1, 7).retain());
    let Answer::Ack(Puback, 7, 0x97, properties) = publisher.next() else { panic!("no refusal") };
    let Some(Value::Text(reason)) = find(&properties, REASON) else { panic!("{properties:?}") };
    assert!(reason.contains("disk"), "{reason}");
    publisher.push(&Publish::new("kept", "refused").qos(2, 8));
    assert_eq!(publisher.expect_ack(Pubrec, 8), 0x97);
    // The exchange is over with that: the identifier can be used for another.
    publisher.push(&Publish::new("kept", "refused again").qos(2, 8));
    assert_eq!(publisher.expect_ack(Pubrec, 8), 0x97);
    let mut old = Wire::clean(ground.mqtt(), V311, "old");
    old.push(&Publish::new("kept", "untold").qos(1, 9));
    assert!(!matches!(old.wait(Duration::from_millis(1500)), Wait::Answer(Answer::Ack(..))));

    // What nothing durable depends on passes as ever.
    let mut clean = Wire::subscriber(ground.mqtt(), "clean", &[("free/#", 2)]);
    for qos in 0..=2 {
        assert_eq!(publisher.publish(&Publish::new("free/x", qos.to_string()).qos(qos, 20)), 0);
        clean.expect_message(&qos.to_string());
    }
    old.expect_alive();

    // There is room again, and nothing has to be restarted.
    ground.free_the_disk();
    eventually("it is ready again", || status(ground.http(), "/readyz") == 200);
    assert_eq!(publisher.publish(&Publish::new("kept", "after").qos(2, 10)), 0);
    assert!(publisher.publish(&Publish::new("fill/after", "x").qos(1, 11).retain()) < 0x80);
    ground.crash();
    assert!(retained(&ground, "fill/+") > usize::from(accepted), "an acknowledged one is missing");
    assert_eq!(retained(&ground, "fill/refused"), 0);
    let mut subscriber = Wire::connect(ground.mqtt(), &offline);
    subscriber.expect_message("before");
    subscriber.expect_message("after");
    subscriber.expect_alive();
}

#[test]
fn who_is_connected_is_served_on_a_full_disk() {
    let ground = Ground::with_a_disk_of(DISK);
    let online = Connect::persistent(V5, "online");
    let mut subscriber = Wire::connect(ground.mqtt(), &online);
    subscriber.subscribe(&[("live/#", 1)]);
    let mut publisher = Wire::clean(ground.mqtt(), V5, "publisher");
    fill(&mut publisher);
    for n in 0..3 {
        publisher.push(&Publish::new("live/x", n.to_string()).qos(1, 5));
        let message = subscriber.expect_publish();
        assert_eq!(message.text(), n.to_string());
        subscriber.send(&ack(Puback, message.pid));
        // It was delivered, and could not be promised.
        assert_eq!(publisher.expect_ack(Puback, 5), 0x97);
    }
    // A new subscription could not be promised either.
    assert_eq!(subscriber.try_subscribe(&[], &[("more", 1)]), [0x97]);
    // But anybody may connect.
    Wire::connect(ground.mqtt(), &Connect::persistent(V5, "late")).leave();
    eventually("it is not ready", || status(ground.http(), "/readyz") == 503);
}

/// MQTT 3 has no refusal, so that the message comes again: it must not be taken for one that has been kept. Between the two,
/// the client does `wait`.
#[track_caller]
fn expect_taken_when_it_comes_again(wait: impl FnOnce(&mut Wire)) {
    let ground = Ground::with_a_disk_of(DISK);
    let offline = Connect::persistent(V5, "offline");
    let mut subscriber = Wire::connect(ground.mqtt(), &offline);
    subscriber.subscribe(&[("kept", 2)]);
    subscriber.leave();
    let old = Connect::persistent(V311, "old");
    let mut publisher = Wire::connect(ground.mqtt(), &old);
    fill(&mut Wire::clean(ground.mqtt(), V5, "filler"));
    let message = Publish::new("kept", "again").qos(2, 9);
    publisher.push(&message);
    wait(&mut publisher);
    publisher.vanish();
    ground.free_the_disk();
    eventually("it is ready again", || status(ground.http(), "/readyz") == 200);
    let (mut publisher, present) = Wire::resume(ground.mqtt(), &old);
    assert!(present);
    publisher.push(&message.clone().dup());
    assert_eq!(publisher.expect_ack(Pubrec, 9), 0);
    publisher.send(&ack(Pubrel, 9));
    assert_eq!(publisher.expect_ack(Pubcomp, 9), 0);
    let mut subscriber = Wire::connect(ground.mqtt(), &offline);
    subscriber.expect_message("again");
    subscriber.expect_alive();
}

#[test]
fn what_was_refused_without_a_word_is_not_lost_when_it_comes_again() {
    expect_taken_when_it_comes_again(|publisher| {
        assert!(!matches!(publisher.wait(Duration::from_millis(1500)), Wait::Answer(Answer::Ack(..))));
    });
}

#[test]
fn what_was_refused_without_a_word_is_not_lost_though_its_connection_ends_at_once() {
    // It has been acted on, and nothing more is waited for.
    expect_taken_when_it_comes_again(Wire::expect_alive);
}

#[test]
fn publishes_of_one_read_are_refused_one_by_one() {
    let ground = Ground::with_a_disk_of(DISK);
    let offline = Connect::persistent(V5, "offline");
    let mut subscriber = Wire::connect(ground.mqtt(), &offline);
    subscriber.subscribe(&[("kept", 1)]);
    subscriber.leave();
    let mut publisher = Wire::clean(ground.mqtt(), V5, "publisher");
    fill(&mut publisher);
    let _clean = Wire::subscriber(ground.mqtt(), "clean", &[("free", 1)]);
    let topics = ["free", "kept", "free", "nobody", "kept", "free"];
    for (version, codes) in [(V5, &[0, 0x97, 0, 0x10, 0x97, 0][..]), (V311, &[0, 0, 0, 0])] {
        let mut publisher = Wire::clean(ground.mqtt(), version, "mixed");
        let packets: Vec<_> =
            (1..).zip(topics).flat_map(|(pid, topic)| Publish::new(topic, "x").qos(1, pid).bytes(version)).collect();
        publisher.send(&packets);
        let pids = (1..).zip(topics).filter(|(_, topic)| version == V5 || *topic != "kept").map(|(pid, _)| pid);
        let found: Vec<_> = pids.map(|pid| publisher.expect_ack(Puback, pid)).collect();
        assert_eq!(found, codes, "{version:?}");
    }
}

#[test]
fn who_wants_no_reasons_gets_none_with_a_refusal() {
    let ground = Ground::with_a_disk_of(DISK);
    let offline = Connect::persistent(V5, "offline");
    let mut subscriber = Wire::connect(ground.mqtt(), &offline);
    subscriber.subscribe(&[("kept", 1)]);
    subscriber.leave();
    fill(&mut Wire::clean(ground.mqtt(), V5, "filler"));
    let connect = Connect::new(V5, "terse").property((REQUEST_PROBLEM_INFORMATION, Value::Byte(0)));
    let mut publisher = Wire::connect(ground.mqtt(), &connect);
    publisher.push(&Publish::new("kept", "x").qos(1, 7));
    let Answer::Ack(Puback, 7, 0x97, properties) = publisher.next() else { panic!("no refusal") };
    assert!(find(&properties, REASON).is_none(), "MQTT-3.1.2-29: {properties:?}");
}

#[test]
fn what_was_taken_before_the_disk_was_full_is_not_refused_after_it() {
    for version in [V311, V5] {
        let ground = Ground::with_a_disk_of(DISK);
        let mut subscriber = Wire::subscriber(ground.mqtt(), "clean", &[("twice", 2)]);
        let connect = Connect::persistent(version, "again");
        let mut publisher = Wire::connect(ground.mqtt(), &connect);
        let message = Publish::new("twice", "once").qos(2, 9);
        publisher.push(&message);
        assert_eq!(publisher.expect_ack(Pubrec, 9), 0);
        subscriber.expect_message("once");
        publisher.vanish();
        fill(&mut Wire::clean(ground.mqtt(), V5, "filler"));
        // PUBREC may have been lost. A refusal would have the client send the message as a new one.
        let (mut publisher, present) = Wire::resume(ground.mqtt(), &connect);
        assert!(present);
        publisher.push(&message.clone().dup());
        let said = publisher.wait(Duration::from_millis(1500));
        assert!(!matches!(said, Wait::Answer(Answer::Ack(_, _, 0x80.., _))), "{version:?}: {said:?}");
        publisher.vanish();
        ground.free_the_disk();
        eventually("it is ready again", || status(ground.http(), "/readyz") == 200);
        let (mut publisher, _) = Wire::resume(ground.mqtt(), &connect);
        publisher.push(&message.dup());
        assert_eq!(publisher.expect_ack(Pubrec, 9), 0);
        publisher.send(&ack(Pubrel, 9));
        assert_eq!(publisher.expect_ack(Pubcomp, 9), 0);
        subscriber.expect_alive();
    }
}

#[test]
fn a_large_message_that_has_to_wait_for_the_disk_holds_back_none_that_has_not() {
    let ground = Ground::with_a_disk_of(DISK);
    let mut subscriber = Wire::connect(ground.mqtt(), &Connect::persistent(V5, "online"));
    subscriber.subscribe(&[("live/#", 2)]);
    let mut publisher = Wire::clean(ground.mqtt(), V5, "publisher");
    fill(&mut publisher);
    assert_eq!(publisher.publish(&Publish::new("live/x", vec![b'x'; 100_000]).qos(2, 5)), 0x97);
    for qos in [0, 1] {
        publisher.push(&Publish::new("live/x", qos.to_string()).qos(qos, 5));
        subscriber.expect_message(&qos.to_string());
    }
    ground.free_the_disk();
    assert_eq!(subscriber.expect_publish().payload.len(), 100_000);
}

#[test]
fn what_a_session_of_a_group_leaves_to_the_others_outlives_a_full_disk() {
    let mut ground = Ground::with_a_disk_of(DISK);
    let connect = |n| Connect::persistent(V5, &format!("member-{n}"));
    for n in 0..2 {
        let mut member = Wire::connect(ground.mqtt(), &connect(n));
        member.subscribe(&[("$share/g/s", 1)]);
        member.leave();
    }
    for n in 0..4 {
        ground.publish(&Publish::new("s", n.to_string()).qos(1, 1));
    }
    fill(&mut Wire::clean(ground.mqtt(), V5, "filler"));
    Wire::connect(ground.mqtt(), &Connect::new(V5, "member-1")).leave();
    ground.free_the_disk();
    eventually("it is ready again", || status(ground.http(), "/readyz") == 200);
    ground.commit();
    ground.crash();
    let mut first = Wire::connect(ground.mqtt(), &connect(0));
    let mut got: Vec<_> = (0..4).map(|_| first.expect_publish().text()).collect();
    got.sort_unstable();
    assert_eq!(got, ["0", "1", "2", "3"]);
}
