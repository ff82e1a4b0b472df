#![no_main]
//! See `tests/hostile/targets/transports.rs`.

#[path = "../../hostile/targets/mod.rs"]
mod targets;

use std::sync::{LazyLock, Mutex};
use targets::transports::Bench;

static BENCH: LazyLock<Mutex<Bench>> = LazyLock::new(|| Mutex::new(Bench::new()));

libfuzzer_sys::fuzz_target!(|input: &[u8]| BENCH.lock().expect("a panic ends the process").run(input));
