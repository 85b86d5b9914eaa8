#![no_main]
#![doc = "See `fuzz::orders`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::orders::holds(bytes));
