//! Reading the spool without being its writer: for `status`, `show` and `doctor`.
//!
//! Opened read-only, so that no table can be changed; the caller first becomes the file's owner,
//! so that no `-wal` or `-shm` file of another user is left behind.

use std::path::Path;

use evidence::bundle::{Ended, Locations};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde::Serialize;

use crate::SpoolError;
use crate::publish::{SpooledBundle, complete_locations, read_bundle};
use crate::row::time;
use crate::schema::SCHEMA_VERSION;

/// A read-only view of spool.db.
pub struct Reader {
    pub(crate) db: Connection,
}

/// What the spool holds, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Sealed bundles of kind incident.
    pub sealed_incidents: u64,
    /// All sealed bundles.
    pub sealed_bundles: u64,
    /// Bundles of which every object is confirmed at every planned destination.
    pub confirmed_bundles: u64,
    /// Drops recognised as sealed before.
    pub duplicates: u64,
    /// Drops that could not be sealed.
    pub quarantined: u64,
    /// The chain in use.
    pub chain_id: Option<String>,
    /// The newest sequence in it.
    pub head_sequence: u64,
    /// When the newest bundle was sealed.
    pub last_sealed_at: Option<String>,
    /// When the oldest bundle that still waits was sealed.
    pub oldest_unconfirmed_at: Option<String>,
}

impl Reader {
    /// Opens an existing spool.
    ///
    /// # Errors
    /// When there is none, it cannot be read, or it was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let db = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        db.busy_timeout(std::time::Duration::from_secs(10))?;
        db.pragma_update(None, "query_only", true)?;
        db.pragma_update(None, "trusted_schema", false)?;
        let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > SCHEMA_VERSION {
            return Err(SpoolError::Newer {
                found,
                known: SCHEMA_VERSION,
            });
        }
        if found < SCHEMA_VERSION {
            return Err(SpoolError::Older {
                found,
                known: SCHEMA_VERSION,
            });
        }
        Ok(Self { db })
    }

    /// Everything counted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn counts(&self) -> Result<Counts, SpoolError> {
        let number = |sql: &str| -> Result<u64, SpoolError> {
            let n: i64 = self.db.query_row(sql, [], |row| row.get(0))?;
            Ok(u64::try_from(n).unwrap_or(0))
        };
        let chain: Option<(String, i64)> = self
            .db
            .query_row(
                "SELECT c.chain_id, coalesce(max(b.sequence), 0)
                 FROM chain c LEFT JOIN bundle b USING (chain_rowid)
                 WHERE c.chain_rowid = (SELECT max(chain_rowid) FROM chain)",
                [],
                |row| Ok((row.get::<_, Option<String>>(0)?, row.get(1)?)),
            )
            .optional()?
            .and_then(|(id, n)| id.map(|id| (id, n)));
        let text = |sql: &str| -> Result<Option<String>, SpoolError> {
            Ok(self
                .db
                .query_row(sql, [], |row| row.get(0))
                .optional()?
                .flatten())
        };
        Ok(Counts {
            sealed_incidents: number("SELECT count(*) FROM bundle WHERE kind = 'incident'")?,
            sealed_bundles: number("SELECT count(*) FROM bundle")?,
            confirmed_bundles: number(CONFIRMED_BUNDLES)?,
            duplicates: number("SELECT count(*) FROM duplicate")?,
            quarantined: number("SELECT count(*) FROM quarantined")?,
            head_sequence: chain
                .as_ref()
                .map_or(0, |(_, n)| u64::try_from(*n).unwrap_or(0)),
            chain_id: chain.map(|(id, _)| id),
            last_sealed_at: text(
                "SELECT generated_at FROM bundle ORDER BY bundle_rowid DESC LIMIT 1",
            )?,
            oldest_unconfirmed_at: text(
                "SELECT min(created_at) FROM work_order WHERE completed_at IS NULL",
            )?,
        })
    }

    /// When the newest bundle was sealed, and when the oldest of which something is unconfirmed was
    /// ordered; at the same cost however much there is.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_and_oldest(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), SpoolError> {
        let at = |sql: &str, column: &str| -> Result<Option<Timestamp>, SpoolError> {
            let mut statement = self.db.prepare_cached(sql)?;
            let found = statement
                .query_row([], |row| Ok(time(row, column)))
                .optional()?;
            found.transpose()
        };
        Ok((
            at(
                "SELECT generated_at FROM bundle ORDER BY bundle_rowid DESC LIMIT 1",
                "generated_at",
            )?,
            at(
                "SELECT created_at FROM work_order WHERE completed_at IS NULL
                 ORDER BY order_rowid LIMIT 1",
                "created_at",
            )?,
        ))
    }

    /// Every destination that was ever used: id, place, and when and why it was retired.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn destinations(&self) -> Result<Vec<(String, String, Option<Ended>)>, SpoolError> {
        let mut statement = self
            .db
            .prepare("SELECT * FROM destination ORDER BY destination_id")?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let retired = match row.get::<_, Option<String>>("retired_reason")? {
                None => None,
                Some(reason) => Some(Ended {
                    at: time(row, "retired_at")?,
                    reason,
                }),
            };
            found.push((row.get("destination_id")?, row.get("uri")?, retired));
        }
        Ok(found)
    }

    /// The name of the newest probe.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_probe(&self) -> Result<Option<String>, SpoolError> {
        let found = self
            .db
            .query_row(
                "SELECT bundle_id FROM bundle WHERE kind = 'probe' ORDER BY bundle_rowid DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        Ok(found)
    }

    /// One bundle by its name, with its locations completed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn located_bundle(
        &self,
        bundle_id: &str,
    ) -> Result<Option<(SpooledBundle, Locations)>, SpoolError> {
        let found = self
            .db
            .query_row(
                "SELECT * FROM bundle WHERE bundle_id = ?1",
                [bundle_id],
                |row| Ok(read_bundle(row)),
            )
            .optional()?
            .transpose()?;
        found
            .map(|bundle| {
                let locations = complete_locations(&self.db, &bundle)?;
                Ok((bundle, locations))
            })
            .transpose()
    }
}

