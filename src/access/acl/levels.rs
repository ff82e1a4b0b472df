//! Topic filters, level by level.

/// Most separators in a filter, as in Mosquitto (`TOPIC_HIERARCHY_LIMIT`); it bounds the depth of the tree of rules.
const MOST_SEPARATORS: usize = 200;
/// Longest filter in bytes: what an MQTT string can hold.
const LONGEST: usize = u16::MAX as usize;

/// The levels of a topic name or filter.
#[derive(Debug, Clone, Copy)]
pub(in crate::access) struct Levels<'a>(Option<&'a str>);

impl<'a> Levels<'a> {
    pub(in crate::access) fn of(path: &'a str) -> Self {
        Self(Some(path))
    }
}

impl<'a> Iterator for Levels<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0?;
        match memchr::memchr(b'/', rest.as_bytes()) {
            Some(at) => {
                self.0 = Some(&rest[at + 1..]);
                Some(&rest[..at])
            }
            None => self.0.take(),
        }
    }
}

/// Says what keeps `filter` from being a topic filter (MQTT 5, 4.7.1), if anything does.
pub(super) fn fault(filter: &str) -> Option<&'static str> {
    if filter.len() > LONGEST || memchr::memchr_iter(b'/', filter.as_bytes()).count() > MOST_SEPARATORS {
        return Some("it has more than 65,535 bytes or 201 levels");
    }
    let mut levels = Levels::of(filter).peekable();
    while let Some(level) = levels.next() {
        let alone = level.len() == 1;
        if level.contains('#') && !(alone && levels.peek().is_none()) {
            return Some("`#` must be the whole of the last level");
        }
        if level.contains('+') && !alone {
            return Some("`+` must be the whole of a level");
        }
    }
    None
}

/// Whether `filter` can match more than one topic.
pub(in crate::access) fn has_wildcard(filter: &str) -> bool {
    memchr::memchr2(b'+', b'#', filter.as_bytes()).is_some()
}
