#![no_main]
//! See `tests/hostile/targets/acl_file.rs`.

#[path = "../../hostile/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::acl_file::run(input));
