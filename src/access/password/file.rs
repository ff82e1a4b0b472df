//! A whole password file.
//!
//! Mosquitto skips, with a line in its log, what it cannot read, and so locks a user out or lets an old entry stand. Here
//! such a file is refused as a whole, with everything that is wrong with it. Blanks around a name or a hash, lines that begin
//! with `#`, empty lines and CRLF are taken as Mosquitto takes them.

use super::hash::{Cost, Hash, WEAK_ITERATIONS};
use super::line::{Line, shown};
use crate::access::Flaw;
use crate::access::read::read;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::path::Path;

/// The largest file that is read: some 400,000 users.
const FILE_MAX: u64 = 64 << 20;
/// Wrong lines that are told; a file that is no password file at all has nothing else.
const FLAWS_MAX: usize = 50;
/// Names that a warning lists.
const NAMES_MAX: usize = 3;

/// The users of a password file.
#[derive(Debug)]
pub(in crate::access) struct Passwords {
    entries: HashMap<Box<str>, Hash>,
    stand_in: Hash,
    warnings: Vec<Flaw>,
}

impl Passwords {
    /// Reads the file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(in crate::access) fn read(path: &Path) -> Result<Self, Vec<Flaw>> {
        let unreadable = |error| {
            vec![Flaw {
                path: path.to_owned(),
                line: None,
                fault: format!("the password file cannot be read: {error}"),
                remedy: "correct the path, or let dockgate's user read it".to_owned(),
            }]
        };
        let text = read(path, FILE_MAX).map_err(unreadable)?;
        let mut passwords = Self::parse(&text, path)?;
        passwords.warnings.extend(readable_by_all(path));
        Ok(passwords)
    }

    fn parse(text: &[u8], path: &Path) -> Result<Self, Vec<Flaw>> {
        let flaw = |line, (fault, remedy)| Flaw { path: path.to_owned(), line, fault, remedy };
        let mut entries = HashMap::new();
        let mut lines: HashMap<Box<str>, usize> = HashMap::new();
        let mut flaws = Vec::new();
        let mut unwise = Unwise::default();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let wrong = match Line::parse(line, path) {
                Ok(None) => continue,
                Ok(Some(Line { name, hash })) => match lines.entry(name.into()) {
                    Slot::Occupied(first) => (
                        format!("user {} has a line already: line {}", shown(name), first.get()),
                        "delete the line that is out of date".to_owned(),
                    ),
                    Slot::Vacant(slot) => {
                        slot.insert(number);
                        unwise.look_at(name, &hash, number);
                        entries.insert(name.into(), hash);
                        continue;
                    }
                },
                Err(wrong) => wrong,
            };
            flaws.push(flaw(Some(number), wrong));
            if flaws.len() == FLAWS_MAX {
                let fault = format!("after {FLAWS_MAX} wrong lines the rest has not been read");
                flaws.push(flaw(None, (fault, "check that this is the password file".to_owned())));
                break;
            }
        }
        if !flaws.is_empty() {
            return Err(flaws);
        }
        let stand_in = Hash::of_nothing(most_common(&entries));
        let warnings = unwise.told(entries.is_empty()).map(|(line, words)| flaw(line, words)).collect();
        Ok(Self { entries, stand_in, warnings })
    }

    /// The hash of a user's password.
    pub(in crate::access) fn hash(&self, user: &str) -> Option<&Hash> {
        self.entries.get(user)
    }

    /// The names of all users.
    pub(in crate::access) fn users(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(|name| &name[..])
    }

    /// A hash to check the passwords of unknown users against, so that they take as long as most others.
    pub(in crate::access) fn stand_in(&self) -> &Hash {
        &self.stand_in
    }

    /// What deserves a second thought.
    pub(in crate::access) fn warnings(&self) -> &[Flaw] {
        &self.warnings
    }

    #[cfg(test)]
    pub(in crate::access) fn of(text: &str) -> Self {
        Self::parse(text.as_bytes(), Path::new("passwd")).unwrap()
    }
}

/// What is unwise about the lines of a file.
#[derive(Default)]
struct Unwise<'a> {
    weak: Names<'a>,
    unmatched: Names<'a>,
}

