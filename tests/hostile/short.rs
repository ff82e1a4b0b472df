//! A short run of every fuzz target, without libFuzzer: its seeds as they are, and mutations of them, the same ones for
//! the same seed (`DOCKGATE_TEST_SEED`, 1 unless it is set).

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::targets;

/// Largest input that mutation makes.
const LARGEST: usize = 4_096;

/// Numbers that look random (xorshift64*, Vigna 2016); the same seed gives the same numbers.
struct Numbers(u64);

impl Numbers {
    fn new() -> Self {
        let seed = std::env::var("DOCKGATE_TEST_SEED").map_or(Ok(1), |seed| seed.parse());
        Self(seed.expect("DOCKGATE_TEST_SEED is a number, and not 0"))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits fit") % limit
    }

    /// One of the seeds with a few changes, some of them parts of another seed.
    fn mutant(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        const TELLING: [u8; 12] = [0, 1, 2, 0x7f, 0x80, 0xff, b'"', b'{', b'[', b'#', b'+', b'\\'];
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1);
            let until = (at + self.below(8)).min(bytes.len());
            match self.below(7) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = TELLING[self.below(TELLING.len())],
                2 => bytes.insert(at, TELLING[self.below(TELLING.len())]),
                3 => drop(bytes.drain(at..until)),
                4 => drop(bytes.splice(at..at, bytes[at..until].to_vec().repeat(1 + self.below(4)))),
                5 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    let length = self.below(64).min(other.len() - from);
                    drop(bytes.splice(at..until, other[from..from + length].iter().copied()));
                }
                _ => bytes.truncate(at),
            }
        }
        bytes.truncate(LARGEST);
        bytes
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("every target has seeds")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    // The file system's order is not the same everywhere.
    files.sort();
    assert!(!files.is_empty(), "no seeds in {}", folder.display());
    files.iter().map(|file| fs::read(file).expect("a seed can be read")).collect()
}

/// Runs the seeds and `mutants` mutations of them; says with which input the target failed.
fn fuzz(target: &str, mutants: usize, mut run: impl FnMut(&[u8])) {
    let seeds = seeds(target);
    let mut numbers = Numbers::new();
    for at in 0..seeds.len() + mutants {
        let input = if at < seeds.len() { seeds[at].clone() } else { numbers.mutant(&seeds) };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&input))) {
            eprintln!("{target}, input {at}: {}", input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn the_packet_path_takes_any_packets() {
    let mut bench = targets::packets::Bench::new();
    fuzz("packets", 15_000, |input| bench.run(input));
}

#[test]
fn the_upload_guard_takes_any_messages() {
    fuzz("dji_json", 10_000, targets::dji_json::run);
}

#[test]
fn the_settings_take_any_file() {
    fuzz("settings", 3_000, targets::settings::run);
}

#[test]
fn the_access_rules_take_any_file() {
    fuzz("acl_file", 10_000, targets::acl_file::run);
}

#[test]
fn the_way_to_mqtt_takes_any_bytes() {
    let mut bench = targets::transports::Bench::new();
    fuzz("transports", 3_000, |input| bench.run(input));
}

#[test]
fn the_passwords_take_any_file() {
    fuzz("password_file", 10_000, targets::password_file::run);
}

#[test]
fn the_import_takes_any_mosquitto_conf() {
    fuzz("mosquitto_conf", 5_000, targets::mosquitto_conf::run);
}
