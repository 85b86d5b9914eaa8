#![no_main]
#![doc = "See `fuzz::locations`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::locations::holds(bytes));
