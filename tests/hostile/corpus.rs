//! Reads a file of the corpus.
//!
//! A case begins with `== ` and its name. The lines after it begin with a word; a line that begins with white space goes
//! on with the one before. `#` begins a comment. What stands before the first case holds for the file: `set NAME=VALUE`
//! is a setting of its broker, `memory 100` the most MiB that the broker may take at the end.

/// A file of the corpus.
#[derive(Debug)]
pub(crate) struct Corpus<'a> {
    pub(crate) settings: Vec<(&'a str, &'a str)>,
    /// Most resident memory at the end, in MiB.
    pub(crate) memory: u64,
    pub(crate) cases: Vec<Case<'a>>,
}

/// One case: its name, and its lines by their first word.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) name: &'a str,
    lines: Vec<(&'a str, String)>,
}

impl<'a> Case<'a> {
    /// What stands after this word; none if no line begins with it.
    pub(crate) fn get(&self, word: &str) -> Option<&str> {
        self.lines.iter().find(|(first, _)| *first == word).map(|(_, rest)| rest.as_str())
    }

    /// What stands after this word.
    #[track_caller]
    pub(crate) fn need(&self, word: &str) -> &str {
        self.get(word).unwrap_or_else(|| panic!("{}: there is no line {word}", self.name))
    }

    fn expect_words(&self, known: &[&str]) {
        for (word, _) in &self.lines {
            assert!(known.contains(word), "{}: unknown word {word}", self.name);
        }
        assert!(self.get("why").is_some(), "{}: it does not say why", self.name);
    }
}

/// Reads a file whose cases have these words.
pub(crate) fn read<'a>(text: &'a str, words: &[&str]) -> Corpus<'a> {
    let mut corpus = Corpus { settings: Vec::new(), memory: 150, cases: Vec::<Case<'a>>::new() };
    for line in text.lines() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            assert!(corpus.cases.iter().all(|case| case.name != name), "two cases are named {name}");
            corpus.cases.push(Case { name, lines: Vec::new() });
            continue;
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (corpus.cases.last_mut(), word) {
            (None, "set") => {
                let (name, value) = rest.trim().split_once('=').expect("set NAME=VALUE");
                corpus.settings.push((name, value));
            }
            (None, "memory") => corpus.memory = rest.trim().parse().expect("a number of MiB"),
            (None, other) => panic!("{other} before the first case"),
            (Some(case), "") => {
                let (_, last) = case.lines.last_mut().expect("a line to go on with");
                last.push(' ');
                last.push_str(rest.trim());
            }
            (Some(case), word) => case.lines.push((word, rest.trim().to_owned())),
        }
    }
    assert!(!corpus.cases.is_empty(), "the corpus is read");
    corpus.cases.iter().for_each(|case| case.expect_words(words));
    corpus
}
