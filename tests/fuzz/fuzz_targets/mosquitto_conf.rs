#![no_main]
//! See `tests/hostile/targets/mosquitto_conf.rs`.

#[path = "../../hostile/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::mosquitto_conf::run(input));
