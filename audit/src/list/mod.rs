//! `list`: what evidence there is of what, found by the index that custody bundles are.

mod period;
mod selection;

pub use period::{NotAPeriod, Period};
pub use selection::{Selection, Time};
