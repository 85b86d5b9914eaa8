//! Is everything on this host what the daemons left, and does the bucket hold what is called
//! confirmed? Databases, files, chain and deliveries are compared with each other and, when asked,
//! with the store.
//!
//! Looking changes nothing and needs no private key: what was signed is checked with the public
//! one. What the daemons mend by themselves at their next start is told apart from damage, and
//! what could not be looked at is never called good.

mod bucket;
mod deliveries;
mod evidence_files;
mod finding;
mod handover_files;
mod look;
mod rebuild;

pub use bucket::check_bucket;
pub use finding::{Finding, Level, Part, Report};
pub use look::{Look, LookError};
pub use rebuild::{Place, RebuildError, Rebuilt, rebuild};
