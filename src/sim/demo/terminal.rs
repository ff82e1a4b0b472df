//! Lines on a terminal: numbered steps with their results in a column, and tables below them.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time;

/// The steps' results begin here; what belongs to a step is indented to its name.
const NAME_WIDTH: usize = 19;
const INDENT: &str = "     ";
/// Time for a reader to take a step in, on a terminal only.
const READING: Duration = Duration::from_millis(400);

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";

/// Where the demo writes.
#[derive(Debug)]
pub(super) struct Terminal<W: Write> {
    out: W,
    colour: bool,
    live: bool,
    step: u32,
}

impl Terminal<io::Stdout> {
    /// Standard output: in colour and with moving bars if it is a terminal that can.
    pub(super) fn stdout() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = io::stdout().is_terminal() && !dumb;
        // https://no-color.org: "when present and not an empty string".
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out: io::stdout(),
            colour: live && !no_colour,
            live,
            step: 0,
        }
    }
}

impl<W: Write> Terminal<W> {
    /// No colour and nothing that moves.
    #[cfg(test)]
    pub(super) fn plain(out: W) -> Self {
        Self {
            out,
            colour: false,
            live: false,
            step: 0,
        }
    }

    /// Whether lines may be drawn over.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Whether colours are welcome.
    pub(super) fn has_colour(&self) -> bool {
        self.colour
    }

    /// The first line.
    pub(super) fn title(&mut self, name: &str, rest: &str) -> io::Result<()> {
        let name = self.paint(BOLD, name);
        writeln!(self.out, "{name} · {rest}\n")
    }

    /// A step and what came of it.
    pub(super) async fn step(&mut self, name: &str, result: &str, rest: &str) -> io::Result<()> {
        self.step += 1;
        let result = self.paint(GREEN, result);
        let name = self.paint(BOLD, &format!("{name:<NAME_WIDTH$}"));
        writeln!(self.out, " {:>2}  {name}  {result}{rest}", self.step)?;
        self.out.flush()?;
        if self.live {
            time::sleep(READING).await;
        }
        Ok(())
    }

    /// More about the last step, below its result.
    pub(super) fn more(&mut self, text: impl Display) -> io::Result<()> {
        let text = self.paint(DIM, &text.to_string());
        writeln!(self.out, "{INDENT}{:NAME_WIDTH$}  {text}", "")
    }

    /// A line about a module, below the last step.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{INDENT}{text}")?;
        self.out.flush()
    }

    /// A table below the last step. Columns are as wide as they need to be; those that `right` names are
    /// flush right, for numbers.
    pub(super) fn table(
        &mut self,
        heads: &[&str],
        right: &[usize],
        rows: &[Vec<String>],
    ) -> io::Result<()> {
        let width = |column: usize| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|c| c.chars().count());
            cells
                .chain([heads[column].chars().count()])
                .max()
                .unwrap_or(0)
        };
        let line = |cells: &[String]| {
            let padded = cells.iter().enumerate().map(|(column, cell)| {
                let width = width(column);
                if right.contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            padded.collect::<Vec<_>>().join("   ").trim_end().to_owned()
        };
        let head = line(
            &heads
                .iter()
                .map(|head| (*head).to_owned())
                .collect::<Vec<_>>(),
        );
        let head = self.paint(DIM, &head);
        writeln!(self.out, "\n{INDENT}{head}")?;
        for row in rows {
            writeln!(self.out, "{INDENT}{}", line(row))?;
        }
        writeln!(self.out)
    }

    /// The last line.
    pub(super) fn close(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Megabytes (10^6 bytes) with one digit, as object stores count them.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{} MB", tenths(bytes))
}

/// The number of [`megabytes`] alone.
pub(super) fn tenths(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// Milliseconds; with a digit more where it says something.
pub(super) fn millis(time: Duration) -> String {
    let digits = usize::from(time < Duration::from_millis(10));
    format!("{:.digits$} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Terminal<Vec<u8>> {
        Terminal::plain(Vec::new())
    }

    fn text(terminal: Terminal<Vec<u8>>) -> String {
        String::from_utf8(terminal.out).unwrap()
    }

    #[tokio::test]
    async fn results_of_steps_stand_in_one_column() {
        let mut terminal = plain();
        terminal
            .step("broker", "up", ", on one port")
            .await
            .unwrap();
        terminal
            .step("fileupload_start", "accepted", "")
            .await
            .unwrap();
        let text = text(terminal);
        assert_eq!(
            text,
            "  1  broker               up, on one port\n  2  fileupload_start     accepted\n"
        );
    }

    #[tokio::test]
    async fn there_is_no_escape_code_without_colour_and_there_is_with_it() {
        let mut terminal = plain();
        terminal.title("dockgate", "x").unwrap();
        terminal.step("a", "b", "c").await.unwrap();
        terminal
            .table(&["h"], &[], &[vec!["v".to_owned()]])
            .unwrap();
        assert!(!text(terminal).contains('\x1b'));
        let mut coloured = Terminal {
            colour: true,
            ..plain()
        };
        coloured.title("dockgate", "x").unwrap();
        assert!(text(coloured).contains("\x1b[1mdockgate\x1b[0m"));
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells_and_numbers_are_flush_right() {
        let mut terminal = plain();
        let rows = [
            vec!["aircraft".into(), "7".into()],
            vec!["dock".into(), "12345".into()],
        ];
        terminal.table(&["module", "boot"], &[1], &rows).unwrap();
        assert_eq!(
            text(terminal),
            "\n     module      boot\n     aircraft       7\n     dock       12345\n\n"
        );
    }

    #[test]
    fn sizes_are_in_megabytes_with_one_digit() {
        assert_eq!(megabytes(0), "0.0 MB");
        assert_eq!(megabytes(999_999), "0.9 MB");
        assert_eq!(megabytes(12_345_678), "12.3 MB");
    }

    #[test]
    fn short_times_have_a_digit_more() {
        assert_eq!(millis(Duration::from_micros(440)), "0.4 ms");
        assert_eq!(millis(Duration::from_micros(37_400)), "37 ms");
    }
}
