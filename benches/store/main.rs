//! What keeping messages costs: redb, which the store lies on, against fjall, and the store itself.
//!
//! ```sh
//! cargo bench --bench store                  # half a minute
//! cargo bench --bench store -- --quick       # a few seconds; shows that it works
//! ```
//!
//! The workload is that of a broker: messages of 300 bytes are put for sessions, and deleted when their clients have them,
//! each batch with a commit that a loss of power does not take back. Files are in the target folder, on a real disk.

#![allow(clippy::unwrap_used)] // A panic is how a benchmark fails.

mod engines;
mod own;

use engines::{Engine, Fjall, Redb};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How much is done.
pub(crate) struct Amount {
    /// Commits of each size of batch.
    commits: u64,
    /// Rows that are loaded.
    rows: u64,
    /// Rows of the flood.
    flood: u64,
}

const FULL: Amount = Amount { commits: 500, rows: 100_000, flood: 1_000_000 };
const QUICK: Amount = Amount { commits: 20, rows: 5_000, flood: 20_000 };
/// A message of a dock, in bytes.
pub(crate) const MESSAGE: usize = 300;
/// Rows of a commit where what counts is the rows.
const BULK: u64 = 1_000;

fn main() {
    let amount = if std::env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    println!("| {:<44} | {:>16} | {:>16} |\n|{:-<46}|{:->17}:|{:->17}:|", "", "redb", "fjall", "", "", "");
    compare("one fsync of a file that grows", |_, folder| fsync(folder, amount.commits));
    for batch in [1, 10, 100] {
        compare(&format!("commit of {batch} puts and {batch} deletes"), |engine, folder| match engine {
            Which::Redb => commits::<Redb>(folder, batch, amount.commits),
            Which::Fjall => commits::<Fjall>(folder, batch, amount.commits),
        });
    }
    compare("rows put and deleted again: size, time", |engine, folder| dispatch_flood(engine, folder, &amount));
    compare("open and read all rows after a kill", |engine, folder| dispatch_load(engine, folder, &amount));
    own::run(&amount);
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Redb,
    Fjall,
}

fn compare(what: &str, measure: impl Fn(Which, &Path) -> String) {
    let cell = |which| measure(which, folder().path());
    println!("| {what:<44} | {:>16} | {:>16} |", cell(Which::Redb), cell(Which::Fjall));
}

/// On the disk of the target folder: /tmp may be memory.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Bytes as a message has them: some of them repeat.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    let mut bytes = format!("{{\"tid\":\"{number:032x}\",\"gateway\":\"7CTDM3D00B1A2C\",\"data\":{{").into_bytes();
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < MESSAGE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(MESSAGE);
    bytes
}

fn fsync(folder: &Path, times: u64) -> String {
    use std::io::Write as _;
    let mut file = std::fs::File::create(folder.join("file")).unwrap();
    timed(times, |_| {
        file.write_all(&payload(0)).unwrap();
        file.sync_data().unwrap();
    })
}

/// The median and the CPU time of one of many.
fn timed(times: u64, mut work: impl FnMut(u64)) -> String {
    let cpu = cpu_time();
    let mut each: Vec<Duration> = (0..times)
        .map(|number| {
            let began = Instant::now();
            work(number);
            began.elapsed()
        })
        .collect();
    let cpu = (cpu_time() - cpu) / u32::try_from(times).unwrap();
    each.sort_unstable();
    format!("{:.2} ms {:>4} µs", ms(each[each.len() / 2]), cpu.as_micros())
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What the process has used of the processors.
pub(crate) fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // utime and stime are the 14th and 15th field, in ticks of 10 ms; the first two are cut off.
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// A thousand messages wait; each commit puts some and deletes the oldest.
fn commits<E: Engine>(folder: &Path, batch: u64, times: u64) -> String {
    let mut engine = E::open(folder);
    engine.commit(0..BULK, 0..0);
    timed(times, |number| {
        let at = number * batch;
        engine.commit(BULK + at..BULK + at + batch, at..at + batch);
    })
}

fn dispatch_flood(which: Which, folder: &Path, amount: &Amount) -> String {
    match which {
        Which::Redb => flood::<Redb>(folder, amount.flood),
        Which::Fjall => flood::<Fjall>(folder, amount.flood),
    }
}

fn flood<E: Engine>(folder: &Path, rows: u64) -> String {
    let mut engine = E::open(folder);
    let began = Instant::now();
    for from in (0..rows).step_by(BULK as usize) {
        engine.commit(from..from + BULK, 0..0);
    }
    for from in (0..rows).step_by(BULK as usize) {
        engine.commit(0..0, from..from + BULK);
    }
    let took = began.elapsed();
    drop(engine);
    format!("{} MiB {:.1} s", size(folder) >> 20, took.as_secs_f64())
}

pub(crate) fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let sizes = entries.map(|entry| match entry.metadata().unwrap() {
        about if about.is_dir() => size(&entry.path()),
        about => about.len(),
    });
    sizes.sum()
}

fn dispatch_load(which: Which, folder: &Path, amount: &Amount) -> String {
    match which {
        Which::Redb => load::<Redb>(folder, amount.rows),
        Which::Fjall => load::<Fjall>(folder, amount.rows),
    }
}

fn load<E: Engine>(folder: &Path, rows: u64) -> String {
    let mut engine = E::open(folder);
    for from in (0..rows).step_by(BULK as usize) {
        engine.commit(from..from + BULK, 0..0);
    }
    // What is on the disk now is what a kill leaves.
    let copy = self::folder();
    copy_all(folder, copy.path());
    drop(engine);
    let began = Instant::now();
    let mut engine = E::open(copy.path());
    assert_eq!(engine.read_all(), rows as usize * MESSAGE);
    format!("{:.0} ms", ms(began.elapsed()))
}

pub(crate) fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
