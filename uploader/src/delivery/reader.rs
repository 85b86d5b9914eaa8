//! Read-only questions for the CLI and the daemon's own status line.
//!
//! The database is opened read-only, beside a running daemon or without one. In WAL mode SQLite
//! still makes `-wal` and `-shm` files where they are missing, so a caller with root's powers
//! becomes the owner of the folder first.

use std::path::Path;
use std::time::Duration;

use evidence::handover::Confirmation;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Row, params};
use serde::Serialize;

use super::destinations::DestinationState;
use super::error::DeliveryError;
use super::ledger::DATABASE_NAME;
use super::row::{damaged, from_ms, must, named, unsigned};
use super::schema::SCHEMA_VERSION;
use super::state::{BlockedReason, State};

/// delivery.db, open for reading.
pub struct Reader {
    pub(super) db: Connection,
}

/// Deliveries by state, including those of finished orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Not known to be stored.
    pub pending: u64,
    /// Stored, lock not proven yet.
    pub uploaded: u64,
    /// Proven.
    pub confirmed: u64,
    /// Waiting for an operator.
    pub blocked: u64,
    /// Given up by an operator's decision about the destination.
    pub retired: u64,
}

/// An error as kept for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// Class, such as `transient`.
    pub class: String,
    /// The store's code, or ours.
    pub code: String,
    /// In words.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// The end of a destination, as the agent's notice says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retirement {
    /// When, by the agent's clock.
    pub at: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
}

/// One destination, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DestinationSummary {
    /// Configured id.
    pub destination_id: String,
    /// `s3://bucket/prefix`.
    pub uri: String,
    /// `ok`, `open` (failing, retried by itself), `parked` (an operator is needed) or `retired`
    /// (an operator ended it, for ever).
    pub state: &'static str,
    /// When and why it was retired, as the agent said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired: Option<Retirement>,
    /// Why it is not ok: a code, or a code and words.
    pub reason: Option<String>,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// When it is probed next.
    pub next_probe_at: Option<Timestamp>,
    /// When the store last answered well.
    pub last_ok_at: Option<Timestamp>,
    /// When the bucket was last looked at.
    pub last_preflight_at: Option<Timestamp>,
    /// Server's date minus ours, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Deliveries by state.
    pub counts: Counts,
    /// Of those pending or uploaded, how many failed and wait for their next attempt.
    pub deferred: u64,
    /// When the oldest order that is not wholly delivered here was made.
    pub oldest_pending_at: Option<Timestamp>,
    /// When something was last confirmed here.
    pub last_confirmed_at: Option<Timestamp>,
    /// When the next deferred attempt is due, if nothing is due now.
    pub next_retry_at: Option<Timestamp>,
    /// The newest error.
    pub last_error: Option<LastError>,
    /// Large objects on their way in parts, oldest first.
    pub uploads: Vec<UploadInProgress>,
}

/// A large object that is sent in parts, for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UploadInProgress {
    /// The bundle.
    pub bundle_id: String,
    /// The object's path.
    pub path: String,
    /// What the store has of it, as of the last few seconds.
    pub sent_bytes: u64,
    /// Its size.
    pub size_bytes: u64,
}

/// A file in the outbox that is not an order this version can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableOrder {
    /// File name.
    pub name: String,
    /// Why.
    pub message: String,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
}

/// Everything `status` shows about delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Every destination that an order named.
    pub destinations: Vec<DestinationSummary>,
    /// Orders not yet wholly delivered.
    pub open_orders: u64,
    /// What in the outbox could not be read.
    pub unreadable_orders: Vec<UnreadableOrder>,
    /// Confirmations that no receipt carries yet.
    pub unreported: u64,
}

/// A blocked delivery, for `blocked list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockedItem {
    /// The bundle.
    pub bundle_id: String,
    /// The destination.
    pub destination_id: String,
    /// The object's path.
    pub path: String,
    /// Why, from the closed list.
    pub reason: &'static str,
    /// What to do about it.
    pub hint: &'static str,
    /// The error that led to it.
    pub error: Option<LastError>,
    /// The version concerned, if one is known.
    pub version_id: Option<String>,
}

