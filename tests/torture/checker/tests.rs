//! Made-up histories: a good one passes, and each thing that a broker may do wrong is noticed.

use super::sessions::matches;
use super::{Checker, Flaw};
use crate::fact::{Fact, Kind, Step};
use crate::label::{Label, Name};

/// What is wrong with a history, all of which is told.
fn flaws(facts: &[Vec<Fact>]) -> Vec<Flaw> {
    let mut checker = Checker::default();
    facts.iter().flatten().for_each(|fact| checker.see(fact));
    checker.finish();
    checker.flaws
}

fn name(text: &str) -> Name {
    text.into()
}

fn label(number: u64) -> Label {
    Label::new("p", number)
}

fn connected(session: &str, present: bool) -> Vec<Fact> {
    vec![Fact::Connected { session: name(session), persistent: true, present }]
}

fn subscribed(session: &str, filter: &str, qos: u8) -> Vec<Fact> {
    let (session_name, filter) = (name(session), name(filter));
    let mut facts = connected(session, false);
    facts.push(Fact::Asked { session: session_name.clone(), filter: filter.clone(), qos });
    facts.push(Fact::Granted { session: session_name, filter, qos });
    facts
}

fn crash(number: usize) -> Vec<Fact> {
    vec![Fact::Killed(number), Fact::Listening(number + 1)]
}

fn sent_as(label: Label, topic: &str, qos: u8, kind: Kind) -> Vec<Fact> {
    vec![Fact::Sent { label, topic: name(topic), qos, kind }]
}

fn sent(number: u64, qos: u8) -> Vec<Fact> {
    sent_as(label(number), "t/a", qos, Kind::Plain)
}

fn acked(number: u64) -> Vec<Fact> {
    vec![Fact::Acked(label(number)), Fact::Completed(label(number))]
}

fn received(session: &str, number: u64, qos: u8) -> Vec<Fact> {
    vec![Fact::Received { session: name(session), label: label(number), topic: name("t/a"), qos }]
}

#[test]
fn a_history_without_a_fault_has_no_flaw() {
    let facts = [
        subscribed("exact", "t/a", 2),
        subscribed("wild", "t/#", 1),
        sent(1, 2),
        sent(2, 1),
        received("wild", 1, 1),
        acked(1),
        received("exact", 1, 2),
        crash(1),
        connected("exact", true),
        connected("wild", true),
        // At least once, with QoS 1.
        received("wild", 1, 1),
        received("wild", 2, 1),
        received("exact", 2, 1),
        acked(2),
    ];
    assert_eq!(flaws(&facts), []);
}

#[test]
fn an_acknowledged_message_that_never_comes_is_lost() {
    let facts = [subscribed("s", "t/+", 1), sent(1, 1), acked(1), crash(1), connected("s", true)];
    assert_eq!(flaws(&facts), [Flaw::Lost { label: label(1), target: "s".to_owned() }]);
}

#[test]
fn what_was_sent_before_the_subscription_or_is_not_acknowledged_need_not_come() {
    let facts = [sent(1, 1), subscribed("s", "t/a", 1), acked(1), sent(2, 1), crash(1)];
    assert_eq!(flaws(&facts), [Flaw::Unfinished(label(2))]);
}

#[test]
fn a_message_that_was_acknowledged_while_its_subscriber_unsubscribed_need_not_come() {
    let leaving = vec![Fact::Leaving { session: name("s"), filter: name("t/a") }];
    let left = vec![Fact::Left { session: name("s"), filter: name("t/a") }];
    let facts = [subscribed("s", "t/a", 1), sent(1, 1), leaving, acked(1), left];
    assert_eq!(flaws(&facts), []);
}

#[test]
fn a_qos_2_message_that_comes_twice_is_doubled_though_it_was_not_acknowledged() {
    let twice = [subscribed("s", "t/a", 2), sent(1, 2), received("s", 1, 2), crash(1), received("s", 1, 2), acked(1)];
    assert_eq!(flaws(&twice), [Flaw::Doubled { label: label(1), target: "s".to_owned() }]);
}

