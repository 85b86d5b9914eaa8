//! What can go wrong with delivery.db.

use std::sync::Arc;

use super::state::{Event, State};

/// Why delivery.db did not do what was asked. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// SQLite refused.
    #[error("delivery.db")]
    Sql(#[from] rusqlite::Error),
    /// The group of writes that this one belonged to was not committed.
    #[error("delivery.db: the commit failed")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// Made by a newer version.
    #[error(
        "delivery.db has schema version {found}, this build knows {known}: it was written by a newer version; install that version again, or move delivery.db away and let everything be checked again"
    )]
    Newer {
        /// Version in the file.
        found: i64,
        /// Newest version this build knows.
        known: i64,
    },
    /// Made by an older version, and only looked at: the daemon makes it the newest.
    #[error(
        "delivery.db has schema version {found}, this build knows {known}: the uploader of this version has not run yet; restart msp-evidence-uploader"
    )]
    Older {
        /// Version in the file.
        found: i64,
        /// Newest version this build knows.
        known: i64,
    },
    /// An event that cannot happen in that state: a fault in this program.
    #[error("delivery {delivery} is {state:?}, where {event:?} cannot happen")]
    Illegal {
        /// Row id.
        delivery: i64,
        /// Its state.
        state: State,
        /// What was to happen.
        event: Event,
    },
    /// A row that this code never writes.
    #[error("delivery.db holds a damaged row: {0}")]
    Damaged(String),
    /// The thread that writes has ended.
    #[error("the writer of delivery.db has stopped")]
    WriterGone,
}

impl DeliveryError {
    fn sqlite(&self) -> Option<rusqlite::ErrorCode> {
        match self {
            Self::Sql(error) => error.sqlite_error_code(),
            Self::Commit(error) => error.sqlite_error_code(),
            _ => None,
        }
    }

    /// The disk is full; it heals by itself once there is room.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.sqlite() == Some(rusqlite::ErrorCode::DiskFull)
    }

    /// What an operator does about it; it goes on by itself then.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DiskFull, ReadOnly, SystemIoFailure};
        match self.sqlite() {
            Some(DiskFull) => "make room on the disk; it goes on by itself",
            Some(DatabaseBusy) => {
                "another program holds delivery.db locked; end it; it goes on by itself"
            }
            Some(ReadOnly | SystemIoFailure | CannotOpen) => {
                "look at the disk (mounted read only, broken, or out of file descriptors); it goes \
                 on by itself"
            }
            _ => "",
        }
    }

    /// The file is not a usable database: starting anew costs re-checking, not evidence.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        matches!(self.sqlite(), Some(DatabaseCorrupt | NotADatabase))
    }
}