impl Reader {
    /// Opens the database in `folder`; `None` when there is none yet.
    ///
    /// # Errors
    /// When the file cannot be read, or was written by another version: by an older one until the
    /// uploader runs.
    pub fn open(folder: &Path) -> Result<Option<Self>, DeliveryError> {
        let path = folder.join(DATABASE_NAME);
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(Duration::from_secs(5))?;
        db.pragma_update(None, "trusted_schema", false)?;
        let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            // The daemon has created the file and not yet its tables.
            0 => Ok(None),
            SCHEMA_VERSION => Ok(Some(Self { db })),
            1..SCHEMA_VERSION => Err(DeliveryError::Older {
                found,
                known: SCHEMA_VERSION,
            }),
            _ => Err(DeliveryError::Newer {
                found,
                known: SCHEMA_VERSION,
            }),
        }
    }

    /// Everything `status` shows about delivery, at `now`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn summary(&self, now: Timestamp) -> Result<Summary, DeliveryError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT * FROM destinations ORDER BY destination_rowid")?;
        let mut rows = statement.query([])?;
        let mut destinations = Vec::new();
        while let Some(row) = rows.next()? {
            destinations.push(self.read_destination(row, now)?);
        }
        Ok(Summary {
            destinations,
            open_orders: self
                .count("SELECT count(*) FROM orders WHERE open_deliveries > 0")?,
            unreadable_orders: self.unreadable_orders()?,
            unreported: self.count(
                "SELECT count(*) FROM deliveries WHERE state = 'confirmed' AND receipt_rowid IS NULL",
            )?,
        })
    }

    /// Every blocked delivery, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn blocked(&self, limit: usize) -> Result<Vec<BlockedItem>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT d.*, p.bundle_id, t.destination_id, o.path
             FROM deliveries d JOIN parcels p USING (parcel_rowid)
             JOIN destinations t USING (destination_rowid) JOIN objects o USING (object_rowid)
             WHERE d.state = 'blocked' ORDER BY d.delivery_rowid LIMIT ?1",
        )?;
        let mut rows = statement.query(params![i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            let reason = named(row, "blocked_reason", BlockedReason::from_name)?;
            items.push(BlockedItem {
                bundle_id: row.get("bundle_id")?,
                destination_id: row.get("destination_id")?,
                path: row.get("path")?,
                reason: reason.as_str(),
                hint: reason.hint(),
                error: read_error(row)?,
                version_id: row.get("version_id")?,
            });
        }
        Ok(items)
    }

    /// What was confirmed of a bundle, by destination.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn confirmations(&self, bundle_id: &str) -> Result<Vec<Confirmation>, DeliveryError> {
        super::reporting::of_bundle(&self.db, bundle_id)
    }

    /// The large objects of a bundle that are on their way in parts, each with its destination.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn uploads_of(
        &self,
        bundle_id: &str,
    ) -> Result<Vec<(String, UploadInProgress)>, DeliveryError> {
        let mut of_bundle = Vec::new();
        let mut statement = self
            .db
            .prepare_cached("SELECT destination_rowid, destination_id FROM destinations")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get("destination_id")?;
            let uploads = self.uploads(row.get("destination_rowid")?)?;
            let ours = uploads.into_iter().filter(|u| u.bundle_id == bundle_id);
            of_bundle.extend(ours.map(|upload| (id.clone(), upload)));
        }
        Ok(of_bundle)
    }

    fn count(&self, sql: &str) -> Result<u64, DeliveryError> {
        let n: i64 = self.db.prepare_cached(sql)?.query_row([], |r| r.get(0))?;
        u64::try_from(n).map_err(|_| damaged("count"))
    }

    fn unreadable_orders(&self) -> Result<Vec<UnreadableOrder>, DeliveryError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT * FROM unreadable_orders ORDER BY name LIMIT 100")?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(UnreadableOrder {
                name: row.get("name")?,
                message: row.get("message")?,
                first_seen_at: must(from_ms(row, "first_seen_at_ms")?, "first_seen_at_ms")?,
            });
        }
        Ok(found)
    }

    fn read_destination(
        &self,
        row: &Row<'_>,
        now: Timestamp,
    ) -> Result<DestinationSummary, DeliveryError> {
        let rowid: i64 = row.get("destination_rowid")?;
        let due_now = self.time(
            "SELECT min(due_at_ms) FROM parcels WHERE destination_rowid = ?1
            AND due_at_ms IS NOT NULL",
            rowid,
        )?;
        let (destination_id, uri): (String, String) = (row.get("destination_id")?, row.get("uri")?);
        let retired = self.retirement(&destination_id, &uri)?;
        // What was wrong with it before is no longer of interest.
        let live = retired.is_none();
        Ok(DestinationSummary {
            state: if live {
                named(row, "state", DestinationState::from_name)?.as_str()
            } else {
                "retired"
            },
            reason: match &retired {
                None => row.get("reason")?,
                Some(retired) => Some(retired.reason.clone()),
            },
            since: match &retired {
                None => must(from_ms(row, "since_ms")?, "since_ms")?,
                Some(retired) => retired.at,
            },
            next_probe_at: from_ms(row, "next_probe_at_ms")?.filter(|_| live),
            destination_id,
            uri,
            retired,
            last_ok_at: from_ms(row, "last_ok_at_ms")?,
            last_preflight_at: from_ms(row, "last_preflight_at_ms")?,
            clock_offset_ms: row.get("clock_offset_ms")?,
            counts: self.counts(rowid)?,
            deferred: self.deferred(rowid, now)?,
            oldest_pending_at: self.time(
                "SELECT w.created_at_ms FROM orders w WHERE w.open_deliveries > 0 AND EXISTS (SELECT 1 FROM parcels p
                   JOIN deliveries d USING (parcel_rowid) WHERE p.order_rowid = w.order_rowid
                   AND p.destination_rowid = ?1 AND d.state IN ('pending', 'uploaded', 'blocked'))
                 ORDER BY w.order_rowid LIMIT 1",
                rowid,
            )?,
            last_confirmed_at: from_ms(row, "last_confirmed_at_ms")?,
            next_retry_at: due_now.filter(|due| *due > now),
            last_error: read_error(row)?,
            uploads: self.uploads(rowid)?,
        })
    }

    fn uploads(&self, destination_rowid: i64) -> Result<Vec<UploadInProgress>, DeliveryError> {
        // By the partial index: the few that are on their way, not all that ever were.
        let mut statement = self.db.prepare_cached(
            "SELECT p.bundle_id, o.path, d.sent_bytes, o.size_bytes
             FROM deliveries d INDEXED BY deliveries_uploading
             JOIN parcels p USING (parcel_rowid) JOIN objects o USING (object_rowid)
             WHERE d.upload_id IS NOT NULL AND p.destination_rowid = ?1
             ORDER BY d.delivery_rowid LIMIT 100",
        )?;
        let mut rows = statement.query([destination_rowid])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(UploadInProgress {
                bundle_id: row.get("bundle_id")?,
                path: row.get("path")?,
                sent_bytes: unsigned(row, "sent_bytes")?,
                size_bytes: unsigned(row, "size_bytes")?,
            });
        }
        Ok(found)
    }

    fn retirement(&self, id: &str, uri: &str) -> Result<Option<Retirement>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT created_at_ms, reason FROM notices
             WHERE destination_id = ?1 AND uri = ?2 AND bundle_id IS NULL
             ORDER BY notice_rowid LIMIT 1",
        )?;
        let mut rows = statement.query(params![id, uri])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some(Retirement {
            at: must(from_ms(row, "created_at_ms")?, "created_at_ms")?,
            reason: row.get("reason")?,
        }))
    }

    fn counts(&self, destination_rowid: i64) -> Result<Counts, DeliveryError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT state, n FROM tallies WHERE destination_rowid = ?1")?;
        let mut rows = statement.query([destination_rowid])?;
        let mut counts = Counts::default();
        while let Some(row) = rows.next()? {
            let n = unsigned(row, "n")?;
            match named(row, "state", State::from_name)? {
                State::Pending => counts.pending = n,
                State::Uploaded => counts.uploaded = n,
                State::Confirmed => counts.confirmed = n,
                State::Blocked => counts.blocked = n,
                State::Retired => counts.retired = n,
            }
        }
        Ok(counts)
    }

    fn deferred(&self, destination_rowid: i64, now: Timestamp) -> Result<u64, DeliveryError> {
        // By the partial index: the few that failed, not all that wait.
        let n: i64 = self
            .db
            .prepare_cached(
                "SELECT count(*) FROM deliveries d INDEXED BY deliveries_deferred
                 JOIN parcels p USING (parcel_rowid)
                 WHERE d.next_attempt_at_ms > max(?2, 0) AND d.next_attempt_at_ms > 0
                   AND d.state IN ('pending', 'uploaded') AND p.destination_rowid = ?1",
            )?
            .query_row(params![destination_rowid, now.as_millisecond()], |row| {
                row.get(0)
            })?;
        u64::try_from(n).map_err(|_| damaged("count"))
    }

    fn time(&self, sql: &str, destination_rowid: i64) -> Result<Option<Timestamp>, DeliveryError> {
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([destination_rowid])?;
        let ms: Option<i64> = match rows.next()? {
            Some(row) => row.get(0)?,
            None => None,
        };
        ms.map(|ms| Timestamp::from_millisecond(ms).map_err(|_| damaged("time")))
            .transpose()
    }
}

fn read_error(row: &Row<'_>) -> Result<Option<LastError>, DeliveryError> {
    let Some(class) = row.get("last_error_class")? else {
        return Ok(None);
    };
    Ok(Some(LastError {
        class,
        code: row.get("last_error_code")?,
        message: row.get("last_error_message")?,
        at: must(from_ms(row, "last_error_at_ms")?, "last_error_at_ms")?,
    }))
}
