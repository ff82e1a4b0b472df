//! The lines of a `mosquitto.conf` and of the files that it includes.

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a `mosquitto.conf` cannot be imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file, or one that it includes, cannot be read.
    #[error("{}: cannot be read ({error}); name a mosquitto.conf that this user can read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A folder that it includes cannot be read.
    #[error(
        "{at}: include_dir {}: the folder cannot be read ({error}); make it readable, and import in the working directory of \
         Mosquitto if the path is relative", folder.display()
    )]
    Folder {
        /// File and line.
        at: String,
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// One option as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// File and line number, for the reader.
    pub(super) at: String,
    /// Which file it stands in: a listener begins in one file and does not go on in another.
    pub(super) file: usize,
    /// The option.
    pub(super) name: String,
    /// All that follows it.
    pub(super) value: String,
}

impl Line {
    /// The first word of the value, which is all that a number, a choice or a switch may have.
    pub(super) fn word(&self) -> &str {
        self.value.split(' ').next().unwrap_or_default()
    }

    /// A switch, as Mosquitto reads it.
    pub(super) fn switch(&self) -> Option<bool> {
        match self.word() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// A whole number.
    pub(super) fn number(&self) -> Option<i64> {
        self.word().parse().ok()
    }
}

/// Reads the file and, where it says so, the folders that it includes.
pub(super) fn read(file: &Path) -> Result<Vec<Line>, ImportError> {
    let mut lines = Vec::new();
    let mut files = 0;
    for line in parse(&file.display().to_string(), 0, &text(file)?) {
        if line.name != "include_dir" {
            lines.push(line);
            continue;
        }
        let folder = PathBuf::from(&line.value);
        let included = included(&folder).map_err(|error| ImportError::Folder { at: line.at.clone(), folder, error })?;
        for path in included {
            files += 1;
            // An include_dir in an included file stays a line: Mosquitto does not follow it either.
            lines.extend(parse(&path.display().to_string(), files, &text(&path)?));
        }
    }
    Ok(lines)
}

/// Text that is not UTF-8 is no option that Mosquitto takes, but may stand in a comment.
fn text(path: &Path) -> Result<String, ImportError> {
    let bytes = std::fs::read(path).map_err(|error| ImportError::File { path: path.to_owned(), error })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The options of a text: a name, spaces, a value. Only a `#` in the first column begins a comment.
pub(super) fn parse(name: &str, file: usize, text: &str) -> Vec<Line> {
    let numbered = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    numbered
        .filter_map(|(index, line)| {
            let line = line.trim_matches([' ', '\r']);
            let (option, value) = line.split_once(' ').unwrap_or((line, ""));
            (!option.is_empty()).then(|| Line {
                at: format!("{name}:{}", index + 1),
                file,
                name: option.to_owned(),
                value: value.trim().to_owned(),
            })
        })
        .collect()
}

/// The `*.conf` of a folder in Mosquitto's order.
fn included(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        // ".conf" alone is no file that Mosquitto includes.
        if name.len() > ".conf".len() && name.as_encoded_bytes().ends_with(b".conf") {
            names.push(name);
        }
    }
    names.sort_by(|a, b| order(a.as_encoded_bytes(), b.as_encoded_bytes()));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Alphabetical, with the upper case of each letter before its lower case (mosquitto.conf(5), include_dir): `A a B b`.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    let letters =
        |name: &[u8]| -> Vec<(u8, u8)> { name.iter().map(|byte| (byte.to_ascii_uppercase(), *byte)).collect() };
    letters(a).cmp(&letters(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_spaces_and_a_value() {
        let lines = parse("m.conf", 0, "# comment\n\n  listener   1883  ::1 \r\npsk_hint a # b\n #x\npersistence\n");
        let read: Vec<_> = lines.iter().map(|line| (&*line.at, &*line.name, &*line.value)).collect();
        assert_eq!(
            read,
            [
                ("m.conf:3", "listener", "1883  ::1"),
                ("m.conf:4", "psk_hint", "a # b"),
                ("m.conf:5", "#x", ""),
                ("m.conf:6", "persistence", ""),
            ]
        );
    }

    #[test]
    fn included_files_come_in_mosquittos_order() {
        let mut names = ["b.conf", "A.conf", "01.conf", "a.conf", "B.conf", "00.conf"];
        names.sort_by(|a, b| order(a.as_bytes(), b.as_bytes()));
        assert_eq!(names, ["00.conf", "01.conf", "A.conf", "a.conf", "B.conf", "b.conf"]);
    }

    #[test]
    fn include_dir_is_followed_where_it_stands_and_only_from_the_first_file() {
        let folder = tempfile::tempdir().unwrap();
        let included = folder.path().join("conf.d");
        std::fs::create_dir(&included).unwrap();
        let main = folder.path().join("mosquitto.conf");
        std::fs::write(&main, format!("user a\ninclude_dir {}\nuser d\n", included.display())).unwrap();
        std::fs::write(included.join("2.conf"), "user c\n").unwrap();
        std::fs::write(included.join("1.conf"), "user b\ninclude_dir /nowhere\n").unwrap();
        std::fs::write(included.join("README"), "user x\n").unwrap();
        let lines = read(&main).unwrap();
        let read: Vec<_> = lines.iter().map(|line| (line.file, &*line.name, &*line.value)).collect();
        let expected =
            [(0, "user", "a"), (1, "user", "b"), (1, "include_dir", "/nowhere"), (2, "user", "c"), (0, "user", "d")];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("mosquitto.conf");
        let error = read(&main).unwrap_err().to_string();
        assert!(error.starts_with(&main.display().to_string()) && error.contains("name a mosquitto.conf"), "{error}");
        std::fs::write(&main, "\ninclude_dir /nowhere/conf.d\n").unwrap();
        let error = read(&main).unwrap_err().to_string();
        assert!(
            error.contains("mosquitto.conf:2: include_dir /nowhere/conf.d: ") && error.contains("make it"),
            "{error}"
        );
    }
}
