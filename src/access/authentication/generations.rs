//! A map of bounded size that forgets what has not been used for the longest time, roughly.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Two maps. What is used is in, or moves to, the young one; when that is full, the old one is forgotten and the young one
/// takes its place. So the last `size` keys used are there, and never more than twice as many.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    size: usize,
}

impl<K: Hash + Eq, V> Generations<K, V> {
    pub(super) fn new(size: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), size }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.size && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_used_are_there_and_never_more_than_twice_as_many() {
        let mut map = Generations::new(10);
        for key in 0..1_000 {
            map.insert(key, key);
            assert!(map.young.len() + map.old.len() <= 20);
            for key in (key - 9).max(0)..=key {
                assert!(map.young.contains_key(&key) || map.old.contains_key(&key), "{key}");
            }
        }
        assert!((0..980).all(|key| map.get(&key).is_none()));
    }

    #[test]
    fn what_is_used_stays() {
        let mut map = Generations::new(10);
        map.insert(-1, "kept");
        for key in 0..1_000 {
            map.insert(key, "");
            assert_eq!(map.get(&-1), Some(&mut "kept"));
        }
    }

    #[test]
    fn a_key_has_one_value() {
        let mut map = Generations::new(1);
        map.insert(1, "old");
        map.insert(2, "");
        map.insert(1, "new");
        assert_eq!(map.get(&1), Some(&mut "new"));
        assert_eq!(map.young.len() + map.old.len(), 2);
    }
}
