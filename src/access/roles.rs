//! Who has which role, and what a role grants.

use super::acl::tree::{Modes, RuleTree};
use super::identity::Role;
use ahash::AHashMap;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// User names, in which `*` stands for any characters, by role. A name without `*` comes before one with it, and a longer one
/// before a shorter one.
///
/// A client without a user name counts as one with an empty name: only `*` names it. Of two that are equally long, or the
/// same, the one with fewer rights counts: docks before observers before backends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// Docks.
    pub dock: Vec<String>,
    /// Backends.
    pub backend: Vec<String>,
    /// Observers.
    pub observer: Vec<String>,
}

/// [`Roles`], ready to be asked.
#[derive(Debug)]
pub(super) struct Assignment {
    names: AHashMap<Box<str>, Role>,
    /// Longest first.
    patterns: Vec<(Box<str>, Role)>,
}

impl Assignment {
    pub(super) fn new(roles: &Roles) -> Self {
        let by_rights = [(&roles.dock, Role::Dock), (&roles.observer, Role::Observer), (&roles.backend, Role::Backend)];
        let (mut names, mut patterns) = (AHashMap::new(), Vec::new());
        for (name, role) in by_rights.into_iter().flat_map(|(names, role)| names.iter().map(move |name| (name, role))) {
            if name.contains('*') {
                patterns.push((name.as_str().into(), role));
            } else {
                names.entry(name.as_str().into()).or_insert(role);
            }
        }
        patterns.sort_by_key(|(pattern, _): &(Box<str>, Role)| std::cmp::Reverse(pattern.chars().count()));
        Self { names, patterns }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty()
    }

    /// The role of who has this user name.
    pub(super) fn role(&self, username: Option<&str>) -> Option<Role> {
        let name = username.unwrap_or_default();
        let exact = username.and_then(|name| self.names.get(name)).copied();
        exact.or_else(|| self.patterns.iter().find(|(pattern, _)| is_like(name, pattern)).map(|(_, role)| *role))
    }
}

/// Whether `name` is like `pattern`, in which `*` stands for any characters.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What a backend may do: everything under `thing/` and `sys/`.
pub(super) static BACKEND: LazyLock<RuleTree> =
    LazyLock::new(|| tree(&[("thing/#", Modes::READ_WRITE), ("sys/#", Modes::READ_WRITE)]));

/// What an observer may do: read everything, and what the broker says about itself.
pub(super) static OBSERVER: LazyLock<RuleTree> = LazyLock::new(|| tree(&[("#", Modes::READ), ("$SYS/#", Modes::READ)]));

fn tree(rules: &[(&str, Modes)]) -> RuleTree {
    let mut tree = RuleTree::default();
    for (filter, modes) in rules {
        tree.insert(filter, *modes, |_| None);
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(dock: &[&str], backend: &[&str], observer: &[&str]) -> Assignment {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Assignment::new(&Roles { dock: owned(dock), backend: owned(backend), observer: owned(observer) })
    }

    #[test]
    fn an_exact_name_comes_first_then_the_longest_pattern() {
        let roles = assignment(&["4TADK*", "*"], &["4TADK-test", "server-*"], &["server-eu-*"]);
        for (name, role) in [
            ("4TADK1", Role::Dock),
            ("4TADK-test", Role::Backend),
            ("server-us-1", Role::Backend),
            ("server-eu-1", Role::Observer),
            ("anybody", Role::Dock),
        ] {
            assert_eq!(roles.role(Some(name)), Some(role), "{name}");
        }
    }

    #[test]
    fn a_client_without_a_name_has_the_role_of_a_lone_star_only() {
        assert_eq!(assignment(&["", "a*", "*a"], &[], &[]).role(None), None);
        assert_eq!(assignment(&[], &[], &["*"]).role(None), Some(Role::Observer));
    }

    #[test]
    fn of_equally_long_ones_the_role_with_fewer_rights_counts() {
        assert_eq!(assignment(&["*b"], &["a*"], &[]).role(Some("ab")), Some(Role::Dock));
        assert_eq!(assignment(&[], &["ab"], &["ab"]).role(Some("ab")), Some(Role::Observer));
        assert_eq!(assignment(&[], &["a"], &[]).role(Some("b")), None);
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("a**c", "abc", true),
            ("ü*", "üx", true),
            ("a*", "ba", false),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{name:?} like {pattern:?}");
        }
    }
}