/// Complete orders are confirmed whole; of an open one, its bundles are counted one by one. Where
/// something was ended, a bundle is confirmed when it is so somewhere, and at each place of its plan
/// where it is still waited for.
const CONFIRMED_BUNDLES: &str = "
SELECT (SELECT count(*) FROM bundle b JOIN work_order o USING (order_rowid)
        WHERE o.completed_at IS NOT NULL AND o.ended = 0)
     + (SELECT count(*) FROM bundle b JOIN work_order o USING (order_rowid)
        WHERE o.completed_at IS NULL AND o.ended = 0
          AND (SELECT count(*) FROM confirmation c WHERE c.bundle_rowid = b.bundle_rowid)
              = b.object_count * json_array_length(CAST(o.body AS TEXT), '$.destinations'))
     + (SELECT count(*) FROM bundle b JOIN work_order o USING (order_rowid)
        WHERE o.ended = 1
          AND EXISTS (SELECT 1 FROM confirmation c WHERE c.bundle_rowid = b.bundle_rowid
            GROUP BY c.destination_id HAVING count(*) >= b.object_count)
          AND NOT EXISTS (
            SELECT 1 FROM json_each(CAST(b.bytes AS TEXT), '$.storage_locations') p
            JOIN destination d ON d.destination_id = json_extract(p.value, '$.destination_id')
            WHERE d.retired_at IS NULL
              AND NOT EXISTS (SELECT 1 FROM ended e WHERE e.bundle_rowid = b.bundle_rowid
                AND e.destination_id = d.destination_id)
              AND (SELECT count(*) FROM confirmation c WHERE c.bundle_rowid = b.bundle_rowid
                AND c.destination_id = d.destination_id) < b.object_count))";
