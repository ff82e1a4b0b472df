//! The ACL file: text as it comes, and rules that are put together so that a second, simpler reading of them can say what
//! must come out.
//!
//! A file is read or refused without a panic, and a refusal says where and why on one line. What a client may read of a
//! filter and of each topic agrees; for rules that were put together, it is what Mosquitto's manual says.

use std::fmt::Write as _;

use dockgate::access::{Access, Identity, Proof, Reading, Rights, Sources};
use dockgate::mqtt::topic::matches;

use super::input::Input;
use super::scratch::with_file;

/// Levels of topics, and of filters too.
const LEVELS: [&str; 6] = ["a", "b", "", "$x", "u", "c"];
/// Levels that only filters have; `#` is the last one.
const WILD: [&str; 4] = ["%u", "%c", "+", "#"];
const NAMES: [&str; 6] = ["u", "a", "+", "a/b", "", "c"];
const MODES: [&str; 5] = ["read ", "write ", "readwrite ", "", "deny "];

/// A rule as the reference knows it.
#[derive(Debug)]
struct Rule {
    /// Whom it is for; a pattern is for all.
    user: Option<&'static str>,
    is_pattern: bool,
    mode: &'static str,
    filter: String,
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let shape = input.byte();
    let who = Identity {
        client_id: NAMES[usize::from(input.byte()) % NAMES.len()].into(),
        username: (shape & 2 != 0).then(|| NAMES[usize::from(shape >> 2) % NAMES.len()].into()),
        listener_role: None,
        proof: if shape & 2 != 0 { Proof::Password(1) } else { Proof::Anonymous },
    };
    let (text, rules) = if shape & 1 == 0 { (input.long().to_vec(), None) } else { written(&mut input) };
    let opened =
        with_file(&text, |path| Access::open(Sources { acl_file: Some(path.to_owned()), ..Sources::default() }));
    let access = match opened {
        Ok(access) => access,
        Err(flaws) => {
            assert!(!flaws.is_empty(), "refused without a reason");
            assert!(rules.is_none(), "{flaws:?} in {}", text.escape_ascii());
            expect_readable(&flaws, &text);
            return;
        }
    };
    expect_readable(&access.warnings(), &text);
    let rights = access.rights(&who);
    for _ in 0..8 {
        let (filter, topic) = (filter(&mut input, true), topic(&mut input));
        expect_agreement(&rights, &filter, &topic);
        if let Some(rules) = &rules {
            let (read, write) = (allowed(rules, &who, &topic, "read "), allowed(rules, &who, &topic, "write "));
            let found = (rights.may_read(&topic), rights.may_publish(&topic));
            assert_eq!(found, (read, write), "{topic:?} for {who:?} under\n{}", text.escape_ascii());
        }
    }
}

/// Lines about a file that a person can read in a terminal, and that name a line which is there.
pub(super) fn expect_readable(flaws: &[dockgate::access::Flaw], text: &[u8]) {
    let lines = 1 + text.iter().filter(|byte| **byte == b'\n').count();
    for flaw in flaws {
        let said = flaw.to_string();
        assert!(!said.contains(char::is_control), "{said:?}");
        assert!(said.len() < 3_000, "{} bytes about one line", said.len());
        assert!(flaw.line.is_none_or(|line| (1..=lines).contains(&line)), "{said}: there are {lines} lines");
        assert!(!flaw.fault.is_empty() && !flaw.remedy.is_empty());
    }
}

fn expect_agreement(rights: &Rights, filter: &str, topic: &str) {
    let may = rights.may_read(topic);
    match rights.reading(topic) {
        Reading::All => assert!(may, "{topic:?} as a filter is all, and as a topic nothing"),
        Reading::Nothing => assert!(!may, "{topic:?} as a filter is nothing, and as a topic all"),
        Reading::Some => panic!("some of {topic:?}, though no aircraft can be announced"),
    }
    if matches(filter, topic) {
        match rights.reading(filter) {
            Reading::All => assert!(may, "all of {filter:?}, but not {topic:?}"),
            Reading::Nothing => assert!(!may, "nothing of {filter:?}, but {topic:?}"),
            Reading::Some => {}
        }
    }
}