#[test]
fn a_shared_subscription_gets_a_qos_2_message_once_over_all_its_members() {
    let group = "$share/g/t/#";
    let begin = [subscribed("a", group, 2), subscribed("b", group, 2), sent(1, 2), acked(1)].concat();
    assert_eq!(flaws(&[begin.clone(), received("b", 1, 2)]), []);
    assert_eq!(flaws(std::slice::from_ref(&begin)), [Flaw::Lost { label: label(1), target: group.to_owned() }]);
    let twice = [begin, received("b", 1, 2), received("a", 1, 2)];
    assert_eq!(flaws(&twice), [Flaw::Doubled { label: label(1), target: format!("a of {group}") }]);
}

#[test]
fn first_deliveries_come_in_order_and_repeated_ones_as_they_like() {
    let begin = [subscribed("s", "t/a", 1), sent(1, 1), sent(2, 1), acked(1), acked(2)].concat();
    let repeated = [begin.clone(), received("s", 1, 1), received("s", 2, 1), received("s", 1, 1)];
    assert_eq!(flaws(&repeated), []);
    let late = [begin, received("s", 2, 1), received("s", 1, 1)];
    assert_eq!(flaws(&late), [Flaw::Disordered { label: label(1), session: name("s"), after: 2 }]);
}

#[test]
fn a_message_comes_with_the_greatest_qos_that_was_granted_and_not_with_more_than_its_own() {
    let (low, high) = (subscribed("s", "t/#", 1), subscribed("s", "t/a", 2));
    // The second CONNACK of one session says that it is present.
    let begin = [low, connected("s", true), high[1..].to_vec(), sent(1, 2), acked(1)].concat();
    assert_eq!(flaws(&[begin.clone(), received("s", 1, 2)]), []);
    let wrong = Flaw::WrongQos { label: label(1), session: name("s"), came: 1, wanted: 2 };
    assert_eq!(flaws(&[begin, received("s", 1, 1)]), [wrong]);
}

#[test]
fn an_acknowledged_session_that_is_not_there_is_lost_and_a_new_one_is_not() {
    assert_eq!(flaws(&[connected("s", false), crash(1), connected("s", false)]), []);
    let facts = [subscribed("s", "t/a", 1), crash(1), connected("s", false)];
    assert_eq!(flaws(&facts), [Flaw::SessionLost(name("s"))]);
    let pubrec = [connected("p", false), sent(1, 2), acked(1), crash(1), connected("p", false)];
    assert_eq!(flaws(&pubrec), [Flaw::SessionLost(name("p"))]);
    assert_eq!(flaws(&[connected("s", true)]), [Flaw::SessionInvented(name("s"))]);
}

#[test]
fn an_acknowledged_unsubscription_holds() {
    let left = |fact: fn(Name, Name) -> Fact| vec![fact(name("s"), name("t/a"))];
    let begin = [subscribed("s", "t/a", 1), left(|session, filter| Fact::Leaving { session, filter })].concat();
    let facts = [begin.clone(), sent(1, 1), received("s", 1, 1), acked(1)];
    let unanswered = Flaw::Unanswered { session: name("s"), filter: name("t/a") };
    assert_eq!(flaws(&facts), [unanswered], "UNSUBACK has not come, and so the message may");
    let left = left(|session, filter| Fact::Left { session, filter });
    let facts = [begin, left, crash(1), sent(1, 1), received("s", 1, 1), acked(1)];
    assert_eq!(flaws(&facts), [Flaw::Uninvited { label: label(1), session: name("s") }]);
}

#[test]
fn what_nobody_sent_and_what_comes_on_another_topic_is_noticed() {
    let begin = subscribed("s", "t/a", 1);
    let unknown = [begin.clone(), received("s", 1, 1)];
    assert!(matches!(flaws(&unknown)[..], [Flaw::Garbled { .. }]));
    let elsewhere = sent_as(label(1), "t/b", 1, Kind::Plain);
    let moved = flaws(&[begin, elsewhere, received("s", 1, 1), acked(1)]);
    assert!(matches!(moved[..], [Flaw::WrongTopic { .. }]), "{moved:?}");
}

