#![no_main]
//! See `tests/hostile/targets/settings.rs`.

#[path = "../../hostile/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::settings::run(input));
