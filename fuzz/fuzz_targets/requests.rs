#![no_main]
#![doc = "See `fuzz::requests`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::requests::holds(bytes));
