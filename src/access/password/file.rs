//! A whole password file.
//!
//! Mosquitto skips, with a line in its log, what it cannot read, and so locks a user out or lets an old entry stand. Here
//! such a file is refused as a whole, with everything that is wrong with it. Blanks around a name or a hash, lines that begin
//! with `#`, empty lines and CRLF are taken as Mosquitto takes them.

use super::edit::{NAME_MAX, check_name};
use super::hash::{Cost, Fault, Hash, WEAK_ITERATIONS};
use crate::access::Flaw;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file that is read: some 400,000 users.
const FILE_MAX: u64 = 64 << 20;
/// The longest hash that makes sense has 200 bytes.
const HASH_MAX: usize = 1_024;
/// Flaws that are told one by one; a file that is no password file at all has one on each line.
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
        let flaw = |fault: String, remedy: &str| {
            vec![Flaw { path: path.to_owned(), line: None, fault, remedy: remedy.to_owned() }]
        };
        let unreadable = |error: io::Error| {
            flaw(
                format!("the password file cannot be read: {error}"),
                "correct the path, or let dockgate's user read it",
            )
        };
        let file = File::open(path).map_err(unreadable)?;
        let mut text = Vec::new();
        file.take(FILE_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > FILE_MAX {
            return Err(flaw(
                format!("the file is larger than {FILE_MAX} bytes"),
                "check that it is the password file",
            ));
        }
        let mut passwords = Self::parse(&text, path)?;
        passwords.warnings.extend(readable_by_all(path));
        Ok(passwords)
    }

    fn parse(text: &[u8], path: &Path) -> Result<Self, Vec<Flaw>> {
        let mut entries = HashMap::new();
        let mut lines: HashMap<Box<str>, usize> = HashMap::new();
        let (mut flaws, mut untold) = (Vec::new(), 0_usize);
        let (mut weak, mut unmatched) = (Names::default(), Names::default());
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let faulty = match Line::parse(line) {
                Ok(None) => None,
                Ok(Some(Line { name, hash })) => match lines.entry(name.into()) {
                    Slot::Occupied(first) => Some((
                        format!("user {} has a line already: line {}", shown(name), first.get()),
                        "delete the line that is out of date".to_owned(),
                    )),
                    Slot::Vacant(slot) => {
                        slot.insert(number);
                        if hash.cost().is_weak() {
                            weak.add(name, number);
                        }
                        if name.contains(['+', '#', '/']) {
                            unmatched.add(name, number);
                        }
                        entries.insert(name.into(), hash);
                        None
                    }
                },
                Err((fault, remedy)) => Some((fault, remedy.replace("FILE", &path.display().to_string()))),
            };
            match faulty {
                Some(_) if flaws.len() >= FLAWS_MAX => untold += 1,
                Some((fault, remedy)) => {
                    flaws.push(Flaw { path: path.to_owned(), line: Some(number), fault, remedy });
                }
                None => {}
            }
        }
        if untold > 0 {
            let fault = format!("{untold} more lines are wrong");
            flaws.push(Flaw { path: path.to_owned(), line: None, fault, remedy: "correct the first ones".to_owned() });
        }
        if !flaws.is_empty() {
            return Err(flaws);
        }
        let mut warnings = Vec::new();
        let mut warn = |line, fault: String, remedy: &str| {
            warnings.push(Flaw { path: path.to_owned(), line, fault, remedy: remedy.to_owned() });
        };
        if entries.is_empty() {
            warn(None, "the file names no user, so nobody can log in".to_owned(), "add users with dockgate passwd");
        }
        if let Some((line, names)) = weak.told() {
            warn(
                Some(line),
                format!(
                    "{names}: SHA-512 or fewer than {WEAK_ITERATIONS} iterations, which whoever gets the file can undo"
                ),
                "write them again with dockgate passwd",
            );
        }
        if let Some((line, names)) = unmatched.told() {
            warn(
                Some(line),
                format!("{names}: with +, # or / in the name, no pattern with %u matches"),
                "use names without them",
            );
        }
        Ok(Self { stand_in: Hash::of_nothing(most_common(&entries)), entries, warnings })
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

/// A line with a user.
struct Line<'a> {
    name: &'a str,
    hash: Hash,
}

impl<'a> Line<'a> {
    /// Reads a line without its end; `None` if it is empty or a comment. Of what is wrong, nothing but a name is shown: the
    /// rest may be a password.
    fn parse(line: &'a [u8]) -> Result<Option<Self>, (String, String)> {
        let wrong = |fault: &str, remedy: &str| Err((fault.to_owned(), remedy.to_owned()));
        if line.starts_with(b"#") || line.trim_ascii().is_empty() {
            return Ok(None);
        }
        if line.len() > NAME_MAX + HASH_MAX {
            return wrong("the line is too long", "check that this is the password file");
        }
        let Ok(text) = str::from_utf8(line) else {
            return wrong("the line is not UTF-8, as user names in MQTT are", "save the file as UTF-8");
        };
        let Some((name, hash)) = text.split_once(':') else {
            return wrong(
                "the line is not user:hash",
                "delete it, put # before it, or write it with dockgate passwd FILE USER",
            );
        };
        let (name, hash) = (name.trim_ascii(), hash.trim_ascii());
        if name.starts_with('\u{feff}') {
            return wrong("the file begins with a byte order mark", "save it without one");
        }
        if let Err(error) = check_name(name) {
            return wrong(
                &error.to_string(),
                "give the user another name, and write the line with dockgate passwd FILE USER",
            );
        }
        match Hash::parse(hash) {
            Ok(hash) => Ok(Some(Self { name, hash })),
            Err(Fault::PlainText) => Err((
                format!("the password of user {} is not hashed", shown(name)),
                format!(
                    "run dockgate passwd FILE {}, or mosquitto_passwd -U FILE if none in the file is hashed",
                    quoted(name)
                ),
            )),
            Err(Fault::Malformed(words)) => Err((
                format!("the hash of user {} {words}", shown(name)),
                format!("write it again with dockgate passwd FILE {}", quoted(name)),
            )),
        }
    }
}

/// The user of a line (without its end), if it has one.
pub(super) fn name(line: &[u8]) -> Option<&[u8]> {
    if line.starts_with(b"#") {
        return None;
    }
    let colon = memchr::memchr(b':', line)?;
    Some(line[..colon].trim_ascii())
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

/// A name for a message: quoted, of a bounded length.
fn shown(name: &str) -> String {
    const SHOWN_MAX: usize = 64;
    match name.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// A name for a command line: as it is if a shell takes it so.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if name.bytes().all(plain) && name.len() <= 64 { name.to_owned() } else { "USER".to_owned() }
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
        assert_eq!(flaws[FLAWS_MAX].fault, "950 more lines are wrong");
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
                "passwd:2: user \"a/b\": with +, # or / in the name, no pattern with %u matches; use names without them",
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
