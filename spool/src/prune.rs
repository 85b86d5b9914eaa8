//! Local copies that may go: which bundles, and that they went.
//!
//! What is removed are the files of the evidence folder; the signed bytes stay in the database, so that the
//! chain can be checked and a bundle be ordered again for ever. It is written down before the first file
//! goes, and again when the last is gone, so that a crash between leaves neither a file that nobody
//! removes nor one that is missed.

use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{OptionalExtension as _, params};

use crate::reader::Reader;
use crate::row::time;
use crate::{Spool, SpoolError};

/// Bundles whose files are not needed here any more.
///
/// Nothing of them is waited for: the orders of their signed plan and of every backfill are complete, and
/// one destination at least has every object. An order is complete as well when a destination was retired,
/// which alone frees nothing. The newest bundle is the chain's head, which is compared with its file.
const PRUNABLE: &str = "
SELECT b.bundle_rowid FROM bundle b JOIN work_order o USING (order_rowid)
WHERE b.bundle_rowid > ?1 AND b.generated_at < ?2 AND o.completed_at IS NOT NULL
  AND b.bundle_rowid < (SELECT max(bundle_rowid) FROM bundle)
  AND NOT EXISTS (SELECT 1 FROM pruned p WHERE p.bundle_rowid = b.bundle_rowid)
  AND NOT EXISTS (SELECT 1 FROM backfill f JOIN work_order w ON w.order_rowid = f.order_rowid
    WHERE f.bundle_rowid = b.bundle_rowid AND w.completed_at IS NULL)
  AND EXISTS (SELECT 1 FROM confirmation c WHERE c.bundle_rowid = b.bundle_rowid
    GROUP BY c.destination_id HAVING count(*) >= b.object_count)
ORDER BY b.bundle_rowid LIMIT ?3";

impl Spool {
    /// Rows of bundles after `after` that were sealed before the day `before` (UTC) and whose files may go,
    /// oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn prunable(&self, before: Date, after: i64, limit: usize) -> Result<Vec<i64>, SpoolError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.reader.db.prepare_cached(PRUNABLE)?;
        let rows = statement
            .query_map(params![after, before.to_string(), limit], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Writes down that the files of these bundles are about to go.
    ///
    /// # Errors
    /// When the database refuses; then none may go.
    pub fn begin_pruning(&mut self, rows: &[i64], now: Timestamp) -> Result<(), SpoolError> {
        let tx = self.reader.db.transaction()?;
        for row in rows {
            tx.prepare_cached("INSERT INTO pruned (bundle_rowid, pruned_at) VALUES (?1, ?2)")?
                .execute(params![row, now.to_string()])?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Bundles whose files were about to go, and may be there in part.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unfinished_pruning(&self) -> Result<Vec<i64>, SpoolError> {
        let mut statement = self
            .reader
            .db
            .prepare_cached("SELECT bundle_rowid FROM pruned WHERE is_gone = 0 ORDER BY 1")?;
        let rows = statement
            .query_map([], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Writes down that the files of these bundles are gone.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn end_pruning(&mut self, rows: &[i64]) -> Result<(), SpoolError> {
        let tx = self.reader.db.transaction()?;
        for row in rows {
            tx.prepare_cached("UPDATE pruned SET is_gone = 1 WHERE bundle_rowid = ?1")?
                .execute([row])?;
        }
        tx.commit()?;
        Ok(())
    }
}

impl Reader {
    /// When the files of a bundle were removed from this host, if they were.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn pruned_at(&self, bundle_rowid: i64) -> Result<Option<Timestamp>, SpoolError> {
        self.db
            .prepare_cached("SELECT pruned_at FROM pruned WHERE bundle_rowid = ?1")?
            .query_row([bundle_rowid], |row| Ok(time(row, "pruned_at")))
            .optional()?
            .transpose()
    }
}
