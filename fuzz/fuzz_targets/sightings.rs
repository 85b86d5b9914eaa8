#![no_main]
#![doc = "See `fuzz::sightings`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::sightings::holds(bytes));
