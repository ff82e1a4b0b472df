//! `dockgate completions` and `dockgate man`: what shells and man(1) want to know of the command line, from its definition.

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use std::io::{self, Write as _};
use std::path::PathBuf;

const NAME: &str = "dockgate";

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder for the pages, one a command; made if it is not there. Without it, the page dockgate(1) is printed.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints the completions.
pub(super) fn completions(arguments: &Completions) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), NAME, &mut text);
    io::stdout().write_all(&text).context("the completions cannot be written")
}

/// Prints the page, or writes all of them.
pub(super) fn man(arguments: &Man) -> anyhow::Result<()> {
    // The page of a command says what `help` would.
    let command = super::Arguments::command().disable_help_subcommand(true);
    let Some(folder) = &arguments.folder else {
        let mut text = Vec::new();
        clap_mangen::Man::new(command).render(&mut text).context("the page cannot be made")?;
        return io::stdout().write_all(&text).context("the page cannot be written");
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .with_context(|| format!("the pages cannot be written to {}: name a folder that can be", folder.display()))
}
