//! delivery.db: what was delivered where, and what is still to be done.
//!
//! The uploader alone writes it, in one thread ([`Writer`]); the CLI reads it ([`Reader`]) and
//! may release blocked items through the same transition function. Losing the file costs
//! re-checking, not evidence: orders stay in the outbox until the agent has every receipt, and an
//! object that is found stored and locked is adopted.
//!
//! Why the order of writes is safe: what was asked of a store and "look before the next PUT" are
//! committed before the PUT; the version id is committed before anything is concluded from it;
//! a receipt is written only from committed confirmations. A crash between any two leaves work
//! to be looked at again, never a claim without a proof.

mod change;
mod check;
mod destinations;
mod error;
mod intake;
mod ledger;
mod notices;
mod reader;
mod release;
mod reporting;
mod row;
mod schema;
mod state;
#[cfg(test)]
mod tests;
mod uploads;
mod work;
mod writer;

pub use change::{Change, ErrorNote};
pub use check::Delivered;
pub use destinations::{DestinationRow, DestinationState};
pub use error::DeliveryError;
pub use intake::Imported;
pub use ledger::{DATABASE_NAME, Ledger, set_aside};
pub use notices::{Ending, Noted};
pub use reader::{
    BlockedItem, Counts, DestinationSummary, LastError, Reader, Retirement, Summary,
    UnreadableOrder, UploadInProgress,
};
pub use release::{WAKE_NAME, release, wake};
pub use schema::SCHEMA_VERSION;
pub use state::{BlockedReason, Event, State, next};
pub use uploads::{AbandonedUpload, Upload};
pub use work::{Delivery, Parcel};
pub use writer::Writer;
