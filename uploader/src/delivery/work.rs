//! What is to be done next, and what came of it.

use evidence::digest::Sha256;
use evidence::handover::Role;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use super::change::{Change, proof_name};
use super::error::DeliveryError;
use super::ledger::Ledger;
use super::row::{damaged, from_ms, from_secs, must, named, sha256, unsigned};
use super::state::{Event, State, next};
use super::uploads::{Upload, read_upload};

/// One bundle on its way to one destination: the unit of work.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Row id.
    pub parcel_rowid: i64,
    /// The bundle.
    pub bundle_id: String,
    /// Its objects in the order of upload: artifacts, signature, bundle.
    pub deliveries: Vec<Delivery>,
}

/// One object on its way to one destination.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Row id.
    pub delivery_rowid: i64,
    /// Part in the bundle.
    pub role: Role,
    /// Path below the evidence folder; key without the prefix.
    pub path: String,
    /// Size in bytes, from the order.
    pub size_bytes: u64,
    /// SHA-256, from the order.
    pub sha256: Sha256,
    /// Where it stands.
    pub state: State,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Not before.
    pub next_attempt_at: Timestamp,
    /// Days to lock, from the order.
    pub retention_days: u32,
    /// A PUT may have been sent before: look at the key first.
    pub look_first: bool,
    /// What was asked of the store, once something was.
    pub retain_until: Option<Timestamp>,
    /// The version that is ours, once known.
    pub version_id: Option<String>,
    /// The multipart upload that was begun, while it has not ended.
    pub upload: Option<Upload>,
    /// Code of the last error.
    pub last_error_code: Option<String>,
    /// The store has once kept other bytes than ours of this, whatever it says of their checksum.
    pub bytes_differed: bool,
    /// How often the store has refused its parts at the completion.
    pub refused_completions: u32,
}

impl Ledger {
    /// Parcels for which something can be done now, longest waiting first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn due(
        &self,
        destination_rowid: i64,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<i64>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT parcel_rowid FROM parcels
             WHERE destination_rowid = ?1 AND due_at_ms IS NOT NULL AND due_at_ms <= ?2
             ORDER BY due_at_ms, parcel_rowid LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(
                params![destination_rowid, now.as_millisecond(), limit],
                |r| r.get(0),
            )?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Parcels for which something can be done now, the last ordered first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_due(
        &self,
        destination_rowid: i64,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<i64>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT parcel_rowid FROM parcels NOT INDEXED
             WHERE destination_rowid = ?1 AND due_at_ms <= ?2
             ORDER BY parcel_rowid DESC LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(
                params![destination_rowid, now.as_millisecond(), limit],
                |r| r.get(0),
            )?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// When the next parcel becomes due after `now`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn next_due(
        &self,
        destination_rowid: i64,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, DeliveryError> {
        let ms: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT min(due_at_ms) FROM parcels
                 WHERE destination_rowid = ?1 AND due_at_ms IS NOT NULL AND due_at_ms > ?2",
            )?
            .query_row(params![destination_rowid, now.as_millisecond()], |r| {
                r.get(0)
            })?;
        ms.map(|ms| Timestamp::from_millisecond(ms).map_err(|_| damaged("due_at_ms")))
            .transpose()
    }

