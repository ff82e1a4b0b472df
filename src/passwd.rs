//! `dockgate passwd`: asks for a password and writes its hash.

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use dockgate::access::Secret;
use dockgate::access::password::{self, Change, Cost, Hash, MAX_ITERATIONS, PASSWORD_MAX, WEAK_ITERATIONS};
use std::fmt::Display;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(after_help = "\
Without a terminal on standard input, the password is the first line of it.
A running dockgate reads the file again on SIGHUP.")]
pub(super) struct Arguments {
    /// The password file, in Mosquitto's format; made if it is not there.
    file: PathBuf,
    /// The user name.
    user: String,
    /// Delete the user.
    #[arg(long, conflicts_with_all = ["hash", "iterations"])]
    delete: bool,
    /// How to hash the password.
    #[arg(long, value_enum, default_value_t)]
    hash: Kind,
    /// Iterations of pbkdf2: what a log-in costs, here and for who guesses [default: 100000].
    #[arg(long, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(i64::from(WEAK_ITERATIONS)..=i64::from(MAX_ITERATIONS)))]
    iterations: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// PBKDF2 with SHA-512 ($7$), which Mosquitto 2.0, as in Debian, reads too.
    #[default]
    Pbkdf2,
    /// Argon2id, which takes 46 MiB of memory a log-in; Mosquitto reads it from 2.1 on.
    Argon2id,
}

/// Does it, and says what it did.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let wrong = |words: &dyn Display| {
        eprintln!("dockgate: {words}");
        ExitCode::from(super::WRONG_SETTINGS)
    };
    let cost = match (arguments.hash, arguments.iterations.and_then(NonZeroU32::new)) {
        (Kind::Pbkdf2, None) => Cost::PBKDF2,
        (Kind::Pbkdf2, Some(iterations)) => Cost::Pbkdf2 { iterations },
        (Kind::Argon2id, None) => Cost::ARGON2ID,
        (Kind::Argon2id, Some(_)) => return wrong(&"--iterations is for --hash pbkdf2"),
    };
    match password::check_name(&arguments.user) {
        Ok(()) => super::finish(edit(arguments, cost)),
        Err(error) => wrong(&error),
    }
}

fn edit(arguments: &Arguments, cost: Cost) -> anyhow::Result<()> {
    let Arguments { file, user, .. } = arguments;
    let change = if arguments.delete {
        password::delete(file, user)?
    } else {
        let password = read_password(user)?;
        password::set(file, user, &Hash::new(password.expose(), cost))?
    };
    let file = file.display();
    match change {
        Change::Added => println!("{file}: user {user:?} added"),
        Change::Replaced => println!("{file}: user {user:?} has a new password"),
        Change::Deleted => println!("{file}: user {user:?} deleted"),
    }
    Ok(())
}

fn read_password(user: &str) -> anyhow::Result<Secret> {
    if !io::stdin().is_terminal() {
        let password = first_line().context("no password can be read from standard input")?;
        password::check_password(password.expose())?;
        return Ok(password);
    }
    let ask = |prompt: &str| {
        let text = rpassword::prompt_password(prompt).context("no password was given")?;
        Ok::<_, anyhow::Error>(Secret::new(text.into_bytes()))
    };
    let password = ask(&format!("Password of {user}: "))?;
    password::check_password(password.expose())?;
    if ask("Again: ")?.expose() != password.expose() {
        bail!("the two passwords are not the same; nothing was changed");
    }
    Ok(password)
}

/// The first line of standard input without its end, and of a longer one than any password so much that it is refused.
fn first_line() -> io::Result<Secret> {
    let mut line = Vec::with_capacity(PASSWORD_MAX + 3);
    io::stdin().lock().take(PASSWORD_MAX as u64 + 3).read_until(b'\n', &mut line)?;
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    }
    Ok(Secret::new(line))
}
