#![no_main]
#![doc = "See `fuzz::config`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::config::holds(bytes));
