#![no_main]
//! See `tests/hostile/targets/password_file.rs`.

#[path = "../../hostile/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::password_file::run(input));
