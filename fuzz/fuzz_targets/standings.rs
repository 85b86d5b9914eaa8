#![no_main]
#![doc = "See `fuzz::standings`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::standings::holds(bytes));
