//! From confirmations to receipts, and from receipts to finished orders.

use evidence::handover::Confirmation;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::change::proof_from_name;
use super::error::DeliveryError;
use super::ledger::Ledger;
use super::row::{from_ms, from_secs, must, named, sha256, unsigned};

const CONFIRMATION: &str = "SELECT d.*, o.path, o.size_bytes, o.sha256, p.bundle_id,
    t.destination_id, t.uri, w.order_id
  FROM deliveries d JOIN objects o USING (object_rowid) JOIN parcels p USING (parcel_rowid)
  JOIN destinations t USING (destination_rowid) JOIN orders w ON w.order_rowid = p.order_rowid
  WHERE d.state = 'confirmed' AND ";

impl Ledger {
    /// Confirmations that no receipt carries yet, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unreported(&self, limit: usize) -> Result<Vec<(i64, Confirmation)>, DeliveryError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        confirmations(
            &self.db,
            "d.receipt_rowid IS NULL ORDER BY d.delivery_rowid LIMIT ?1",
            params![limit],
        )
    }

    /// Records which confirmations a written receipt carries.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn reported(
        &self,
        deliveries: &[i64],
        receipt_id: &str,
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        self.db
            .prepare_cached("INSERT INTO receipts (receipt_id, written_at_ms) VALUES (?1, ?2)")?
            .execute(params![receipt_id, now.as_millisecond()])?;
        let receipt_rowid = self.db.last_insert_rowid();
        let mut statement = self
            .db
            .prepare_cached("UPDATE deliveries SET receipt_rowid = ?2 WHERE delivery_rowid = ?1")?;
        for delivery in deliveries {
            statement.execute(params![delivery, receipt_rowid])?;
        }
        Ok(())
    }

    /// Orders with nothing left to deliver that are not finished, after `after` by row id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn complete_orders(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, String)>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT order_rowid, order_id FROM orders
             WHERE finished_at_ms IS NULL AND open_deliveries = 0 AND order_rowid > ?1
             ORDER BY order_rowid LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![after, limit], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Records that the agent has removed the order: it has every receipt.
    ///
    /// # Errors
    /// When something of it is still to be delivered, or the database cannot be written.
    pub fn finish(&self, order_rowid: i64, now: Timestamp) -> Result<(), DeliveryError> {
        self.db
            .prepare_cached("UPDATE orders SET finished_at_ms = ?2 WHERE order_rowid = ?1")?
            .execute(params![order_rowid, now.as_millisecond()])?;
        Ok(())
    }

    /// The receipts that carry this order's confirmations and were written before `before`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn receipts_of(
        &self,
        order_rowid: i64,
        before: Timestamp,
    ) -> Result<Vec<String>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT DISTINCT r.receipt_id FROM parcels p JOIN deliveries d USING (parcel_rowid)
             JOIN receipts r USING (receipt_rowid)
             WHERE p.order_rowid = ?1 AND r.written_at_ms <= ?2",
        )?;
        let rows = statement
            .query_map(params![order_rowid, before.as_millisecond()], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Has this order's confirmations reported again.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn reissue(&self, order_rowid: i64) -> Result<usize, DeliveryError> {
        Ok(self
            .db
            .prepare_cached(
                "UPDATE deliveries SET receipt_rowid = NULL WHERE receipt_rowid IS NOT NULL
                 AND parcel_rowid IN (SELECT parcel_rowid FROM parcels WHERE order_rowid = ?1)",
            )?
            .execute([order_rowid])?)
    }

    /// Removes what is left of some orders that were finished before `before`; the counts stay.
    /// Returns how many were removed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn purge(&self, before: Timestamp, limit: usize) -> Result<usize, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT order_rowid FROM orders WHERE finished_at_ms IS NOT NULL AND finished_at_ms <= ?1
             ORDER BY finished_at_ms LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let orders: Vec<i64> = statement
            .query_map(params![before.as_millisecond(), limit], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for order in &orders {
            for sql in [
                "DELETE FROM events WHERE delivery_rowid IN (SELECT delivery_rowid FROM deliveries
                   JOIN parcels USING (parcel_rowid) WHERE order_rowid = ?1)",
                "DELETE FROM deliveries WHERE parcel_rowid IN
                   (SELECT parcel_rowid FROM parcels WHERE order_rowid = ?1)",
                "DELETE FROM parcels WHERE order_rowid = ?1",
                "DELETE FROM objects WHERE order_rowid = ?1",
                "DELETE FROM orders WHERE order_rowid = ?1",
            ] {
                self.db.prepare_cached(sql)?.execute([order])?;
            }
        }
        if !orders.is_empty() {
            self.db
                .prepare_cached(
                    "DELETE FROM receipts WHERE written_at_ms <= ?1 AND NOT EXISTS
                       (SELECT 1 FROM deliveries d WHERE d.receipt_rowid = receipts.receipt_rowid)",
                )?
                .execute([before.as_millisecond()])?;
        }
        Ok(orders.len())
    }
}

/// The confirmations of a bundle, for [`super::Reader`].
pub(super) fn of_bundle(
    db: &Connection,
    bundle_id: &str,
) -> Result<Vec<Confirmation>, DeliveryError> {
    let rows = confirmations(
        db,
        "p.bundle_id = ?1 ORDER BY t.destination_id, d.delivery_rowid",
        params![bundle_id],
    )?;
    Ok(rows
        .into_iter()
        .map(|(_, confirmation)| confirmation)
        .collect())
}

fn confirmations(
    db: &Connection,
    filter: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<(i64, Confirmation)>, DeliveryError> {
    let mut statement = db.prepare_cached(&format!("{CONFIRMATION}{filter}"))?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get("delivery_rowid")?, read_confirmation(row)?));
    }
    Ok(found)
}

fn read_confirmation(row: &Row<'_>) -> Result<Confirmation, DeliveryError> {
    let path: String = row.get("path")?;
    let place: String = row.get("uri")?;
    Ok(Confirmation {
        order_id: row.get("order_id")?,
        bundle_id: row.get("bundle_id")?,
        uri: format!("{place}{path}"),
        path,
        sha256: sha256(row, "sha256")?,
        size_bytes: unsigned(row, "size_bytes")?,
        destination_id: row.get("destination_id")?,
        version_id: row.get("version_id")?,
        etag: row.get("etag")?,
        proof: named(row, "proof", proof_from_name)?,
        object_lock_mode: "COMPLIANCE".to_owned(),
        retain_until: must(from_secs(row, "locked_until_secs")?, "locked_until_secs")?,
        server_date: must(from_ms(row, "server_date_ms")?, "server_date_ms")?,
        confirmed_at: must(from_ms(row, "confirmed_at_ms")?, "confirmed_at_ms")?,
    })
}