/// A history with so many facts, and then a look at what is retained that began with these.
fn look(mut facts: Vec<Fact>, found: Option<u64>) -> Vec<Flaw> {
    let began = facts.len();
    facts.push(Fact::Retained { topic: name("r"), began, found: found.map(label) });
    flaws(&[facts])
}

fn retained(number: u64, deletes: bool) -> Vec<Fact> {
    sent_as(label(number), "r", 1, Kind::Retained { deletes })
}

#[test]
fn a_retained_message_is_the_last_acknowledged_or_one_sent_since() {
    let facts = [retained(1, false), acked(1), retained(2, false), acked(2), crash(1), retained(3, false)].concat();
    let open = [Flaw::Unfinished(label(3))];
    assert_eq!(look(facts.clone(), Some(2)), open);
    assert_eq!(look(facts.clone(), Some(3)), open);
    assert!(matches!(look(facts.clone(), Some(1))[..], [Flaw::Stale { .. }, _]), "older than acknowledged");
    assert!(matches!(look(facts.clone(), None)[..], [Flaw::Stale { .. }, _]), "lost");
    assert!(matches!(look(facts, Some(4))[..], [Flaw::Stale { .. }, _]), "never sent");
}

#[test]
fn a_deleted_retained_message_does_not_come_back() {
    let facts = [retained(1, false), acked(1), retained(2, true)].concat();
    let open = [Flaw::Unfinished(label(2))];
    assert_eq!(look(facts.clone(), Some(1)), open, "the deletion is not acknowledged");
    assert_eq!(look(facts.clone(), None), open);
    let facts = [facts, acked(2), crash(1)].concat();
    assert_eq!(look(facts.clone(), None), []);
    assert!(matches!(look(facts, Some(1))[..], [Flaw::Stale { .. }]));
}

#[test]
fn a_look_that_began_before_the_acknowledgement_may_find_the_older_one() {
    let mut facts = [retained(1, false), acked(1), retained(2, false)].concat();
    let began = facts.len();
    facts.extend(acked(2));
    facts.push(Fact::Retained { topic: name("r"), began, found: Some(label(1)) });
    assert_eq!(flaws(&[facts]), []);
}

/// A step of gateway `g`, with its acknowledgement.
fn step(number: u64, step: Step) -> Vec<Fact> {
    [unanswered(number, step), acked(number)].concat()
}

fn unanswered(number: u64, step: Step) -> Vec<Fact> {
    sent_as(label(number), "thing", 1, Kind::Upload { gateway: name("g"), step })
}

/// What the API shows after a history.
fn show(mut facts: Vec<Fact>, running: &[(&str, &str)], ended: &[(&str, &str)]) -> Vec<Flaw> {
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(bid, word)| ((*bid).into(), (*word).into())).collect();
    let began = facts.len();
    facts.push(Fact::Gateway { gateway: name("g"), began, running: own(running), ended: own(ended) });
    flaws(&[facts])
}

fn one_ended_and_one_active() -> Vec<Fact> {
    let start = |bid: &str| Step::Start(bid.to_owned());
    let first = [step(1, start("b1")), step(2, Step::Accept), step(3, Step::End("ok"))];
    [first.concat(), step(4, start("b2")), step(5, Step::Accept), crash(1)].concat()
}

#[test]
fn an_upload_is_as_its_last_acknowledged_step_left_it_or_as_one_since_did() {
    let facts = one_ended_and_one_active();
    assert_eq!(show(facts.clone(), &[("b2", "active")], &[("b1", "ok")]), []);
    let pending = show(facts.clone(), &[("b2", "pending")], &[("b1", "ok")]);
    assert!(matches!(pending[..], [Flaw::WrongState { .. }]), "{pending:?}");
    let ending = [facts, unanswered(6, Step::End("failed"))].concat();
    let open = [Flaw::Unfinished(label(6))];
    assert_eq!(show(ending.clone(), &[("b2", "active")], &[("b1", "ok")]), open);
    assert_eq!(show(ending.clone(), &[], &[("b1", "ok"), ("b2", "failed")]), open);
    assert_eq!(show(ending, &[], &[("b1", "ok"), ("b2", "ok")]).len(), 2, "another outcome");
}