impl<'a> Unwise<'a> {
    fn look_at(&mut self, name: &'a str, hash: &Hash, line: usize) {
        if hash.cost().is_weak() {
            self.weak.add(name, line);
        }
        // `/` is never within the one level that %u stands for; + and # could stand for others' topics (CVE-2017-7650).
        if name.contains(['+', '#', '/']) {
            self.unmatched.add(name, line);
        }
    }

    fn told(self, nobody: bool) -> impl Iterator<Item = (Option<usize>, (String, String))> {
        let nobody = nobody.then(|| {
            let fault = "the file names no user, so nobody can log in".to_owned();
            (None, (fault, "add users with dockgate passwd".to_owned()))
        });
        let weak = self.weak.told().map(|(line, names)| {
            let why =
                format!("SHA-512 or fewer than {WEAK_ITERATIONS} iterations, which whoever gets the file can undo");
            (Some(line), (format!("{names}: {why}"), "write them again with dockgate passwd".to_owned()))
        });
        let unmatched = self.unmatched.told().map(|(line, names)| {
            let fault = format!("{names}: with +, # or / in the name, no pattern with %u gives anything");
            (Some(line), (fault, "use names without them".to_owned()))
        });
        nobody.into_iter().chain(weak).chain(unmatched)
    }
}

/// The users that a warning is about.
#[derive(Default)]
struct Names<'a> {
    line: Option<usize>,
    first: Vec<&'a str>,
    count: usize,
}

impl<'a> Names<'a> {
    fn add(&mut self, name: &'a str, line: usize) {
        self.line.get_or_insert(line);
        if self.first.len() < NAMES_MAX {
            self.first.push(name);
        }
        self.count += 1;
    }

    /// The line of the first, and words for all of them.
    fn told(&self) -> Option<(usize, String)> {
        let names: Vec<_> = self.first.iter().map(|name| shown(name)).collect();
        let mut words = format!("{} {}", if self.count == 1 { "user" } else { "users" }, names.join(", "));
        if self.count > self.first.len() {
            words += &format!(" and {} more", self.count - self.first.len());
        }
        self.line.map(|line| (line, words))
    }
}

