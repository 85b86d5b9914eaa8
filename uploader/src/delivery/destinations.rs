//! The destinations and their health, as shown to the operator.

use destination::Preflight;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::change::ErrorNote;
use super::error::DeliveryError;
use super::ledger::Ledger;

/// Whether work flows to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DestinationState {
    /// Work flows.
    Ok,
    /// The breaker is open after failures; one probe at a time.
    Open,
    /// Only an operator can heal it; probed every few minutes, everything is kept.
    Parked,
}

impl DestinationState {
    /// The name in SQL, JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Open => "open",
            Self::Parked => "parked",
        }
    }

    /// The inverse of [`DestinationState::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::Open, Self::Parked]
            .into_iter()
            .find(|s| s.as_str() == name)
    }
}

/// A destination that some order named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationRow {
    /// Row id.
    pub destination_rowid: i64,
    /// Configured id.
    pub destination_id: String,
    /// `s3://bucket/prefix` as the order has it.
    pub uri: String,
}

impl Ledger {
    /// The row of this id at this place, made when it is new.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn ensure_destination(
        &self,
        id: &str,
        uri: &str,
        now: Timestamp,
    ) -> Result<i64, DeliveryError> {
        let found: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT destination_rowid FROM destinations WHERE destination_id = ?1 AND uri = ?2",
            )?
            .query_row([id, uri], |r| r.get(0))
            .optional()?;
        if let Some(rowid) = found {
            return Ok(rowid);
        }
        self.db.execute(
            "INSERT INTO destinations (destination_id, uri, since_ms) VALUES (?1, ?2, ?3)",
            params![id, uri, now.as_millisecond()],
        )?;
        Ok(self.db.last_insert_rowid())
    }

    /// Every destination that was ever named.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn destinations(&self) -> Result<Vec<DestinationRow>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT destination_rowid, destination_id, uri FROM destinations ORDER BY destination_rowid",
        )?;
        let rows = statement
            .query_map([], |r| {
                Ok(DestinationRow {
                    destination_rowid: r.get(0)?,
                    destination_id: r.get(1)?,
                    uri: r.get(2)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// How many deliveries to a destination are neither confirmed nor retired.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn open_deliveries(&self, destination_rowid: i64) -> Result<i64, DeliveryError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT coalesce(sum(n), 0) FROM tallies WHERE destination_rowid = ?1
                 AND state IN ('pending', 'uploaded', 'blocked')",
            )?
            .query_row([destination_rowid], |r| r.get(0))?)
    }

    /// Records a destination's health; `reason` is `None` exactly when it is ok. Returns whether
    /// the state or the reason is new.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_health(
        &self,
        destination_rowid: i64,
        state: DestinationState,
        reason: Option<&str>,
        next_probe_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, DeliveryError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE destinations SET state = ?2, reason = ?3, since_ms = ?4
                 WHERE destination_rowid = ?1 AND (state <> ?2 OR reason IS NOT ?3)",
            )?
            .execute(params![
                destination_rowid,
                state.as_str(),
                reason,
                now.as_millisecond()
            ])?;
        self.db
            .prepare_cached(
                "UPDATE destinations SET next_probe_at_ms = ?2 WHERE destination_rowid = ?1",
            )?
            .execute(params![
                destination_rowid,
                next_probe_at.map(Timestamp::as_millisecond)
            ])?;
        Ok(changed > 0)
    }

    /// Records that the store answered well.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_last_ok(&self, destination_rowid: i64, now: Timestamp) -> Result<(), DeliveryError> {
        self.db
            .prepare_cached(
                "UPDATE destinations SET last_ok_at_ms = ?2 WHERE destination_rowid = ?1",
            )?
            .execute(params![destination_rowid, now.as_millisecond()])?;
        Ok(())
    }

    /// Records what a look at the bucket found.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_preflight(
        &self,
        destination_rowid: i64,
        preflight: &Preflight,
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        let summary = serde_json::json!({
            "versioning": preflight.versioning,
            "object_lock": preflight.object_lock,
            "default_rule": preflight.default_rule,
            "unknown": preflight.unknown,
        });
        self.db
            .prepare_cached(
                "UPDATE destinations SET last_preflight_at_ms = ?2, last_preflight = ?3,
                   clock_offset_ms = ?4 WHERE destination_rowid = ?1",
            )?
            .execute(params![
                destination_rowid,
                now.as_millisecond(),
                summary.to_string(),
                preflight.clock_offset_ms
            ])?;
        Ok(())
    }

    /// Records the newest error at a destination.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_destination_error(
        &self,
        destination_rowid: i64,
        error: &ErrorNote,
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        self.db
            .prepare_cached(
                "UPDATE destinations SET last_error_class = ?2, last_error_code = ?3,
                   last_error_message = ?4, last_error_at_ms = ?5 WHERE destination_rowid = ?1",
            )?
            .execute(params![
                destination_rowid,
                error.class,
                error.code,
                error.message,
                now.as_millisecond()
            ])?;
        Ok(())
    }
}
