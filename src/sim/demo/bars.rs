//! How far each module's archive is: bars that move, or lines at every quarter where nothing can move.

use std::collections::BTreeMap;
use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::{Terminal, megabytes, tenths};
use crate::cloud_api::{Module, ProgressFile};

const BAR: &str = "     {prefix:<8} {bar:20} {percent:>3} %  {msg}";
const COLOURED_BAR: &str = "     {prefix:<8} {bar:20.cyan/dim} {percent:>3} %  {msg}";

/// The bars of one upload.
pub(super) struct Bars {
    /// Where nothing can move: None, and each row writes lines.
    live: Option<MultiProgress>,
    style: ProgressStyle,
    rows: BTreeMap<Module, Row>,
}

struct Row {
    bar: ProgressBar,
    /// The quarters that have been written as a line.
    quarters: u64,
}

impl Bars {
    pub(super) fn new<W: Write>(terminal: &Terminal<W>) -> Self {
        let template = if terminal.has_colour() { COLOURED_BAR } else { BAR };
        let style = ProgressStyle::with_template(template)
            .expect("the template is a constant that the tests draw with")
            .progress_chars("█▌░");
        let live = terminal.is_live().then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(15)));
        Self { live, style, rows: BTreeMap::new() }
    }

    /// Shows what a progress event says of one archive.
    pub(super) fn show<W: Write>(&mut self, terminal: &mut Terminal<W>, file: &ProgressFile) -> io::Result<()> {
        let (live, style) = (&self.live, &self.style);
        let row = self.rows.entry(file.module).or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::hidden());
            let bar = live.as_ref().map_or(bar.clone(), |all| all.add(bar));
            bar.set_style(style.clone());
            bar.set_prefix(file.module.name());
            Row { bar, quarters: 0 }
        });
        let percent = uploaded_percent(file);
        let text = describe(file, percent);
        row.bar.set_message(text.clone());
        row.bar.set_position(percent);
        let is_over = matches!(file.progress.status.as_str(), "ok" | "failed" | "canceled");
        if self.live.is_some() {
            if is_over && !row.bar.is_finished() {
                row.bar.abandon();
            }
            return Ok(());
        }
        // One line for 0, 25, 50, 75 and 100 %, and one for an end before that.
        let reached = percent / 25 + 1;
        let ends_early = is_over && percent < 100 && !row.bar.is_finished();
        if reached > row.quarters || ends_early {
            row.quarters = reached.max(row.quarters);
            terminal.line(&format!("{:<8} {percent:>3} %  {text}", file.module.name()))?;
        }
        if is_over {
            row.bar.abandon();
        }
        Ok(())
    }
}

/// Percent of the archive that has been uploaded: nothing while it is still pulled or packed, whatever the
/// percentage of those steps.
fn uploaded_percent(file: &ProgressFile) -> u64 {
    match file.progress.status.as_str() {
        "file_pull" | "file_zip" => 0,
        _ => u64::from(file.progress.progress.min(100)),
    }
}

/// At most 36 columns, so that a bar's line fits into 80.
fn describe(file: &ProgressFile, percent: u64) -> String {
    let sent = tenths(file.size * percent / 100);
    let size = megabytes(file.size);
    let rate = match file.progress.upload_rate {
        0 => String::new(),
        rate => format!("{}/s", megabytes(rate)),
    };
    let status = &file.progress.status;
    let word = status.strip_prefix("file_").unwrap_or(status);
    format!("{sent:>4} / {size:>7}  {rate:>9}  {word}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud_api::FileProgress;

    fn file(progress: u32, status: &str) -> ProgressFile {
        ProgressFile {
            module: Module::Dock,
            size: 20_000_000,
            device_sn: String::new(),
            key: String::new(),
            fingerprint: String::new(),
            progress: FileProgress {
                current_step: 3,
                total_step: 3,
                progress,
                finish_time: 0,
                upload_rate: 4_500_000,
                result: 0,
                status: status.to_owned(),
            },
        }
    }

    /// The lines that a sequence of events writes.
    fn lines(events: &[(u32, &str)]) -> Vec<String> {
        let mut out = Vec::new();
        let mut terminal = Terminal::plain(&mut out);
        let mut bars = Bars::new(&terminal);
        for (progress, status) in events {
            bars.show(&mut terminal, &file(*progress, status)).unwrap();
        }
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn without_a_terminal_every_quarter_is_one_line() {
        let shown = lines(&[
            (0, "file_pull"),
            (0, "file_uploading"),
            (24, "file_uploading"),
            (26, "file_uploading"),
            (49, "file_uploading"),
            (80, "file_uploading"),
            (100, "ok"),
            (100, "ok"),
        ]);
        let percents: Vec<&str> = shown.iter().map(|line| line[13..19].trim()).collect();
        assert_eq!(percents, ["0 %", "26 %", "80 %", "100 %"], "{shown:#?}");
        assert_eq!(shown[1], "     dock      26 %   5.2 / 20.0 MB   4.5 MB/s  uploading");
    }

    #[test]
    fn an_end_before_the_next_quarter_has_a_line_of_its_own_once() {
        let shown = lines(&[(60, "file_uploading"), (62, "canceled"), (62, "canceled")]);
        assert_eq!(shown.len(), 2, "{shown:#?}");
        assert!(shown[1].ends_with("canceled"));
    }

    #[test]
    fn pulling_and_packing_are_no_percent_of_the_upload() {
        assert_eq!(uploaded_percent(&file(90, "file_pull")), 0);
        assert_eq!(uploaded_percent(&file(90, "file_zip")), 0);
        assert_eq!(uploaded_percent(&file(90, "file_uploading")), 90);
    }
}
