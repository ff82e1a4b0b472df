//! Rules as a tree of topic levels: what all the rules that concern a topic, or a filter, say together.

use super::levels::Levels;
use ahash::AHashMap;
use std::ops::{BitOr, BitOrAssign};

/// What a rule says about the topics that it matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::access) struct Modes(u8);

impl Modes {
    pub(in crate::access) const READ: Modes = Modes(1);
    pub(in crate::access) const WRITE: Modes = Modes(2);
    pub(in crate::access) const READ_WRITE: Modes = Modes(3);
    pub(in crate::access) const DENY: Modes = Modes(4);

    #[inline]
    pub(in crate::access) fn has(self, other: Modes) -> bool {
        self.0 & other.0 != 0
    }

    /// Only what it denies.
    #[inline]
    pub(in crate::access) fn denied(self) -> Modes {
        Modes(self.0 & Modes::DENY.0)
    }
}

impl BitOr for Modes {
    type Output = Modes;

    #[inline]
    fn bitor(self, other: Modes) -> Modes {
        Modes(self.0 | other.0)
    }
}

impl BitOrAssign for Modes {
    #[inline]
    fn bitor_assign(&mut self, other: Modes) {
        *self = *self | other;
    }
}

/// A level that stands for something of the client that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::access) enum Placeholder {
    /// `%u`
    Username,
    /// `%c`
    ClientId,
    /// The serial number of the gateway that the client is.
    Gateway,
    /// The serial number of any aircraft that this gateway has announced.
    Aircraft,
}

/// What the placeholders stand for.
pub(in crate::access) trait Subject {
    /// Whether `placeholder` stands for `level`, which is not empty.
    fn is(&self, placeholder: Placeholder, level: &str) -> bool;
    /// Whether it stands for anything that could be a level.
    fn has(&self, placeholder: Placeholder) -> bool;
}

/// Rules of equal rank.
#[derive(Debug, Default)]
pub(in crate::access) struct RuleTree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// Of rules that end here.
    here: Modes,
    /// Of rules that end here with a `#`, which matches this level and all below.
    below: Modes,
    /// Below `+`.
    any: Option<Box<Node>>,
    placeholders: Vec<(Placeholder, Node)>,
    names: Names,
}

/// So many names are compared one by one; to look a name up by its hash takes longer then.
const FEW: usize = 8;

/// What is below each name.
#[derive(Debug, Default)]
struct Names {
    few: Vec<(Box<str>, Node)>,
    /// All of them, if they are not few.
    many: AHashMap<Box<str>, Node>,
}

impl Names {
    #[inline]
    fn get(&self, name: &str) -> Option<&Node> {
        if self.many.is_empty() {
            self.few.iter().find(|(known, _)| **known == *name).map(|(_, node)| node)
        } else {
            self.many.get(name)
        }
    }

    fn insert(&mut self, name: &str) -> &mut Node {
        if !self.many.is_empty() || self.few.len() == FEW {
            self.many.extend(self.few.drain(..));
            return self.many.entry(name.into()).or_default();
        }
        let at = self.few.iter().position(|(known, _)| **known == *name).unwrap_or_else(|| {
            self.few.push((name.into(), Node::default()));
            self.few.len() - 1
        });
        &mut self.few[at].1
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        let few = self.few.iter().map(|(name, node)| (&**name, node));
        few.chain(self.many.iter().map(|(name, node)| (&**name, node)))
    }
}

impl RuleTree {
    /// Adds a rule. `filter` is a valid topic filter, in which `placeholder` tells placeholders from names.
    pub(in crate::access) fn insert(
        &mut self,
        filter: &str,
        modes: Modes,
        placeholder: impl Fn(&str) -> Option<Placeholder>,
    ) {
        let mut node = &mut self.root;
        for level in Levels::of(filter) {
            node = match level {
                "#" => {
                    node.below |= modes;
                    return;
                }
                "+" => node.any.get_or_insert_default(),
                name => match placeholder(name) {
                    Some(placeholder) => node.below_placeholder(placeholder),
                    None => node.names.insert(name),
                },
            };
        }
        node.here |= modes;
    }

    /// What the rules say together that match every topic that the filter with these levels matches; for a topic name, the
    /// rules that match it.
    #[inline]
    pub(in crate::access) fn covering<'t>(
        &self,
        levels: impl Iterator<Item = &'t str> + Clone,
        subject: &impl Subject,
    ) -> Modes {
        self.root.covering(levels, true, subject)
    }

    /// What the rules say together that match any topic that the filter with these levels matches.
    pub(in crate::access) fn overlapping<'t>(
        &self,
        levels: impl Iterator<Item = &'t str> + Clone,
        subject: &impl Subject,
    ) -> Modes {
        self.root.overlapping(levels, true, subject)
    }
}

