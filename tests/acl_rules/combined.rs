//! ACL files and roles together, and how much of a filter a client may read.

use super::{access, by_file, client, line, topics};
use dockgate::access::{Identity, Reading, Role, Roles, SerialNumber};
use proptest::prelude::*;

#[test]
fn a_deny_comes_before_a_role_and_a_role_before_what_is_allowed() {
    let file = "user server\ntopic deny thing/product/x/osd\ntopic read extra/#\npattern deny thing/product/+/services\n\
        pattern read $SYS/#\n";
    let roles = Roles { backend: vec!["server".into()], ..Roles::default() };
    let access = access(Some(file), roles, SerialNumber::default());
    let backend = access.rights(&client("c", Some("server")));
    assert!(!backend.may_publish("thing/product/x/osd") && backend.may_publish("thing/product/y/osd"));
    assert!(!backend.may_publish("thing/product/y/services"), "by the pattern");
    assert!(backend.may_read("extra/x") && !backend.may_publish("extra/x"));
    assert!(backend.may_read("$SYS/uptime"), "by the pattern");
    for (filter, expected) in [
        ("sys/#", Reading::All),
        ("thing/#", Reading::Some),
        ("thing/product/+/events", Reading::All),
        ("thing/product/+/services", Reading::Nothing),
        ("thing/product/x/osd", Reading::Nothing),
        ("extra/+", Reading::All),
        ("+/x", Reading::Some),
        ("other/#", Reading::Nothing),
    ] {
        assert_eq!(backend.reading(filter), expected, "{filter}");
    }
}

#[test]
fn a_name_that_is_a_wildcard_gets_nothing_from_a_pattern_but_its_denials() {
    let file = "pattern readwrite %c/#\npattern readwrite public\npattern deny thing/secret\nuser bob\ntopic own\n";
    let roles = Roles { backend: vec!["bob".into()], ..Roles::default() };
    let with_role = access(Some(file), roles, SerialNumber::default());
    for id in ["+", "#", "a+", "a/#"] {
        let bob = by_file(file).rights(&client(id, Some("bob")));
        assert!(bob.may_read("own") && !bob.may_read("public") && !bob.may_read("x/y"), "{id}");
        assert_eq!(bob.reading("#"), Reading::Some, "{id}");
        let bob = with_role.rights(&client(id, Some("bob")));
        assert!(bob.may_read("thing/x") && !bob.may_read("thing/secret") && !bob.may_read("public"), "{id}");
    }
}

#[test]
fn a_name_is_one_level_in_a_pattern_and_never_a_dollar_at_the_first() {
    let access = by_file("pattern readwrite %c/#\npattern readwrite user/%u\n");
    for (id, username, topic) in [
        ("$SYS", None, "$SYS/uptime"),
        ("a/b", None, "a/b/c"),
        ("a/b", None, "a/x"),
        ("c", Some("x/y"), "user/x/y"),
        ("c", Some(""), "user/"),
        ("c", None, "user/"),
        ("c", None, "user/%u"),
        ("c", None, "%c/x"),
    ] {
        let rights = access.rights(&client(id, username));
        assert!(!rights.may_read(topic) && rights.reading(topic) == Reading::Nothing, "{topic} by {id} {username:?}");
    }
    assert!(access.rights(&client("a b", Some("x"))).may_publish("a b/c"));
    assert_eq!(access.rights(&client("a/b", None)).reading("+/#"), Reading::Nothing);
}

fn filter() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(prop::sample::select(&["a", "b", "bob", "+", "thing", ""][..]), 1..4);
    (levels, any::<bool>())
        .prop_map(|(levels, hash)| levels.join("/") + if hash { "/#" } else { "" })
        .prop_filter("a filter is not empty", |filter| !filter.is_empty())
}

fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn how_much_of_a_filter_may_be_read_is_what_its_topics_say(
        lines in prop::collection::vec(line(), 1..12),
        filters in prop::collection::vec(filter(), 8),
        role in prop::option::of(prop::sample::select(&[Role::Backend, Role::Observer, Role::Dock][..])),
        id in prop::sample::select(&["a", "+", "a/b"][..]),
    ) {
        let access = by_file(&lines.concat());
        for username in [None, Some("bob"), Some("b b")] {
            let rights = access.rights(&Identity { listener_role: role, ..client(id, username) });
            for filter in &filters {
                let matched: Vec<_> =
                    topics(&["a", "b", "bob", "thing", "z", ""]).into_iter().filter(|topic| matches(filter, topic)).collect();
                let readable = matched.iter().filter(|topic| rights.may_read(topic)).count();
                let reading = rights.reading(filter);
                let is_right = match reading {
                    Reading::All => readable == matched.len(),
                    Reading::Nothing => readable == 0,
                    Reading::Some => filter.contains(['+', '#']),
                };
                prop_assert!(is_right, "{:?} of {}: {} of {} under\n{}", reading, filter, readable, matched.len(), lines.concat());
            }
        }
    }
}
