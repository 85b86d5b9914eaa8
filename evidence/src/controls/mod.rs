//! The control catalogue: what the law and the criteria ask for, how an incident cites it, and what
//! fits which kind of event.
//!
//! A citation is the executor's word and never a proof that a control is met. What the catalogue can
//! say is whether the paragraph exists, and whether it is about such an event at all.

mod addition;
mod citation;
mod hipaa;
mod map;
mod soc2;

pub use addition::{Addition, NotAnAddition};
pub use citation::{Citation, NotACitation};
pub use hipaa::{CONTROLS, Control, Implementation, SECTIONS};
pub use map::{About, ControlMap, MappedControls};
pub use soc2::{CRITERIA, Criterion, NotACriterion};
