//! Counts, compares with what was recorded, and says what has become worse.

use crate::harness::AS_HARNESS;
use crate::limits::{self, Recorded};
use crate::measured::{self, Figures};
use clap::Parser;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

/// More than this is worse than what was recorded. From run to run the counts differ by less than a tenth of it.
const TOLERANCE: f64 = 0.05;
/// What goes to many wildcard subscribers is handed over by another thread, more or less of it at a time.
const BY_ANOTHER_THREAD: (&str, f64) = ("edge/fan_out_wildcard", 0.3);
/// Counts so small differ by this much for no reason.
const FEW_INSTRUCTIONS: f64 = 2.0;
const FEW_BLOCKS: f64 = 0.1;

/// The profile that the limits hold for.
const PROFILE: &str = "ci";
const RUNNER_VERSION: &str = "0.20.0";

/// Counts instructions and allocations, and fails if they have become more than 5 % more than was recorded.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only those whose names contain this: `edge`, `fan_in`, `routing/exact`
    filter: Option<String>,
    /// Write what is counted to benches/instructions/limits.txt: from now on that is right.
    #[arg(long)]
    record: bool,
    /// Added by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

pub(crate) fn run() -> ExitCode {
    match guard(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn guard(arguments: &Arguments) -> Result<ExitCode, String> {
    check_tools()?;
    let is_right_profile = is_right_profile();
    if arguments.record && !is_right_profile {
        return Err(format!(
            "limits are of the profile {PROFILE}: cargo bench --profile {PROFILE} --bench instructions"
        ));
    }
    let path = limits::path();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut recorded =
        if arguments.record && arguments.filter.is_none() { Recorded::new() } else { limits::parse(&text)? };

    let (mut worse, mut better) = (Vec::new(), Vec::new());
    println!("{:<38}{:>12}{:>10}{:>9}{:>10}{:>10}", "", "instructions", "change", "blocks", "change", "bytes");
    let mut seen = 0;
    measure(arguments.filter.as_deref(), |name, now| {
        seen += 1;
        let before = recorded.get(&name).copied();
        println!("{}", row(&name, &now, before.as_ref()));
        if arguments.record {
            recorded.insert(name, now);
        } else if before.is_none_or(|before| is_worse(&now, &before, tolerance(&name))) {
            worse.push(name);
        } else if before.is_some_and(|before| is_worse(&before, &now, tolerance(&name))) {
            better.push(name);
        }
    })?;
    if seen == 0 {
        return Err("nothing was counted: is there a subject with such a name?".into());
    }
    if arguments.record {
        std::fs::write(&path, limits::text(&recorded, &compiler()))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("recorded in {}", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    if !is_right_profile {
        println!(
            "not compared: limits are of the profile {PROFILE}, cargo bench --profile {PROFILE} --bench instructions"
        );
        return Ok(ExitCode::SUCCESS);
    }
    if !better.is_empty() {
        println!("less than recorded: {}. Record it, so that it stays so", better.join(", "));
    }
    if worse.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let (was, is) = (limits::compiler(&text).unwrap_or("no compiler that is named"), compiler());
    let by_compiler = if was == is { String::new() } else { format!(" (recorded of {was}, and this is {is})") };
    Err(format!(
        "more than recorded{by_compiler}, or not recorded at all: {}. If it has to be so, record it:\n    \
         cargo bench --profile {PROFILE} --bench instructions -- --record",
        worse.join(", ")
    ))
}

fn check_tools() -> Result<(), String> {
    let answer = |program: &str| Command::new(program).arg("--version").output().map(|output| output.stdout);
    answer("valgrind")
        .map_err(|error| format!("valgrind does not run ({error}): apt-get install valgrind libc6-dbg"))?;
    let install = format!("cargo install --locked --version {RUNNER_VERSION} gungraun-runner");
    let version =
        answer("gungraun-runner").map_err(|error| format!("gungraun-runner does not run ({error}): {install}"))?;
    let version = String::from_utf8_lossy(&version);
    if version.split_whitespace().any(|word| word == RUNNER_VERSION) {
        return Ok(());
    }
    Err(format!("gungraun-runner is not {RUNNER_VERSION} but {:?}: {install}", version.trim()))
}

/// What the compiler calls itself.
fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// Whether cargo has built this program with the profile that the limits hold for: its folder has that name.
fn is_right_profile() -> bool {
    let program = std::env::current_exe().unwrap_or_default();
    program.parent().and_then(|deps| deps.parent()).is_some_and(|folder| folder.ends_with(PROFILE))
}

/// Has gungraun count; calls `each` for each subject as its counts come in.
fn measure(filter: Option<&str>, mut each: impl FnMut(String, Figures)) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("this program has no path: {error}"))?;
    let mut harness = Command::new(program)
        .arg("--bench")
        .args(filter.map(|part| format!("*{}*", part.replace('/', "::"))))
        .env(AS_HARNESS, "1")
        .env("GUNGRAUN_OUTPUT_FORMAT", "json")
        .env("GUNGRAUN_PARALLEL", "auto")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the harness does not start: {error}"))?;
    let output = harness.stdout.take().expect("it is piped");
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some((name, figures)) = measured::read(&line) {
            each(name, figures);
        }
    }
    let status = harness.wait().map_err(|error| format!("the harness cannot be waited for: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the harness ended with {status}")) }
}

fn tolerance(name: &str) -> f64 {
    if name.starts_with(BY_ANOTHER_THREAD.0) { BY_ANOTHER_THREAD.1 } else { TOLERANCE }
}

fn is_worse(now: &Figures, before: &Figures, tolerance: f64) -> bool {
    let exceeds = |now: f64, before: f64, few: f64| now > before * (1.0 + tolerance) + few;
    let blocks = now.blocks.zip(before.blocks).is_some_and(|(now, before)| exceeds(now, before, FEW_BLOCKS));
    blocks || exceeds(now.instructions, before.instructions, FEW_INSTRUCTIONS)
}

fn row(name: &str, now: &Figures, before: Option<&Figures>) -> String {
    let change = |now: f64, before: Option<f64>| match before {
        Some(before) if before > 0.0 => format!("{:+.1} %", (now / before - 1.0) * 100.0),
        _ => "new".into(),
    };
    let mut row = format!("{name:<38}{:>12.1}", now.instructions);
    row += &format!("{:>10}", change(now.instructions, before.map(|before| before.instructions)));
    if let (Some(blocks), Some(bytes)) = (now.blocks, now.bytes) {
        row += &format!("{blocks:>9.2}{:>10}{bytes:>10.0}", change(blocks, before.and_then(|before| before.blocks)));
    }
    row
}
