//! `list`: what evidence there is of what.
//!
//! Custody bundles are the index: each says, under signature, what was sealed since the one before it.
//! So a month is found by reading its custody bundles and, one by one, only what no custody bundle
//! covers yet. Nothing is listed that is not proven by a key of the auditor's; what could not be proven
//! is named beside it.

pub(crate) mod holdings;
mod period;
pub(crate) mod reader;
mod row;
mod search;
mod selection;
mod sheet;
pub(crate) mod trust;
mod walk;

pub use period::{NotAPeriod, Period};
pub use row::Row;
pub use search::{Doubt, Doubtful, Found, Progress, search};
pub use selection::{SLACK_DAYS, Selection, Time};
pub use sheet::write_csv;
pub(crate) use walk::Covering;
