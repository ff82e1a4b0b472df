//! Topic names and topic filters: what is valid, and what matches what (MQTT 3.1.1 and 5, section 4.7).

use crate::config::Limits;
use crate::metrics::Limit;

/// What bounds a topic name or filter besides the protocol itself.
#[derive(Debug, Clone, Copy)]
pub struct TopicLimits {
    /// Longest topic in bytes.
    pub length: usize,
    /// Most levels, that is separators plus one.
    pub levels: usize,
}

/// Why a topic name or filter cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// The protocol forbids it.
    Invalid,
    /// It is over [`TopicLimits::length`].
    TooLong,
    /// It is over [`TopicLimits::levels`].
    TooDeep,
}

impl Unusable {
    /// The limit that it is over, if it is that.
    #[must_use]
    pub fn limit(self) -> Option<Limit> {
        match self {
            Self::Invalid => None,
            Self::TooLong => Some(Limit::TopicLength),
            Self::TooDeep => Some(Limit::TopicLevels),
        }
    }
}

impl TopicLimits {
    /// Those of the settings.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        Self { length: limits.topic_length, levels: limits.topic_levels }
    }

    fn check(self, text: &str) -> Result<(), Unusable> {
        if text.len() > self.length {
            Err(Unusable::TooLong)
        } else if memchr::memchr_iter(b'/', text.as_bytes()).count() >= self.levels {
            Err(Unusable::TooDeep)
        } else {
            Ok(())
        }
    }
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
    /// Takes a filter apart.
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub fn parse(text: &'a str, limits: TopicLimits) -> Result<Self, Unusable> {
        let Some(shared) = text.strip_prefix("$share/") else {
            return check_filter(text, limits).map(|()| Self { group: None, filter: text });
        };
        let (group, filter) = shared.split_once('/').ok_or(Unusable::Invalid)?;
        if group.is_empty() || group.contains(['+', '#', '\0']) {
            return Err(Unusable::Invalid);
        }
        check_filter(filter, limits).map(|()| Self { group: Some(group), filter })
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
/// A topic that begins with `$share/` may not: a subscription to it could never be told from a shared one.
///
/// # Errors
/// Says why not.
pub fn check_name(topic: &str, limits: TopicLimits) -> Result<(), Unusable> {
    let valid = !topic.is_empty()
        && memchr::memchr3(b'+', b'#', 0, topic.as_bytes()).is_none()
        && !topic.starts_with("$share/");
    if valid { limits.check(topic) } else { Err(Unusable::Invalid) }
}

fn check_filter(filter: &str, limits: TopicLimits) -> Result<(), Unusable> {
    if filter.is_empty() || filter.contains('\0') {
        return Err(Unusable::Invalid);
    }
    limits.check(filter)?;
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let alone = level.len() == 1;
        if (level.contains('+') && !alone) || (level.contains('#') && !(alone && levels.peek().is_none())) {
            return Err(Unusable::Invalid);
        }
    }
    Ok(())
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
            assert!(Filter::parse(good, LIMITS).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a#",
            "a/#/b",
            "+a",
            "a+/b",
            "#/",
            "a\0",
            "$share/",
            "$share/g",
            "$share//a",
            "$share/g+/a",
            "$share/g/",
            "1/2/3/4/5/6/7/8/9",
        ] {
            assert!(Filter::parse(bad, LIMITS).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_valid_or_not() {
        for good in ["a", "/", "$SYS/x", "温度/1", " "] {
            assert!(check_name(good, LIMITS).is_ok(), "{good}");
        }
        for bad in ["", "a/+", "#", "a\0b", "$share/g/a", "1/2/3/4/5/6/7/8/9"] {
            assert!(check_name(bad, LIMITS).is_err(), "{bad:?}");
        }
        assert_eq!(check_name(&"x".repeat(65), LIMITS), Err(Unusable::TooLong));
        assert_eq!(check_name("1/2/3/4/5/6/7/8/9", LIMITS), Err(Unusable::TooDeep));
    }

    #[test]
    fn a_shared_filter_is_taken_apart() {
        assert_eq!(Filter::parse("$share/g/a/+", LIMITS), Ok(Filter { group: Some("g"), filter: "a/+" }));
    }
}
