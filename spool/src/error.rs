//! What can go wrong with the spool.

/// Why the spool could not do what was asked. Nothing was changed then: every change is one
/// transaction.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// SQLite refused.
    #[error("spool.db")]
    Sql(#[from] rusqlite::Error),
    /// Made by a newer version.
    #[error(
        "spool.db has schema version {found}, this build knows {known}: it was written by a newer version; install that version again"
    )]
    Newer {
        /// Version in the file.
        found: i64,
        /// Newest version this build knows.
        known: i64,
    },
    /// Made by an older version, and only looked at: the agent makes it the newest.
    #[error(
        "spool.db has schema version {found}, this build knows {known}: the agent of this version has not run yet; restart msp-evidence-agent"
    )]
    Older {
        /// Version in the file.
        found: i64,
        /// Newest version this build knows.
        known: i64,
    },
    /// A destination that cannot be retired.
    #[error("destination {0:?} was never used, or is retired already")]
    NoSuchDestination(String),
    /// A group that does not attach to the chain's head.
    #[error("the group does not continue the chain: {0}")]
    Chain(String),
    /// A destination id whose bucket or prefix changed.
    #[error(
        "destination {id:?} was {known} when it was first used and is now {configured}; an id never changes meaning: give the new place an id of its own"
    )]
    DestinationChanged {
        /// The id.
        id: String,
        /// What it was.
        known: String,
        /// What the configuration says now.
        configured: String,
    },
    /// A row that this code never writes.
    #[error("spool.db holds a damaged row: {0}")]
    Damaged(String),
}

impl SpoolError {
    /// The file is as a crash left it, and only its writer can open it: it rolls back or recovers what
    /// was under way (https://sqlite.org/rescode.html#readonly_rollback and the codes beside it).
    #[must_use]
    pub fn needs_recovery(&self) -> bool {
        matches!(self, Self::Sql(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly))
    }

    /// The disk is full, or the quota is: stop sealing, keep everything, try again later.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Sql(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}
