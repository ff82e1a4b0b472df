#![no_main]
//! See `tests/hostile/targets/dji_json.rs`.

#[path = "../../hostile/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::dji_json::run(input));
