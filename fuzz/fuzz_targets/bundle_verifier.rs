#![no_main]
#![doc = "See `fuzz::bundle_verifier`."]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::bundle_verifier::holds(bytes));
