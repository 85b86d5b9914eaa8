//! The agent's SQLite: bundles, numbering, the chain's head, duplicates, confirmations.
//!
//! The agent is the only writer. Everything that must be true together is committed together, in
//! one transaction with one fsync: the bundles of a group, their numbers, the chain's new head,
//! the duplicates index and the work order for the uploader.

mod backfill;
mod check;
mod check_custody;
mod claimed;
mod confirm;
mod custody;
mod ending;
mod error;
mod group;
mod open;
mod prune;
mod publish;
pub mod reader;
mod rebuild;
mod request;
mod row;
mod schema;
mod store_time;

pub use backfill::Unordered;
pub use check::Looked;
pub use claimed::RunbookSeen;
pub use confirm::{Applied, Refused};
pub use custody::{CustodyState, Named, Statement, StatementLimits};
pub use ending::Ended;
pub use error::SpoolError;
pub use evidence::bundle::ChainStart;
pub use group::{
    Artifact, Duplicate, Group, IncidentSource, NewBundle, Quarantined, Resealed, Seen,
};
pub use open::{DestinationUse, Spool};
pub use publish::{ConfirmedObject, OpenOrder, SpooledBundle};
pub use rebuild::{FoundBundle, Rebuild};
pub use request::Applied as AppliedRequest;
pub use schema::SCHEMA_VERSION;
