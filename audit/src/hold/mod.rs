//! `hold`, `release-hold`, `extend`: what operators do to the locks of evidence, and the record of it.
//!
//! For each lot of objects, in this order: what is there is read; what is intended is signed and stored,
//! locked; each object is changed and read back; what came of it is signed and stored. So there is never a
//! change without a record of who wanted it and why, and a run that is interrupted leaves the intention
//! behind, beside objects that say for themselves how far it came. Doing it again changes nothing that is
//! done already.

mod change;
mod record;
mod target;

pub use change::{Change, HoldError, Lot};
pub use target::{Target, targets};