fn most_common(entries: &HashMap<Box<str>, Hash>) -> Cost {
    let mut counts: HashMap<Cost, usize> = HashMap::new();
    for hash in entries.values() {
        *counts.entry(hash.cost()).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(Cost::Sha512, |(cost, _)| cost)
}

/// A warning if every account of the machine may read the file: the hashes can be tried without asking the broker.
fn readable_by_all(path: &Path) -> Option<Flaw> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = path.metadata().ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| Flaw {
        path: path.to_owned(),
        line: None,
        fault: "everybody on this machine may read the password hashes".to_owned(),
        remedy: "take the right away with chmod o-r".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::password::line::{HASH_MAX, NAME_MAX};
    use proptest::prelude::*;

    const HASH: &str = "$7$1000$AAECAwQFBgcICQoL$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
    const WEAK: &str =
        "$6$AAECAwQFBgcICQoL$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";

    fn parse(text: &str) -> Result<Passwords, Vec<Flaw>> {
        Passwords::parse(text.as_bytes(), Path::new("passwd"))
    }

    #[test]
    fn comments_blank_lines_crlf_and_blanks_around_are_as_in_mosquitto() {
        let text = format!("# dock:secret\r\n\r\n  \n dock-1 : {HASH} \r\n#\nBackend ü:{HASH}\nlast:{HASH}");
        let passwords = parse(&text).unwrap();
        assert!(["dock-1", "Backend ü", "last"].iter().all(|name| passwords.hash(name).is_some()), "{passwords:?}");
        assert_eq!(passwords.entries.len(), 3);
        assert_eq!(passwords.hash("# dock"), None);
        assert!(passwords.warnings().is_empty(), "{:?}", passwords.warnings());
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_line_and_nothing_of_a_password() {
        let text = format!(
            "good:{HASH}\nhunter2\nplain:hunter2\n:{HASH}\ngood:{HASH}\nspace d:hunter2\nbad:$6$hunter2$hunter2\nctrl\u{1}l:{HASH}\nextra:{HASH}:hunter2\n{}:{HASH}\nempty:\n",
            "n".repeat(NAME_MAX + 1)
        );
        let flaws = parse(&text).unwrap_err();
        let told: Vec<_> = flaws.iter().map(ToString::to_string).collect();
        for (index, expected) in [
            "passwd:2: the line is not user:hash; delete it, put # before it, or write it with dockgate passwd passwd USER",
            "passwd:3: the password of user \"plain\" is not hashed; run dockgate passwd passwd plain, or mosquitto_passwd -U passwd if none in the file is hashed",
            "passwd:4: the user name is empty; ",
            "passwd:5: user \"good\" has a line already: line 1; delete the line that is out of date",
            "passwd:6: the password of user \"space d\" is not hashed; run dockgate passwd passwd USER,",
            "passwd:7: the hash of user \"bad\" has a salt that is not Base64; write it again with dockgate passwd passwd bad",
            "passwd:8: the user name has a control character in it; ",
            "passwd:9: the hash of user \"extra\" has a hash that is not Base64; ",
            "passwd:10: the user name is longer than 65535 bytes; ",
            "passwd:11: the password of user \"empty\" is not hashed; ",
        ]
        .iter()
        .enumerate()
        {
            assert!(told[index].starts_with(expected), "{}", told[index]);
            assert!(!told[index].contains("hunter2"), "{}", told[index]);
            assert!(told[index].len() < 400, "{}", told[index]);
        }
        assert_eq!(told.len(), 10, "{told:#?}");
    }

    #[test]
    fn a_file_that_is_no_password_file_has_a_bounded_number_of_flaws() {
        let flaws = parse(&"hunter2\n".repeat(1_000)).unwrap_err();
        assert_eq!(flaws.len(), FLAWS_MAX + 1);
        assert_eq!(flaws[FLAWS_MAX].fault, "after 50 wrong lines the rest has not been read");
    }

    #[test]
    fn what_is_not_utf_8_or_too_long_or_has_a_byte_order_mark_is_told() {
        let told = |text: &[u8]| Passwords::parse(text, Path::new("passwd")).unwrap_err()[0].fault.clone();
        assert_eq!(told(b"d\xffck:$6$"), "the line is not UTF-8, as user names in MQTT are");
        assert_eq!(told(&vec![b'a'; NAME_MAX + HASH_MAX + 1]), "the line is too long");
        assert_eq!(told(format!("\u{feff}dock:{HASH}").as_bytes()), "the file begins with a byte order mark");
    }

    #[test]
    fn what_is_unwise_is_told_once_for_all_users() {
        let text = format!("ok:{HASH}\na/b:{WEAK}\nw2:{WEAK}\nw3:{WEAK}\nw4:{WEAK}\n");
        let passwords = parse(&text).unwrap();
        let told: Vec<_> = passwords.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "passwd:2: users \"a/b\", \"w2\", \"w3\" and 1 more: SHA-512 or fewer than 1000 iterations, which whoever gets the file can undo; write them again with dockgate passwd",
                "passwd:2: user \"a/b\": with +, # or / in the name, no pattern with %u gives anything; use names without them",
            ]
        );
        assert_eq!(
            parse("# nobody yet\n").unwrap().warnings()[0].fault,
            "the file names no user, so nobody can log in"
        );
    }

    #[test]
    fn an_unknown_user_costs_what_most_users_cost() {
        let text = format!("a:{WEAK}\nb:{HASH}\nc:{HASH}\n");
        let passwords = parse(&text).unwrap();
        assert_eq!(passwords.stand_in().cost(), passwords.hash("b").unwrap().cost());
    }

    #[test]
    fn a_file_that_is_not_there_or_open_to_all_is_told() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let flaws = Passwords::read(&path).unwrap_err();
        assert!(flaws[0].fault.contains("cannot be read"), "{flaws:?}");
        std::fs::write(&path, format!("a:{HASH}\n")).unwrap();
        for (mode, warnings) in [(0o640, 0), (0o644, 1)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Passwords::read(&path).unwrap().warnings().len(), warnings, "{mode:o}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _verdict = Passwords::parse(&bytes, Path::new("passwd"));
        }

        #[test]
        fn no_line_makes_it_panic(text in r"(#|:|\$[67]\$|\$argon2id\$v=19\$|\$|[ \r\n\t]|\PC){0,30}") {
            let _verdict = parse(&text);
        }
    }
}
