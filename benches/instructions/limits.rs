//! `limits.txt`: what each subject was found to take, a line each.

use crate::measured::Figures;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

const HEADER: &str = "\
# Instructions for each operation, or each message through the edge, and blocks and bytes allocated for each message, with the
# build profile `ci`. Written by `cargo bench --profile ci --bench instructions -- --record`.
";
/// Before the compiler's name.
const COMPILER: &str = "# ";

pub(crate) type Recorded = BTreeMap<String, Figures>;

pub(crate) fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/limits.txt")
}

/// Reads the file's text.
///
/// # Errors
/// The line that cannot be read.
pub(crate) fn parse(text: &str) -> Result<Recorded, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let one = |(index, line): (usize, &str)| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default().to_owned();
        let numbers: Result<Vec<f64>, _> = words.map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[instructions]) => Ok((name, Figures { instructions, blocks: None, bytes: None })),
            Ok(&[instructions, blocks, bytes]) => {
                Ok((name, Figures { instructions, blocks: Some(blocks), bytes: Some(bytes) }))
            }
            _ => Err(format!(
                "{}:{}: not a name with one or three numbers; record the limits again with --record",
                path().display(),
                index + 1
            )),
        }
    };
    lines.map(one).collect()
}

/// The compiler that the counts of a file's text are of.
pub(crate) fn compiler(text: &str) -> Option<&str> {
    text.lines().filter_map(|line| line.strip_prefix(COMPILER)).find(|line| line.starts_with("rustc "))
}

/// The file's text.
pub(crate) fn text(recorded: &Recorded, compiler: &str) -> String {
    let mut text = format!("{HEADER}{COMPILER}{compiler}\n");
    for (name, Figures { instructions, blocks, bytes }) in recorded {
        let _ = write!(text, "{name:<38}{instructions:>12.1}");
        if let (Some(blocks), Some(bytes)) = (blocks, bytes) {
            let _ = write!(text, "{blocks:>9.2}{bytes:>10.1}");
        }
        text.push('\n');
    }
    text
}
