//! What the agent says besides orders: deliveries that end before they are confirmed.
//!
//! A notice is kept for ever, and orders that come in later meet it again, also after this
//! database was lost: the file stays in the outbox. Ending goes through the same transition
//! function as everything else, so what is confirmed stays confirmed.

use evidence::digest::Sha256;
use evidence::handover::Notice;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::change::Change;
use super::error::DeliveryError;
use super::ledger::Ledger;

/// The unconfirmed deliveries that a notice ends; the caller adds which orders.
const ENDING: &str = "SELECT DISTINCT d.delivery_rowid
  FROM orders w JOIN parcels p USING (order_rowid)
  JOIN destinations t USING (destination_rowid)
  JOIN notices n ON n.destination_id = t.destination_id AND n.uri = t.uri
  JOIN deliveries d USING (parcel_rowid) JOIN objects o USING (object_rowid)
  WHERE d.state IN ('pending', 'uploaded', 'blocked')
  AND (n.bundle_id IS NULL OR (n.bundle_id = p.bundle_id
    AND instr(o.path, '/' || n.chain_id || '/') > 0)) AND ";

/// What became of a notice file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is recorded now; what it ends is still to be ended.
    New,
    /// It was recorded before.
    Known,
    /// Its id is known with other bytes; notices are immutable, so this one is not believed.
    Differs,
}

/// How far the ending of a notice's deliveries has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The last order that was looked at; `None` when none is left and the notice is done.
    pub last_order: Option<i64>,
    /// Deliveries ended by this call.
    pub ended: usize,
}

impl Ledger {
    /// Whether a notice of that id was recorded: then its file need not be read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn knows_notice(&self, notice_id: &str) -> Result<bool, DeliveryError> {
        Ok(self
            .db
            .prepare_cached("SELECT 1 FROM notices WHERE notice_id = ?1")?
            .exists([notice_id])?)
    }

    /// Records a notice whose file has the digest `sha256`. From now on orders that come in meet
    /// it; [`Ledger::end_noticed`] is for those that are here already.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn note_notice(
        &self,
        notice: &Notice,
        sha256: Sha256,
        now: Timestamp,
    ) -> Result<Noted, DeliveryError> {
        let before: Option<[u8; 32]> = self
            .db
            .query_row(
                "SELECT sha256 FROM notices WHERE notice_id = ?1",
                [&notice.notice_id],
                |r| r.get(0),
            )
            .optional()?;
        match before {
            Some(before) if before == *sha256.as_bytes() => return Ok(Noted::Known),
            Some(_) => return Ok(Noted::Differs),
            None => {}
        }
        // So that `status` names it, also in a new database and when nothing was ordered for it.
        self.ensure_destination(&notice.destination_id, &notice.uri, now)?;
        self.db.execute(
            "INSERT INTO notices (notice_id, sha256, destination_id, uri, chain_id, bundle_id,
               reason, created_at_ms, received_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                notice.notice_id,
                sha256.as_bytes(),
                notice.destination_id,
                notice.uri,
                notice.bundle.as_ref().map(|b| &b.chain_id),
                notice.bundle.as_ref().map(|b| &b.bundle_id),
                notice.reason,
                notice.created_at.as_millisecond(),
                now.as_millisecond(),
            ],
        )?;
        Ok(Noted::New)
    }

    /// The notices of which not everything has been ended yet, with their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unapplied_notices(&self) -> Result<Vec<(i64, String)>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT notice_rowid, notice_id FROM notices WHERE applied_at_ms IS NULL
             ORDER BY notice_rowid",
        )?;
        let rows = statement
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Ends what a notice ends in at most `limit` open orders after `after` by row id. The notice
    /// is done when no order is left.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn end_noticed(
        &self,
        notice_rowid: i64,
        after: i64,
        limit: usize,
        now: Timestamp,
    ) -> Result<Ending, DeliveryError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let last_order: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT max(order_rowid) FROM (SELECT order_rowid FROM orders
                 WHERE open_deliveries > 0 AND order_rowid > ?1 ORDER BY order_rowid LIMIT ?2)",
            )?
            .query_row(params![after, limit], |r| r.get(0))?;
        let Some(last) = last_order else {
            self.db.execute(
                "UPDATE notices SET applied_at_ms = ?2 WHERE notice_rowid = ?1",
                params![notice_rowid, now.as_millisecond()],
            )?;
            return Ok(Ending {
                last_order: None,
                ended: 0,
            });
        };
        let filter = "n.notice_rowid = ?1 AND w.open_deliveries > 0
             AND w.order_rowid > ?2 AND w.order_rowid <= ?3";
        let ended = self.end(filter, params![notice_rowid, after, last], now)?;
        Ok(Ending { last_order, ended })
    }

    /// Ends what any notice ends in an order that has just come in.
    pub(super) fn end_in_order(
        &self,
        order_rowid: i64,
        now: Timestamp,
    ) -> Result<usize, DeliveryError> {
        self.end("w.order_rowid = ?1", params![order_rowid], now)
    }

    fn end(
        &self,
        filter: &str,
        params: impl rusqlite::Params,
        now: Timestamp,
    ) -> Result<usize, DeliveryError> {
        let mut statement = self.db.prepare_cached(&format!("{ENDING}{filter}"))?;
        let ending: Vec<i64> = statement
            .query_map(params, |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for delivery in &ending {
            self.apply(*delivery, &Change::Retired, now)?;
        }
        Ok(ending.len())
    }

    /// The destinations that were retired, by row id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn retired_destinations(&self) -> Result<Vec<i64>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT DISTINCT t.destination_rowid FROM destinations t
             JOIN notices n ON n.destination_id = t.destination_id AND n.uri = t.uri
             WHERE n.bundle_id IS NULL",
        )?;
        let rows = statement
            .query_map([], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}
