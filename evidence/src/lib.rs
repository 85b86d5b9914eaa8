//! The pure domain of msp-evidence: what an incident, a bundle, a signature and a hand-over are.
//!
//! No tokio, no SQL, no network, no clock: the core decides, its callers do the I/O, and `now` is
//! an argument.

pub mod bundle;
mod causes;
pub mod chain;
pub mod controls;
pub mod custody;
pub mod digest;
pub mod findings;
pub mod handover;
pub mod ijson;
pub mod incident;
pub mod keys;
mod problem;
pub mod record;
pub mod rotation;
pub mod schema;
pub mod signature;

pub use causes::causes;
pub use problem::Problem;
