//! The lines of an ACL file.

use super::tree::{Modes, Placeholder, RuleTree};
use super::{Acl, Section, levels};
use crate::access::Flaw;
use ahash::AHashMap;
use std::path::Path;
use std::sync::Arc;

/// Longest line in bytes.
const LONGEST_LINE: usize = 64 << 10;
/// After so many flaws the rest is not looked at: it is not an ACL file.
const MOST_FLAWS: usize = 100;

const FORMS: &str = "write `user NAME`, `topic [read|write|readwrite|deny] TOPIC`, `pattern [read|write|readwrite|deny] TOPIC`, \
                     separated by spaces, or a comment with `#` as its first character";

/// A rule or the beginning of a section.
enum Line<'a> {
    User(&'a str),
    Topic(Modes, &'a str),
    Pattern(Modes, &'a str),
}

/// What is wrong with a line, and what to do about it.
type Fault = (String, String);

fn fault<T>(fault: impl Into<String>, remedy: impl Into<String>) -> Result<T, Fault> {
    Err((fault.into(), remedy.into()))
}

#[derive(Default)]
struct Rules {
    anonymous: RuleTree,
    users: AHashMap<Box<str>, (usize, RuleTree)>,
    patterns: Option<RuleTree>,
}

pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Acl, Vec<Flaw>> {
    let flaw = |line, (fault, remedy)| Flaw { path: path.to_owned(), line: Some(line), fault, remedy };
    let (mut flaws, mut warnings) = (Vec::new(), Vec::new());
    let mut rules = Rules::default();
    let mut user: Option<&str> = None;
    for (line, bytes) in (1..).zip(content.split(|byte| *byte == b'\n')) {
        match read(bytes) {
            Ok(None) => {}
            Ok(Some(Line::User(name))) => {
                user = Some(name);
                rules.users.entry(name.into()).or_insert_with(|| (line, RuleTree::default()));
            }
            Ok(Some(Line::Topic(modes, topic))) => {
                if let Some(name) = levels::Levels::of(topic).find(|level| placeholder(level).is_some()) {
                    let fault = format!("{name} stands for itself in a `topic` line");
                    let remedy = "write `pattern` instead of `topic` if it is to stand for the client's name".into();
                    warnings.push(flaw(line, (fault, remedy)));
                }
                let section = match user {
                    None => &mut rules.anonymous,
                    Some(name) => &mut rules.users.get_mut(name).expect("its line made it").1,
                };
                section.insert(topic, modes, |_| None);
            }
            Ok(Some(Line::Pattern(modes, topic))) => {
                rules.patterns.get_or_insert_default().insert(topic, modes, placeholder);
            }
            Err(fault) if flaws.len() < MOST_FLAWS => flaws.push(flaw(line, fault)),
            Err(_) => break,
        }
    }
    if !flaws.is_empty() {
        return Err(flaws);
    }
    let section = |(name, (line, rules))| (name, Section { line, rules: Arc::new(rules) });
    Ok(Acl {
        path: path.to_owned(),
        anonymous: Arc::new(rules.anonymous),
        users: rules.users.into_iter().map(section).collect(),
        patterns: rules.patterns.map(Arc::new),
        warnings,
    })
}

fn placeholder(level: &str) -> Option<Placeholder> {
    match level {
        "%u" => Some(Placeholder::Username),
        "%c" => Some(Placeholder::ClientId),
        _ => None,
    }
}

/// What C's `isspace` calls so.
fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\x0b' | '\x0c' | '\r')
}

fn read(line: &[u8]) -> Result<Option<Line<'_>>, Fault> {
    if line.len() > LONGEST_LINE {
        return fault("the line has more than 64 KiB", "is this an ACL file?");
    }
    let Ok(line) = str::from_utf8(line) else {
        return fault("the line is not UTF-8", "save the file as UTF-8");
    };
    if line.contains('\0') {
        return fault("the line holds a null character", "remove it");
    }
    let line = line.trim_end_matches(is_space);
    if line.starts_with('#') {
        return Ok(None);
    }
    let line = line.trim_start_matches(' ');
    let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_matches(is_space);
    match keyword {
        "" => Ok(None),
        "user" if rest.is_empty() => fault("`user` without a name", "write the user's name after it"),
        "user" => Ok(Some(Line::User(rest))),
        "topic" => rule(rest).map(|(modes, topic)| Some(Line::Topic(modes, topic))),
        "pattern" => {
            let (modes, topic) = rule(rest)?;
            for level in levels::Levels::of(topic) {
                if placeholder(level).is_none() && (level.contains("%u") || level.contains("%c")) {
                    return fault(
                        format!("`%u` or `%c` is only a part of the level {}", shown(level)),
                        "make it the whole of a level (mosquitto.conf(5): \"the only text for that level of hierarchy\")",
                    );
                }
            }
            Ok(Some(Line::Pattern(modes, topic)))
        }
        other => fault(format!("{} is not a keyword", shown(other)), FORMS),
    }
}

