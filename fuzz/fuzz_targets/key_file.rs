#![no_main]
#![doc = "See `fuzz::key_file`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::key_file::holds(bytes));