#[test]
fn a_slot_or_an_ended_upload_that_is_not_there_is_lost() {
    let facts = one_ended_and_one_active();
    for (running, ended) in [(&[][..], &[("b1", "ok")][..]), (&[("b2", "active")], &[]), (&[], &[])] {
        let found = show(facts.clone(), running, ended);
        assert!(matches!(found[..], [Flaw::SlotLost { .. }]), "{found:?}");
    }
}

#[test]
fn a_slot_that_two_uploads_hold_and_an_upload_that_is_there_twice_is_doubled() {
    let facts = one_ended_and_one_active();
    let (b1, b2) = (("b1", "ok"), ("b2", "active"));
    for (running, ended) in [(vec![b2, b2], vec![b1]), (vec![b2], vec![b1, b1]), (vec![("b1", "active"), b2], vec![b1])]
    {
        let found = show(facts.clone(), &running, &ended);
        assert!(matches!(found[..], [Flaw::SlotDoubled { .. }]), "{found:?}");
    }
}

#[test]
fn only_the_last_twenty_endings_are_expected() {
    let ended: Vec<(String, &str)> = (1..=25).map(|number| (format!("b{number}"), "ok")).collect();
    let steps = ended
        .iter()
        .zip((1..).step_by(2))
        .map(|((bid, _), number)| [step(number, Step::Start(bid.clone())), step(number + 1, Step::End("ok"))].concat());
    let facts: Vec<Fact> = steps.flatten().collect();
    let ended: Vec<(&str, &str)> = ended.iter().map(|(bid, outcome)| (bid.as_str(), *outcome)).collect();
    assert_eq!(show(facts.clone(), &[], &ended[5..]), []);
    assert!(matches!(show(facts.clone(), &[], &ended[6..])[..], [Flaw::SlotLost { .. }]));
    assert!(matches!(show(facts, &[], &ended[4..24])[..], [Flaw::WrongState { .. }]));
}

#[test]
fn a_conflicting_start_must_be_refused_with_0x97_and_reach_nobody() {
    let conflict = |told| sent_as(label(1), "thing/product/g/services", 1, Kind::Conflict { told });
    let refused = |code| vec![Fact::Refused(label(1), code)];
    let tried = || vec![Fact::Tried(label(1))];
    assert_eq!(flaws(&[conflict(true), refused(0x97)]), []);
    assert_eq!(flaws(&[conflict(true), tried()]), [], "the connection ended");
    assert_eq!(flaws(&[conflict(true), refused(0x80)]), [Flaw::Refused(label(1), 0x80)]);
    assert_eq!(flaws(&[conflict(true), acked(1), tried()]), [Flaw::Passed(label(1))]);
    assert_eq!(flaws(&[conflict(false), acked(1), tried()]), [], "MQTT 3.1.1 cannot say so in PUBACK");
    let topic = name("thing/product/g/services");
    let reached = vec![Fact::Received { session: name("docks"), label: label(1), topic, qos: 1 }];
    assert_eq!(flaws(&[conflict(false), reached, tried()]), [Flaw::Passed(label(1))]);
    assert_eq!(flaws(&[conflict(false), acked(1)]), [Flaw::Unfinished(label(1))], "no answer");
}

#[test]
fn a_message_that_is_refused_for_no_reason_is_noticed() {
    assert_eq!(flaws(&[sent(1, 1), vec![Fact::Refused(label(1), 0x83)]]), [Flaw::Refused(label(1), 0x83)]);
}

#[test]
fn filters_match_as_the_specification_says() {
    let cases = [
        ("t/a", "t/a", true),
        ("t/a", "t/b", false),
        ("t/a", "t/a/b", false),
        ("t/+", "t/a", true),
        ("t/+", "t/a/b", false),
        ("t/+", "t", false),
        ("t/#", "t", true),
        ("t/#", "t/a/b", true),
        ("#", "t/a", true),
        ("+/b", "t/b", true),
        ("t/+/d", "t/c/d", true),
        ("t/+/d", "t/d", false),
    ];
    for (filter, topic, wanted) in cases {
        assert_eq!(matches(filter, topic), wanted, "{filter} and {topic}");
    }
}
