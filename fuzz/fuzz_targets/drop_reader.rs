#![no_main]
#![doc = "See `fuzz::drop_reader`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::drop_reader::holds(bytes));
