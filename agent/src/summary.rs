//! What the agent has come to: one look, from which its metrics come, and what it tells others.
//!
//! It costs the same however much was ever sealed, so that it can be had every few seconds.

use evidence::custody::Totals;
use host::config::Paths;
use jiff::Timestamp;
use spool::reader::Reader;
use spool::{CustodyState, SpoolError};

/// What the agent has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Everything that was ever sealed, confirmed, refused or seen twice.
    pub totals: Totals,
    /// When the newest bundle was sealed.
    pub last_sealed_at: Option<Timestamp>,
    /// When the oldest bundle that still waits for a confirmation was ordered.
    pub oldest_unconfirmed_at: Option<Timestamp>,
    /// What custody has come to.
    pub custody: CustodyState,
    /// Since when there has been no custody; absent before the first bundle.
    pub without_custody_since: Option<Timestamp>,
    /// Drops that wait in the folder; absent when it cannot be listed.
    pub waiting_drops: Option<usize>,
    /// Drops in quarantine now; absent when it cannot be listed.
    pub in_quarantine: Option<usize>,
}

impl Summary {
    /// Looks at the spool and the folders.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn of(spool: &Reader, paths: &Paths) -> Result<Self, SpoolError> {
        let (last_sealed_at, oldest_unconfirmed_at) = spool.newest_and_oldest()?;
        Ok(Self {
            totals: spool.totals()?,
            last_sealed_at,
            oldest_unconfirmed_at,
            custody: spool.custody_state()?,
            without_custody_since: spool.without_custody_since()?,
            waiting_drops: host::waiting::drops(&paths.drop),
            in_quarantine: host::waiting::in_quarantine(&paths.quarantine),
        })
    }
}
