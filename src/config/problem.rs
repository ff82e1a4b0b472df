//! What is wrong with the settings, said so that it can be put right without the manual.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use thiserror::Error;

/// Everything that is wrong with the settings. Shown as one line a problem.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems, in the order in which they were found; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for SettingsError {
    fn from(problem: Problem) -> Self {
        Self::new(vec![problem])
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the value was given.
    pub place: Place,
    /// The dotted path of the setting, such as `limits.inflight`; empty if the whole file is meant.
    pub key: String,
    /// What was given there, if a value was.
    pub given: Option<String>,
    /// What is wrong with it.
    pub fault: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, given, fault, remedy } = self;
        let setting = match (&key[..], given) {
            ("", _) => String::new(),
            (key, None) => format!("{key}: "),
            (key, Some(given)) => format!("{key} = {given}: "),
        };
        // A quoted key and a variable's name may hold line ends and the terminal's control sequences.
        for character in format!("{place}: {setting}{fault}; {remedy}").chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Where a setting's value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file, and the line in it, counted from 1, if it is known.
    File(PathBuf, Option<usize>),
    /// The environment variable of this name.
    Environment(String),
    /// Neither: it is the default, or the program set it.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Default => f.write_str("settings"),
        }
    }
}
