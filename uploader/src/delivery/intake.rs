//! Orders coming in: one order becomes objects, parcels and deliveries in one transaction.

use evidence::digest::Sha256;
use evidence::handover::{Order, Role};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::error::DeliveryError;
use super::ledger::Ledger;
use super::row::signed;

/// What became of an order file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// Its deliveries are new.
    New,
    /// It was imported before.
    Known,
    /// It was finished and is there again: the agent lacks receipts, so they are issued again.
    Reopened,
    /// Its id is known with other bytes; orders are immutable, so this one is not believed.
    Differs,
}

impl Ledger {
    /// Whether the order was imported, and not yet finished: then its file need not be read.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_in_work(&self, order_id: &str) -> Result<bool, DeliveryError> {
        Ok(self
            .db
            .prepare_cached("SELECT 1 FROM orders WHERE order_id = ?1 AND finished_at_ms IS NULL")?
            .exists([order_id])?)
    }

    /// Takes in an order whose file has the digest `sha256`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn import(
        &self,
        order: &Order,
        sha256: Sha256,
        now: Timestamp,
    ) -> Result<Imported, DeliveryError> {
        let known: Option<(i64, [u8; 32], bool)> = self
            .db
            .prepare_cached(
                "SELECT order_rowid, sha256, finished_at_ms IS NOT NULL FROM orders WHERE order_id = ?1",
            )?
            .query_row([&order.order_id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()?;
        if let Some((rowid, before, finished)) = known {
            if before != *sha256.as_bytes() {
                return Ok(Imported::Differs);
            }
            if !finished {
                return Ok(Imported::Known);
            }
            self.db.execute(
                "UPDATE orders SET finished_at_ms = NULL WHERE order_rowid = ?1",
                [rowid],
            )?;
            self.reissue(rowid)?;
            return Ok(Imported::Reopened);
        }
        self.insert_order(order, sha256, now)?;
        Ok(Imported::New)
    }

    /// Everything that was in the outbox is taken in: from now on what comes is new, unless its date
    /// is older than this database.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn first_scan_ended(&self, now: Timestamp) -> Result<(), DeliveryError> {
        self.db
            .prepare_cached(
                "UPDATE birth SET first_scan_ended_at_ms = ?1 WHERE first_scan_ended_at_ms IS NULL",
            )?
            .execute([now.as_millisecond()])?;
        Ok(())
    }

    fn insert_order(
        &self,
        order: &Order,
        sha256: Sha256,
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        let created_at_ms = order.created_at.as_millisecond();
        self.db
            .prepare_cached(
                "INSERT INTO orders (order_id, sha256, created_at_ms, imported_at_ms) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![order.order_id, sha256.as_bytes(), created_at_ms, now.as_millisecond()])?;
        let order_rowid = self.db.last_insert_rowid();
        let look_first: bool = self
            .db
            .prepare_cached(
                "SELECT first_scan_ended_at_ms IS NULL OR created_at_ms > ?1 FROM birth",
            )?
            .query_row([created_at_ms], |r| r.get(0))?;
        let mut destinations = Vec::with_capacity(order.destinations.len());
        for destination in &order.destinations {
            let rowid =
                self.ensure_destination(&destination.destination_id, &destination.uri, now)?;
            destinations.push((rowid, destination.retention_days));
        }
        let mut insert_object = self.db.prepare_cached(
            "INSERT INTO objects (order_rowid, bundle_id, role, path, size_bytes, sha256)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let mut insert_parcel = self.db.prepare_cached(
            "INSERT INTO parcels (order_rowid, destination_rowid, bundle_id, sequence, due_at_ms)
             VALUES (?1, ?2, ?3, ?4, 0) ON CONFLICT DO NOTHING",
        )?;
        let mut find_parcel = self.db.prepare_cached(
            "SELECT parcel_rowid FROM parcels
             WHERE order_rowid = ?1 AND destination_rowid = ?2 AND bundle_id = ?3",
        )?;
        let mut insert_delivery = self.db.prepare_cached(
            "INSERT INTO deliveries (parcel_rowid, object_rowid, is_marker, retention_days, look_first)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for object in &order.objects {
            insert_object.execute(params![
                order_rowid,
                object.bundle_id,
                object.role.as_str(),
                object.path,
                signed(object.size_bytes),
                object.sha256.as_bytes(),
            ])?;
            let object_rowid = self.db.last_insert_rowid();
            for (destination_rowid, retention_days) in &destinations {
                let sequence = signed(object.sequence);
                insert_parcel.execute(params![
                    order_rowid,
                    destination_rowid,
                    object.bundle_id,
                    sequence
                ])?;
                let parcel_rowid: i64 = find_parcel.query_row(
                    params![order_rowid, destination_rowid, object.bundle_id],
                    |r| r.get(0),
                )?;
                let is_marker = object.role == Role::Bundle;
                insert_delivery.execute(params![
                    parcel_rowid,
                    object_rowid,
                    is_marker,
                    retention_days,
                    look_first
                ])?;
            }
        }
        self.end_in_order(order_rowid, now)?;
        Ok(())
    }

    /// Remembers a file in the outbox that is not an order; `true` when that is news.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn note_unreadable(
        &self,
        name: &str,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, DeliveryError> {
        let changed = self.db.execute(
            "INSERT INTO unreadable_orders (name, message, first_seen_at_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET message = excluded.message WHERE message <> excluded.message",
            params![name, message, now.as_millisecond()],
        )?;
        Ok(changed > 0)
    }

    /// The files remembered by [`Ledger::note_unreadable`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unreadable_names(&self) -> Result<Vec<String>, DeliveryError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT name FROM unreadable_orders")?;
        let names = statement
            .query_map([], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(names)
    }

    /// Forgets such a file: it is gone, or an order now.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn forget_unreadable(&self, name: &str) -> Result<(), DeliveryError> {
        self.db
            .execute("DELETE FROM unreadable_orders WHERE name = ?1", [name])?;
        Ok(())
    }
}