/// What follows `topic` or `pattern`.
fn rule(text: &str) -> Result<(Modes, &str), Fault> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let modes = match word {
        "read" => Some(Modes::READ),
        "write" => Some(Modes::WRITE),
        "readwrite" => Some(Modes::READ_WRITE),
        "deny" => Some(Modes::DENY),
        _ => None,
    };
    let (modes, topic) = match (modes, rest.trim_start_matches(is_space)) {
        (_, "") if text.is_empty() => return fault("there is no topic", FORMS),
        (Some(_), "") => {
            let remedy = format!("write it after {word}; if {word} is the topic's name, write `readwrite {word}`");
            return fault("there is no topic", remedy);
        }
        (None, "") => (Modes::READ_WRITE, text),
        (Some(modes), topic) => (modes, topic),
        (None, _) => {
            return fault(
                format!("{} is not read, write, readwrite or deny", shown(word)),
                "write one of them before the topic; before a topic with a space in it, one is needed",
            );
        }
    };
    match levels::fault(topic) {
        None => Ok((modes, topic)),
        Some(why) => fault(format!("{} is not a topic filter: {why}", shown(topic)), "correct the topic"),
    }
}

/// The beginning of a text, for a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flaws(content: &[u8]) -> Vec<String> {
        parse(Path::new("acl"), content).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_flaw_is_named_with_its_line_and_a_remedy() {
        let content: &[u8] =
            b"topic read a\ntopics b\nuser\ntopic\npattern deny\ntopic a#\ntopic #/a\ntopic read a+/b\n\
            pattern write x/a%u\ntopic all a/b\ntopic read \xff\n # indented\ntopic\tread a\ntopic a\0b\n";
        let found = flaws(content);
        let said = [
            ("acl:2: \"topics\" is not a keyword", "write `user NAME`"),
            ("acl:3: `user` without a name", "write the user's name"),
            ("acl:4: there is no topic", "write `user NAME`"),
            ("acl:5: there is no topic", "write `readwrite deny`"),
            ("acl:6: \"a#\" is not a topic filter", "`#` must be the whole of the last level"),
            ("acl:7: \"#/a\" is not a topic filter", "`#` must be the whole of the last level"),
            ("acl:8: \"a+/b\" is not a topic filter", "`+` must be the whole of a level"),
            ("acl:9: `%u` or `%c` is only a part of the level \"a%u\"", "the whole of a level"),
            ("acl:10: \"all\" is not read, write, readwrite or deny", "a topic with a space"),
            ("acl:11: the line is not UTF-8", "save the file as UTF-8"),
            ("acl:12: \"#\" is not a keyword", "`#` as its first character"),
            ("acl:13: \"topic\\tread\" is not a keyword", "separated by spaces"),
            ("acl:14: the line holds a null character", "remove it"),
        ];
        assert_eq!(found.len(), said.len(), "{found:#?}");
        for (found, (fault, remedy)) in found.iter().zip(said) {
            assert!(found.starts_with(fault) && found.contains(remedy), "{found} should say {fault} … {remedy}");
        }
    }

    #[test]
    fn a_line_a_topic_and_a_number_of_flaws_have_their_bounds() {
        assert!(flaws(&vec![b'a'; LONGEST_LINE + 1])[0].contains("more than 64 KiB"));
        let deep = format!("topic {}", "a/".repeat(201));
        assert!(flaws(deep.as_bytes())[0].contains("201 levels"));
        assert_eq!(flaws("x\n".repeat(1000).as_bytes()).len(), MOST_FLAWS);
    }

    #[test]
    fn comments_blank_lines_carriage_returns_and_spaces_do_no_harm() {
        let content = b"# comment\r\n\r\n   \n  topic   read \t a b/c  \r\nuser  Jane Doe \r\ntopic write d \n#";
        assert_eq!(flaws(content), Vec::<String>::new());
        let acl = parse(Path::new("acl"), content).unwrap();
        assert_eq!(acl.users.keys().map(AsRef::as_ref).collect::<Vec<_>>(), ["Jane Doe"]);
    }

    #[test]
    fn users_that_the_password_file_lacks_and_placeholders_that_are_none_are_warned_of() {
        let content = b"user amy\ntopic a\nuser bob\ntopic read x/%u\nuser amy\ntopic b\n";
        let acl = parse(Path::new("acl"), content).unwrap();
        let warnings: Vec<_> = acl.warnings(Some(&|name| name == "bob")).iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 2, "{warnings:#?}");
        assert!(warnings[0].starts_with("acl:1: there is no user \"amy\""));
        assert!(warnings[1].starts_with("acl:4: %u stands for itself"));
        assert_eq!(acl.warnings(None).len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_acl_or_have_a_flaw(
            lines in prop::collection::vec("(topic|pattern|user|)[ \t]?(read|write|deny|)[ ]?[a#+/%uc \0ü]{0,12}", 0..20),
            noise in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut content = lines.join("\n").into_bytes();
            content.extend(noise);
            if let Err(flaws) = parse(Path::new("acl"), &content) {
                prop_assert!(!flaws.is_empty());
            }
        }
    }
}
