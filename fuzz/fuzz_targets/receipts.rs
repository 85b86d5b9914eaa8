#![no_main]
#![doc = "See `fuzz::receipts`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::receipts::holds(bytes));
