#![no_main]
#![doc = "See `fuzz::notices`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::notices::holds(bytes));
