//! Topic names and topic filters: what is valid, and what matches what (MQTT 3.1.1 and 5, section 4.7).

/// What bounds a topic name or filter besides the protocol itself.
#[derive(Debug, Clone, Copy)]
pub struct TopicLimits {
    /// Longest topic in bytes.
    pub length: usize,
    /// Most levels, that is separators plus one.
    pub levels: usize,
}

/// A subscription's filter, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Name of the shared group in `$share/{group}/{filter}` (MQTT 5, 4.8.2).
    pub group: Option<&'a str>,
    /// The filter that topics are compared with.
    pub filter: &'a str,
}

impl<'a> Filter<'a> {
    /// Takes a filter apart; `None` if it is not valid or over the limits.
    #[must_use]
    pub fn parse(text: &'a str, limits: TopicLimits) -> Option<Self> {
        let Some(shared) = text.strip_prefix("$share/") else {
            return is_filter(text, limits).then_some(Self { group: None, filter: text });
        };
        let (group, filter) = shared.split_once('/')?;
        let valid = !group.is_empty() && !group.contains(['+', '#', '\0']) && is_filter(filter, limits);
        (valid && text != "$share").then_some(Self { group: Some(group), filter })
    }

    /// Whether it can match more than one topic.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        has_wildcard(self.filter)
    }
}

/// Whether `text` holds a wildcard character.
#[must_use]
pub fn has_wildcard(text: &str) -> bool {
    memchr::memchr2(b'+', b'#', text.as_bytes()).is_some()
}

/// Whether `topic` may be published to.
///
/// A topic that begins with `$share/` is refused too: a subscription to it could never be told from a shared one.
#[must_use]
pub fn is_name(topic: &str, limits: TopicLimits) -> bool {
    !topic.is_empty()
        && within(topic, limits)
        && memchr::memchr3(b'+', b'#', 0, topic.as_bytes()).is_none()
        && !topic.starts_with("$share/")
}

fn is_filter(filter: &str, limits: TopicLimits) -> bool {
    if filter.is_empty() || filter.contains('\0') || !within(filter, limits) {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let alone = level.len() == 1;
        if (level.contains('+') && !alone) || (level.contains('#') && !(alone && levels.peek().is_none())) {
            return false;
        }
    }
    true
}

fn within(text: &str, limits: TopicLimits) -> bool {
    text.len() <= limits.length && memchr::memchr_iter(b'/', text.as_bytes()).count() < limits.levels
}

/// Whether `filter` matches `topic`; both are valid.
///
/// Wildcards at the first level do not match topics that begin with `$` (MQTT-4.7.2-1).
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TopicLimits = TopicLimits { length: 64, levels: 8 };

    #[test]
    fn filters_match_as_section_4_7_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/+", "$SYS/x", true),
            ("#", "温度/1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} against {topic}");
        }
    }

    #[test]
    fn filters_are_valid_or_not() {
        for good in ["#", "+", "/", "a//b", "+/a/#", "$SYS/#", "$share/g/#", "$share/g//", "温度/+"] {
            assert!(Filter::parse(good, LIMITS).is_some(), "{good}");
        }
        for bad in [
            "", "a#", "a/#/b", "+a", "a+/b", "#/", "a\0", "$share/", "$share/g", "$share//a", "$share/g+/a",
            "$share/g/", "1/2/3/4/5/6/7/8/9",
        ] {
            assert!(Filter::parse(bad, LIMITS).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_valid_or_not() {
        for good in ["a", "/", "$SYS/x", "温度/1", " "] {
            assert!(is_name(good, LIMITS), "{good}");
        }
        for bad in ["", "a/+", "#", "a\0b", "$share/g/a", "1/2/3/4/5/6/7/8/9"] {
            assert!(!is_name(bad, LIMITS), "{bad:?}");
        }
        assert!(!is_name(&"x".repeat(65), LIMITS));
    }

    #[test]
    fn a_shared_filter_is_taken_apart() {
        assert_eq!(Filter::parse("$share/g/a/+", LIMITS), Some(Filter { group: Some("g"), filter: "a/+" }));
    }
}
