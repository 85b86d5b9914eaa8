//! Proving evidence again, from a folder and a public key: the auditor's side.
//!
//! Trust comes only from the key that the auditor passes in. Nothing found beside the evidence,
//! such as a copy of a key, is ever believed.

mod verify;

pub use verify::{Checked, Outcome, Reason, Tally, verify};