/// Whether a wildcard or a placeholder may stand for `level`: not for a first one that begins with `$` (MQTT-4.7.2-1).
#[inline]
fn is_open(level: &str, first: bool) -> bool {
    !(first && level.starts_with('$'))
}

impl Node {
    fn below_placeholder(&mut self, placeholder: Placeholder) -> &mut Node {
        let at = self.placeholders.iter().position(|(there, _)| *there == placeholder).unwrap_or_else(|| {
            self.placeholders.push((placeholder, Node::default()));
            self.placeholders.len() - 1
        });
        &mut self.placeholders[at].1
    }

    fn covering<'t>(
        &self,
        mut levels: impl Iterator<Item = &'t str> + Clone,
        first: bool,
        subject: &impl Subject,
    ) -> Modes {
        let Some(level) = levels.next() else { return self.here | self.below };
        let mut found = Modes::default();
        if is_open(level, first) {
            found |= self.below;
            if level == "#" {
                // A topic has at least one level, so `+/#` matches as much as `#`.
                let any = self.any.as_ref().filter(|_| first);
                return found | any.map_or(found, |any| any.below);
            }
            if let Some(any) = &self.any {
                found |= any.covering(levels.clone(), false, subject);
            }
            if level == "+" {
                return found;
            }
            for (placeholder, node) in &self.placeholders {
                if !level.is_empty() && subject.is(*placeholder, level) {
                    found |= node.covering(levels.clone(), false, subject);
                }
            }
        }
        match self.names.get(level) {
            Some(node) => found | node.covering(levels, false, subject),
            None => found,
        }
    }

    fn overlapping<'t>(
        &self,
        mut levels: impl Iterator<Item = &'t str> + Clone,
        first: bool,
        subject: &impl Subject,
    ) -> Modes {
        let Some(level) = levels.next() else { return self.here | self.below };
        if level == "#" {
            return self.all(first, subject);
        }
        let mut found = Modes::default();
        if is_open(level, first) {
            found |= self.below;
            if let Some(any) = &self.any {
                found |= any.overlapping(levels.clone(), false, subject);
            }
            for (placeholder, node) in &self.placeholders {
                let stands_for_it = if level == "+" {
                    subject.has(*placeholder)
                } else {
                    !level.is_empty() && subject.is(*placeholder, level)
                };
                if stands_for_it {
                    found |= node.overlapping(levels.clone(), false, subject);
                }
            }
        }
        if level == "+" {
            for (name, node) in self.names.iter() {
                if is_open(name, first) {
                    found |= node.overlapping(levels.clone(), false, subject);
                }
            }
        } else if let Some(node) = self.names.get(level) {
            found |= node.overlapping(levels, false, subject);
        }
        found
    }

    /// What the rules here and below say together.
    fn all(&self, first: bool, subject: &impl Subject) -> Modes {
        let mut found = self.here | self.below;
        if let Some(node) = &self.any {
            found |= node.all(false, subject);
        }
        for (_, node) in self.placeholders.iter().filter(|(placeholder, _)| subject.has(*placeholder)) {
            found |= node.all(false, subject);
        }
        for (_, node) in self.names.iter().filter(|(name, _)| is_open(name, first)) {
            found |= node.all(false, subject);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Bob;

    impl Subject for Bob {
        fn is(&self, placeholder: Placeholder, level: &str) -> bool {
            placeholder == Placeholder::Username && level == "b"
        }

        fn has(&self, placeholder: Placeholder) -> bool {
            placeholder == Placeholder::Username
        }
    }

    fn placeholder(level: &str) -> Option<Placeholder> {
        match level {
            "%u" => Some(Placeholder::Username),
            "%c" => Some(Placeholder::ClientId),
            _ => None,
        }
    }

    /// A rule of its own, so that the answer is about it alone.
    fn tree(filters: &[&str]) -> RuleTree {
        let mut tree = RuleTree::default();
        for filter in filters {
            tree.insert(filter, Modes::READ, placeholder);
        }
        tree
    }

    fn covers(rule: &str, filter: &str) -> bool {
        tree(&[rule]).covering(Levels::of(filter), &Bob).has(Modes::READ)
    }

    fn overlaps(rule: &str, filter: &str) -> bool {
        tree(&[rule]).overlapping(Levels::of(filter), &Bob).has(Modes::READ)
    }

    /// Section 4.7 of the standard, once more and in the plainest way.
    fn matches(filter: &str, topic: &str) -> bool {
        let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
        if topic[0].starts_with('$') && matches!(filter[0], "+" | "#" | "%u" | "%c") {
            return false;
        }
        for (at, level) in filter.iter().enumerate() {
            match (*level, topic.get(at)) {
                ("#", _) => return true,
                ("+", Some(_)) | ("%u", Some(&"b")) => {}
                ("%u" | "%c", _) => return false,
                (name, Some(level)) if name == *level => {}
                _ => return false,
            }
        }
        filter.len() == topic.len()
    }

    /// All topics of up to four levels; `z` stands for whatever no filter names. MQTT has no empty topic, but to the tree it is
    /// one, so that `/+/#` does not cover `/#`; this makes an answer weaker, never wrong.
    fn topics() -> Vec<String> {
        let names = ["a", "b", "", "$s", "z"];
        let mut all: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut longest = all.clone();
        for _ in 1..4 {
            longest = longest.iter().flat_map(|topic| names.map(|name| format!("{topic}/{name}"))).collect();
            all.extend_from_slice(&longest);
        }
        all
    }

    /// Up to three levels and a `#`, or a lone `#` (in the place of `a/#`).
    fn filter(levels: &'static [&'static str]) -> impl Strategy<Value = String> {
        (prop::collection::vec(prop::sample::select(levels), 1..4), any::<bool>())
            .prop_map(|(levels, hash)| levels.join("/") + if hash { "/#" } else { "" })
            .prop_map(|filter| if filter == "a/#" { "#".to_owned() } else { filter })
            .prop_filter("a filter is not empty", |filter| !filter.is_empty())
    }

    const NAMES: &[&str] = &["a", "b", "", "+", "$s"];
    const RULES: &[&str] = &["a", "b", "", "+", "$s", "%u", "%c"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn covering_and_overlapping_agree_with_all_topics_tried_one_by_one(
            rules in prop::collection::vec(filter(RULES), 1..4),
            filter in filter(NAMES),
        ) {
            let topics = topics();
            let matched: Vec<_> = topics.iter().filter(|topic| matches(&filter, topic)).collect();
            let covered = |rule: &String| matched.iter().all(|topic| matches(rule, topic));
            let overlapped = |rule: &String| matched.iter().any(|topic| matches(rule, topic));
            for rule in &rules {
                prop_assert_eq!(covers(rule, &filter), covered(rule), "{} covers {}", rule, &filter);
                prop_assert_eq!(overlaps(rule, &filter), overlapped(rule), "{} overlaps {}", rule, &filter);
            }
            let tree = tree(&rules.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(tree.covering(Levels::of(&filter), &Bob).has(Modes::READ), rules.iter().any(covered));
            prop_assert_eq!(tree.overlapping(Levels::of(&filter), &Bob).has(Modes::READ), rules.iter().any(overlapped));
        }
    }

    #[test]
    fn a_rule_says_as_much_about_a_topic_as_its_filter_matches() {
        for (rule, topic, expected) in [
            ("a/#", "a", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS", true),
            ("%u/x", "b/x", true),
            ("%u/x", "a/x", false),
            ("%u", "%u", false),
            ("a b/ü", "a b/ü", true),
        ] {
            assert_eq!(covers(rule, topic), expected, "{rule} and {topic}");
        }
    }

    #[test]
    fn many_names_on_a_level_are_all_found() {
        let filters: Vec<String> = (0..3 * FEW).map(|number| format!("a/{number}/b")).collect();
        let tree = tree(&filters.iter().chain(&filters).map(String::as_str).collect::<Vec<_>>());
        for filter in &filters {
            assert!(tree.covering(Levels::of(filter), &Bob).has(Modes::READ), "{filter}");
        }
        assert!(!tree.covering(Levels::of("a/x/b"), &Bob).has(Modes::READ));
        assert!(tree.overlapping(Levels::of("a/+/b"), &Bob).has(Modes::READ));
        assert!(!tree.overlapping(Levels::of("a/+/c"), &Bob).has(Modes::READ));
    }

    #[test]
    fn what_several_rules_say_comes_together() {
        let mut tree = tree(&["a/+"]);
        tree.insert("a/b", Modes::DENY, placeholder);
        tree.insert("a/#", Modes::WRITE, placeholder);
        let said = |topic| tree.covering(Levels::of(topic), &Bob);
        assert_eq!(said("a/b"), Modes::READ_WRITE | Modes::DENY);
        assert_eq!(said("a/c"), Modes::READ_WRITE);
        assert_eq!(said("a"), Modes::WRITE);
        assert_eq!(said("b"), Modes::default());
    }
}