    /// Makes what waits until after `later_than` due now: after an outage, on an operator's word,
    /// or when the clock was set back.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn pull_forward(
        &self,
        destination_rowid: i64,
        later_than: Timestamp,
        now: Timestamp,
    ) -> Result<usize, DeliveryError> {
        Ok(self
            .db
            .prepare_cached(
                "UPDATE deliveries SET next_attempt_at_ms = ?3
                 WHERE state IN ('pending', 'uploaded')
                 AND next_attempt_at_ms > ?2 AND next_attempt_at_ms > 0
                 AND ?1 = (SELECT destination_rowid FROM parcels p
                   WHERE p.parcel_rowid = deliveries.parcel_rowid)",
            )?
            .execute(params![
                destination_rowid,
                later_than.as_millisecond(),
                now.as_millisecond()
            ])?)
    }

    /// The parcel with its deliveries.
    ///
    /// # Errors
    /// When the database cannot be read, or there is no such parcel.
    pub fn parcel(&self, parcel_rowid: i64) -> Result<Parcel, DeliveryError> {
        let bundle_id: String = self
            .db
            .prepare_cached("SELECT bundle_id FROM parcels WHERE parcel_rowid = ?1")?
            .query_row([parcel_rowid], |r| r.get(0))?;
        let mut statement = self.db.prepare_cached(
            "SELECT d.*, o.role, o.path, o.size_bytes, o.sha256,
               EXISTS (SELECT 1 FROM events e WHERE e.delivery_rowid = d.delivery_rowid
                 AND e.event = 'blocked' AND e.detail LIKE 'stored_bytes_differ:%') bytes_differed,
               (SELECT count(*) FROM events e WHERE e.delivery_rowid = d.delivery_rowid
                 AND e.event = 'deferred' AND e.detail IN ('InvalidPart', 'InvalidPartOrder'))
                 refused_completions
             FROM deliveries d JOIN objects o USING (object_rowid) WHERE d.parcel_rowid = ?1
             ORDER BY CASE o.role WHEN 'artifact' THEN 0 WHEN 'signature' THEN 1 ELSE 2 END,
               d.delivery_rowid",
        )?;
        let mut rows = statement.query([parcel_rowid])?;
        let mut deliveries = Vec::new();
        while let Some(row) = rows.next()? {
            deliveries.push(read_delivery(row)?);
        }
        Ok(Parcel {
            parcel_rowid,
            bundle_id,
            deliveries,
        })
    }

    /// Records that PUTs are about to be sent: what is asked of the store, and that from now on
    /// the key must be looked at before another PUT. Committed before the first byte leaves.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn begin(&self, asked: &[(i64, Timestamp)]) -> Result<(), DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "UPDATE deliveries SET retain_until_secs = ?2, look_first = 1
             WHERE delivery_rowid = ?1 AND state = 'pending'",
        )?;
        for (delivery_rowid, retain_until) in asked {
            statement.execute(params![delivery_rowid, retain_until.as_second()])?;
        }
        Ok(())
    }

    /// Applies one event: the row and its history together. Returns the new state.
    ///
    /// # Errors
    /// When the event cannot happen in the delivery's state, or the database cannot be written.
    pub fn apply(
        &self,
        delivery: i64,
        change: &Change,
        now: Timestamp,
    ) -> Result<State, DeliveryError> {
        let (state, attempts, uploading): (String, i64, bool) = self
            .db
            .prepare_cached(
                "SELECT state, attempts, upload_id IS NOT NULL FROM deliveries
                 WHERE delivery_rowid = ?1",
            )?
            .query_row([delivery], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()?
            .ok_or_else(|| damaged("delivery_rowid"))?;
        let state = State::from_name(&state).ok_or_else(|| damaged("state"))?;
        let event = change.event();
        let to = next(state, event).ok_or(DeliveryError::Illegal {
            delivery,
            state,
            event,
        })?;
        match event {
            // The store made the object of it.
            Event::PutSucceeded if uploading => self.upload_ended(delivery)?,
            _ if uploading && to != State::Pending => self.abandon_upload(delivery)?,
            _ => {}
        }
        self.write_facts(delivery, change, to, now)?;
        let attempt = attempts + i64::from(change.error().is_some());
        self.db
            .prepare_cached(
                "INSERT INTO events (delivery_rowid, at_ms, event, from_state, to_state, attempt, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                delivery,
                now.as_millisecond(),
                event.as_str(),
                state.as_str(),
                to.as_str(),
                attempt,
                change.detail()
            ])?;
        Ok(to)
    }

    fn write_facts(
        &self,
        delivery: i64,
        change: &Change,
        to: State,
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        let to = to.as_str();
        let now_ms = now.as_millisecond();
        if let Some(error) = change.error() {
            self.db
                .prepare_cached(
                    "UPDATE deliveries SET attempts = attempts + 1, last_error_class = ?2,
                       last_error_code = ?3, last_error_message = ?4, last_error_at_ms = ?5
                     WHERE delivery_rowid = ?1",
                )?
                .execute(params![
                    delivery,
                    error.class,
                    error.code,
                    error.message,
                    now_ms
                ])?;
            let destination_rowid: i64 = self
                .db
                .prepare_cached(
                    "SELECT destination_rowid FROM parcels JOIN deliveries USING (parcel_rowid)
                     WHERE delivery_rowid = ?1",
                )?
                .query_row([delivery], |r| r.get(0))?;
            self.set_destination_error(destination_rowid, error, now)?;
        }
        match change {
            Change::PutSucceeded { version_id, etag, sha256 } => self
                .db
                .prepare_cached(
                    "UPDATE deliveries SET state = ?2, version_id = ?3, etag = ?4, server_sha256 = ?5,
                       next_attempt_at_ms = 0, look_first = 1 WHERE delivery_rowid = ?1",
                )?
                .execute(params![delivery, to, version_id, etag, sha256.map(|s| *s.as_bytes())])?,
            Change::Adopted { version_id, etag, sha256, retain_until, overlaid: _ } => self
                .db
                .prepare_cached(
                    "UPDATE deliveries SET state = ?2, version_id = ?3, etag = ?4, server_sha256 = ?5,
                       retain_until_secs = ?6, next_attempt_at_ms = 0, look_first = 1
                     WHERE delivery_rowid = ?1",
                )?
                .execute(params![
                    delivery,
                    to,
                    version_id,
                    etag,
                    sha256.map(|s| *s.as_bytes()),
                    retain_until.as_second()
                ])?,
            Change::LockProven { proof, etag, locked_until, server_date } => self
                .db
                .prepare_cached(
                    "UPDATE deliveries SET state = ?2, proof = ?3, etag = coalesce(?4, etag),
                       locked_until_secs = ?5, server_date_ms = ?6, confirmed_at_ms = ?7,
                       next_attempt_at_ms = 0
                     WHERE delivery_rowid = ?1",
                )?
                .execute(params![
                    delivery,
                    to,
                    proof_name(*proof),
                    etag,
                    locked_until.as_second(),
                    server_date.as_millisecond(),
                    now_ms
                ])?,
            Change::Deferred { next_attempt_at, .. } => self
                .db
                .prepare_cached(
                    "UPDATE deliveries SET state = ?2, next_attempt_at_ms = ?3 WHERE delivery_rowid = ?1",
                )?
                .execute(params![delivery, to, next_attempt_at.as_millisecond()])?,
            Change::ObjectMissing { next_attempt_at, .. } => self
                .db
                .prepare_cached(
                    "UPDATE deliveries SET state = ?2, next_attempt_at_ms = ?3, version_id = NULL,
                       etag = NULL, server_sha256 = NULL, look_first = 1 WHERE delivery_rowid = ?1",
                )?
                .execute(params![delivery, to, next_attempt_at.as_millisecond()])?,
            Change::Blocked { reason, .. } => self
                .db
                .prepare_cached(
                    "UPDATE deliveries SET state = ?2, blocked_reason = ?3,
                       next_attempt_at_ms = 0 WHERE delivery_rowid = ?1",
                )?
                .execute(params![delivery, to, reason.as_str()])?,
            Change::Released => self
                .db
                .prepare_cached(
                    "UPDATE deliveries SET state = ?2, blocked_reason = NULL, version_id = NULL,
                       etag = NULL, server_sha256 = NULL, look_first = 1, attempts = 0,
                       next_attempt_at_ms = 0 WHERE delivery_rowid = ?1",
                )?
                .execute(params![delivery, to])?,
            Change::Retired => self
                .db
                .prepare_cached(
                    "UPDATE deliveries SET state = ?2, blocked_reason = NULL,
                       next_attempt_at_ms = 0 WHERE delivery_rowid = ?1",
                )?
                .execute(params![delivery, to])?,
        };
        Ok(())
    }
}

fn read_delivery(row: &Row<'_>) -> Result<Delivery, DeliveryError> {
    let narrow = |column: &str| -> Result<u32, DeliveryError> {
        u32::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged(column))
    };
    Ok(Delivery {
        delivery_rowid: row.get("delivery_rowid")?,
        role: named(row, "role", Role::from_name)?,
        path: row.get("path")?,
        size_bytes: unsigned(row, "size_bytes")?,
        sha256: sha256(row, "sha256")?,
        state: named(row, "state", State::from_name)?,
        attempts: narrow("attempts")?,
        next_attempt_at: must(from_ms(row, "next_attempt_at_ms")?, "next_attempt_at_ms")?,
        retention_days: narrow("retention_days")?,
        look_first: row.get("look_first")?,
        retain_until: from_secs(row, "retain_until_secs")?,
        version_id: row.get("version_id")?,
        upload: read_upload(row)?,
        last_error_code: row.get("last_error_code")?,
        bytes_differed: row.get("bytes_differed")?,
        refused_completions: narrow("refused_completions")?,
    })
}
