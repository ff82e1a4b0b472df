//! `dockgate token`: makes a bearer token for the HTTP listener.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// 192 bits, which nobody guesses.
const RANDOM_BYTES: usize = 24;

#[derive(Debug, Args)]
#[command(after_help = "\
Whoever has the file's one line may do everything that the HTTP API can: let nobody but dockgate's user read it.
A running dockgate reads the file again on SIGHUP.")]
pub(super) struct Arguments {
    /// The file, for http.token_file.
    file: PathBuf,
    /// Put a new token in place of the one that is there.
    #[arg(long)]
    replace: bool,
}

pub(super) fn run(Arguments { file, replace }: &Arguments) -> anyhow::Result<()> {
    let place = || format!("the token cannot be written to {}", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody sees half of it, and only its owner (0600) reads it.
    let mut written = tempfile::NamedTempFile::new_in(folder).with_context(place)?;
    writeln!(written, "{}", token()?).with_context(place)?;
    written.as_file().sync_all().with_context(place)?;
    if *replace {
        written.persist(file).with_context(place)?;
    } else {
        let kept = written.persist_noclobber(file);
        kept.with_context(|| format!("{}; --replace puts a new one there", place()))?;
    }
    println!("{}: a new token", file.display());
    Ok(())
}

fn token() -> anyhow::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    filled.map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