/// Some rules, and the file that they make.
fn written(input: &mut Input<'_>) -> (Vec<u8>, Option<Vec<Rule>>) {
    let (mut text, mut rules) = (String::new(), Vec::new());
    let mut user = None;
    for _ in 0..input.byte() % 16 {
        let how = input.byte();
        if how & 0x30 == 0x30 {
            // Names that can be written in a file.
            let name = ["u", "a", "a/b", "c"][usize::from(how) % 4];
            user = Some(name);
            writeln!(text, "user {name}").expect("strings take everything");
            continue;
        }
        let is_pattern = how & 0x30 == 0x20;
        let mode = MODES[usize::from(how & 7) % MODES.len()];
        // What is no word of its own would be read as something else.
        let mut filter = filter(input, is_pattern);
        if filter.is_empty() || filter.starts_with(' ') {
            "a".clone_into(&mut filter);
        }
        writeln!(text, "{}{mode}{filter}", if is_pattern { "pattern " } else { "topic " })
            .expect("strings take everything");
        rules.push(Rule { user: user.filter(|_| !is_pattern), is_pattern, mode, filter });
    }
    // A section without rules is one all the same, and decides nothing.
    (text.into_bytes(), Some(rules))
}

fn topic(input: &mut Input<'_>) -> String {
    let levels = input.byte() % 4;
    let levels: Vec<&str> = (0..=levels).map(|_| LEVELS[usize::from(input.byte()) % LEVELS.len()]).collect();
    if levels == [""] { "a".to_owned() } else { levels.join("/") }
}

fn filter(input: &mut Input<'_>, with_placeholders: bool) -> String {
    let count = input.byte() % 4;
    let mut levels = Vec::new();
    for _ in 0..=count {
        let which = usize::from(input.byte()) % (LEVELS.len() + WILD.len());
        let level = LEVELS.get(which).copied().unwrap_or_else(|| WILD[which - LEVELS.len()]);
        levels.push(if !with_placeholders && level.starts_with('%') { "b" } else { level });
        if level == "#" {
            break;
        }
    }
    levels.join("/")
}

/// What mosquitto.conf(5) says, "acl_file", with the differences that the module of the rules lists.
fn allowed(rules: &[Rule], who: &Identity, topic: &str, mode: &str) -> bool {
    let is_dangerous = |name: &str| name.contains(['+', '#']);
    let patterns_only_deny = is_dangerous(&who.client_id) || who.username.as_deref().is_some_and(is_dangerous);
    let applies = |rule: &&Rule| covers(rule, who, topic);
    let denies = |rule: &&Rule| rule.mode == "deny ";
    let allows = |rule: &&Rule| [mode, "readwrite ", ""].contains(&rule.mode);
    let own = || rules.iter().filter(|rule| !rule.is_pattern && rule.user == who.username.as_deref()).filter(applies);
    let patterns = || rules.iter().filter(|rule| rule.is_pattern).filter(applies);
    if own().any(|rule| denies(&rule)) {
        return false;
    }
    if own().any(|rule| allows(&rule)) {
        return true;
    }
    !patterns().any(|rule| denies(&rule)) && !patterns_only_deny && patterns().any(|rule| allows(&rule))
}

fn covers(rule: &Rule, who: &Identity, topic: &str) -> bool {
    let name = |name: Option<&str>, level: &str| name == Some(level);
    let first = rule.filter.split('/').next().unwrap_or_default();
    let is_open = matches!(first, "+" | "#") || (rule.is_pattern && matches!(first, "%u" | "%c"));
    if topic.starts_with('$') && is_open {
        return false;
    }
    let (mut filters, mut levels) = (rule.filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some("%u"), Some(level)) if rule.is_pattern => {
                if level.is_empty() || !name(who.username.as_deref(), level) {
                    return false;
                }
            }
            (Some("%c"), Some(level)) if rule.is_pattern => {
                if level.is_empty() || !name(Some(&who.client_id), level) {
                    return false;
                }
            }
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}
