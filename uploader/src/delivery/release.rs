//! What the operator's commands do to delivery: release blocked items, wake the daemon.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::params;

use super::change::Change;
use super::error::DeliveryError;
use super::ledger::{DATABASE_NAME, Ledger};

/// A file below `paths.delivery`: touching it makes the daemon look again at once.
pub const WAKE_NAME: &str = "wake";

/// Sends the blocked deliveries of a bundle (at one destination, or at all) back to pending,
/// through the same transition function as the daemon. Returns how many. Call [`wake`] next.
///
/// # Errors
/// When the database is not there or cannot be written; nothing was released then.
pub fn release(
    folder: &Path,
    bundle_id: &str,
    destination_id: Option<&str>,
    now: Timestamp,
) -> Result<usize, DeliveryError> {
    if !folder.join(DATABASE_NAME).exists() {
        return Ok(0);
    }
    Ledger::open(folder, now)?.transact(|ledger| ledger.release(bundle_id, destination_id, now))
}

/// Makes a running daemon look again now: deferred work is due, parked destinations are probed.
///
/// # Errors
/// When the file cannot be written.
pub fn wake(folder: &Path, now: Timestamp) -> std::io::Result<()> {
    std::fs::write(folder.join(WAKE_NAME), format!("{now}\n"))
}

impl Ledger {
    fn release(
        &self,
        bundle_id: &str,
        destination_id: Option<&str>,
        now: Timestamp,
    ) -> Result<usize, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT d.delivery_rowid FROM parcels p JOIN deliveries d USING (parcel_rowid)
             JOIN destinations t USING (destination_rowid)
             WHERE p.bundle_id = ?1 AND d.state = 'blocked' AND (?2 IS NULL OR t.destination_id = ?2)",
        )?;
        let blocked: Vec<i64> = statement
            .query_map(params![bundle_id, destination_id], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for delivery in &blocked {
            self.apply(*delivery, &Change::Released, now)?;
        }
        Ok(blocked.len())
    }
}
