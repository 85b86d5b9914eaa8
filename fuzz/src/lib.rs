//! What holds of everything that is parsed, whatever the bytes: one module for each fuzz target.
//!
//! Each module's `holds` takes hostile bytes, gives them to the parser, and panics when something
//! that is promised of the result is not so. The targets in `fuzz_targets/` call it with what
//! libFuzzer invents; `tests/tests/corpus.rs` calls it with the committed corpus, without nightly
//! or libFuzzer, so that it shares these very files.

pub mod bundle_verifier;
pub mod config;
pub mod drop_reader;
pub mod key_file;
pub mod locations;
pub mod notices;
pub mod orders;
pub mod receipts;
pub mod requests;
pub mod sightings;
mod signer;
pub mod standings;
mod written;
