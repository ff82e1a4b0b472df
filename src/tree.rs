//! A tree of topic levels, looked up both ways: wildcard subscriptions by topic, retained messages by filter.

use ahash::AHashMap;

/// Values keyed by a slash-separated path, which may be a topic name or a topic filter.
#[derive(Debug)]
pub struct TopicTree<V> {
    root: Node<V>,
    len: usize,
    nodes: usize,
}

#[derive(Debug)]
struct Node<V> {
    value: Option<V>,
    children: AHashMap<Box<str>, Node<V>>,
}

impl<V> Node<V> {
    /// Calls `found` with every value from here on.
    fn all<'t>(&'t self, skip_dollar: bool, found: &mut impl FnMut(&'t V)) {
        if let Some(value) = &self.value {
            found(value);
        }
        for (level, child) in &self.children {
            if !(skip_dollar && level.starts_with('$')) {
                child.all(false, found);
            }
        }
    }
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { value: None, children: AHashMap::new() }
    }
}

impl<V> Default for TopicTree<V> {
    fn default() -> Self {
        Self { root: Node::default(), len: 0, nodes: 0 }
    }
}

impl<V> TopicTree<V> {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Number of levels that the paths of all values have together, those that they share once.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Calls `found` with every value.
    pub fn for_each<'t>(&'t self, mut found: impl FnMut(&'t V)) {
        self.root.all(false, &mut found);
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `value` at `path` and returns what stood there.
    pub fn insert(&mut self, path: &str, value: V) -> Option<V> {
        let mut node = &mut self.root;
        for level in path.split('/') {
            if !node.children.contains_key(level) {
                node.children.insert(level.into(), Node::default());
                self.nodes += 1;
            }
            node = node.children.get_mut(level).expect("inserted above");
        }
        let old = node.value.replace(value);
        self.len += usize::from(old.is_none());
        old
    }

    /// The value at exactly `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&V> {
        path.split('/').try_fold(&self.root, |node, level| node.children.get(level))?.value.as_ref()
    }

    /// Takes the value at exactly `path`, and prunes the branches that are empty then.
    pub fn remove(&mut self, path: &str) -> Option<V> {
        fn remove_below<V>(node: &mut Node<V>, mut levels: std::str::Split<'_, char>, nodes: &mut usize) -> Option<V> {
            let Some(level) = levels.next() else { return node.value.take() };
            let child = node.children.get_mut(level)?;
            let removed = remove_below(child, levels, nodes);
            if child.value.is_none() && child.children.is_empty() {
                node.children.remove(level);
                *nodes -= 1;
                if node.children.len() * 4 < node.children.capacity() {
                    node.children.shrink_to_fit();
                }
            }
            removed
        }
        let removed = remove_below(&mut self.root, path.split('/'), &mut self.nodes);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Calls `found` with the value of every filter in the tree that matches `topic`, until it returns `false`.
    ///
    /// Filters with a wildcard at the first level do not match topics that begin with `$` (MQTT-4.7.2-1).
    pub fn filters_matching<'t>(&'t self, topic: &str, mut found: impl FnMut(&'t V) -> bool) {
        fn walk<'t, V>(
            node: &'t Node<V>,
            rest: Option<&str>,
            wildcards: bool,
            found: &mut impl FnMut(&'t V) -> bool,
        ) -> bool {
            if wildcards
                && let Some(value) = node.children.get("#").and_then(|n| n.value.as_ref())
                && !found(value)
            {
                return false;
            }
            let Some(rest) = rest else { return node.value.as_ref().is_none_or(found) };
            let (level, rest) = match rest.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (rest, None),
            };
            if wildcards
                && let Some(child) = node.children.get("+")
                && !walk(child, rest, true, found)
            {
                return false;
            }
            node.children.get(level).is_none_or(|child| walk(child, rest, true, found))
        }
        walk(&self.root, Some(topic), !topic.starts_with('$'), &mut found);
    }

    /// Calls `found` with every value in the tree whose topic name matches `filter`.
    pub fn topics_matching<'t>(&'t self, filter: &str, mut found: impl FnMut(&'t V)) {
        fn walk<'t, V>(node: &'t Node<V>, rest: Option<&str>, root: bool, found: &mut impl FnMut(&'t V)) {
            let Some(rest) = rest else {
                if let Some(value) = &node.value {
                    found(value);
                }
                return;
            };
            let (level, rest) = match rest.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (rest, None),
            };
            match level {
                "#" => node.all(root, found),
                "+" => {
                    for (level, child) in &node.children {
                        if !(root && level.starts_with('$')) {
                            walk(child, rest, false, found);
                        }
                    }
                }
                level => {
                    if let Some(child) = node.children.get(level) {
                        walk(child, rest, false, found);
                    }
                }
            }
        }
        walk(&self.root, Some(filter), true, &mut found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::topic::matches;
    use proptest::prelude::*;

    fn path(levels: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(levels), 1..5).prop_map(|levels| levels.join("/"))
    }

    fn filter() -> impl Strategy<Value = String> {
        (path(&["a", "b", "", "+", "$s"]), any::<bool>()).prop_map(|(f, hash)| if hash { f + "/#" } else { f })
    }

    proptest! {
        #[test]
        fn the_tree_agrees_with_matching_one_by_one(
            filters in prop::collection::hash_set(filter(), 0..20),
            topics in prop::collection::hash_set(path(&["a", "b", "", "$s"]), 0..20),
        ) {
            let (mut by_filter, mut by_topic) = (TopicTree::default(), TopicTree::default());
            for f in &filters { by_filter.insert(f, f.clone()); }
            for t in &topics { by_topic.insert(t, t.clone()); }
            for t in &topics {
                let mut found = Vec::new();
                by_filter.filters_matching(t, |f| { found.push(f.clone()); true });
                let mut expected: Vec<_> = filters.iter().filter(|f| matches(f, t)).cloned().collect();
                found.sort(); expected.sort();
                prop_assert_eq!(found, expected);
            }
            for f in &filters {
                let mut found = Vec::new();
                by_topic.topics_matching(f, |t| found.push(t.clone()));
                let mut expected: Vec<_> = topics.iter().filter(|t| matches(f, t)).cloned().collect();
                found.sort(); expected.sort();
                prop_assert_eq!(found, expected);
            }
            for f in &filters {
                let removed = by_filter.remove(f);
                prop_assert_eq!(removed.as_ref(), Some(f));
            }
            prop_assert!(by_filter.is_empty() && by_filter.root.children.is_empty());
            prop_assert_eq!(by_filter.nodes(), 0);
        }
    }
}
