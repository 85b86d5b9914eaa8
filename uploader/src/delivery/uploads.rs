//! Multipart uploads that were begun: what is known of them outlives a crash.
//!
//! The upload's id is committed before its first part is sent, so a part is never sent to an upload
//! that a restart would not find again. An id that is no longer needed moves to the list of
//! abandoned uploads in the same transaction, so that its parts are freed whatever happens next.

use rusqlite::{Row, params};

use super::error::DeliveryError;
use super::ledger::Ledger;
use super::row::{damaged, signed, unsigned};

/// A multipart upload of one delivery, begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The store's id for it.
    pub upload_id: String,
    /// Size in bytes of every part but the last; fixed for this upload.
    pub part_bytes: u64,
}

/// An upload that was given up and may still hold parts at the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbandonedUpload {
    /// Row id.
    pub upload_rowid: i64,
    /// Path below the evidence folder; key without the prefix.
    pub path: String,
    /// The store's id for it.
    pub upload_id: String,
}

impl Ledger {
    /// Records an upload that was begun. Committed before its first part is sent.
    ///
    /// # Errors
    /// When the delivery is not pending, or the database cannot be written.
    pub fn begin_upload(&self, delivery: i64, upload: &Upload) -> Result<(), DeliveryError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE deliveries SET upload_id = ?2, part_bytes = ?3, sent_bytes = 0
                 WHERE delivery_rowid = ?1",
            )?
            .execute(params![
                delivery,
                upload.upload_id,
                signed(upload.part_bytes)
            ])?;
        if changed == 1 {
            Ok(())
        } else {
            Err(damaged("delivery_rowid"))
        }
    }

    /// Records how much the store has of the upload. Parts that were stored end a row of failures,
    /// so attempts are counted anew.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn upload_progressed(&self, delivery: i64, sent_bytes: u64) -> Result<(), DeliveryError> {
        self.db
            .prepare_cached(
                "UPDATE deliveries SET sent_bytes = ?2, attempts = 0
                 WHERE delivery_rowid = ?1 AND upload_id IS NOT NULL",
            )?
            .execute(params![delivery, signed(sent_bytes)])?;
        Ok(())
    }

    /// The upload has ended: the store made an object of it, or does not know it any more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn upload_ended(&self, delivery: i64) -> Result<(), DeliveryError> {
        self.db
            .prepare_cached(
                "UPDATE deliveries SET upload_id = NULL, part_bytes = NULL, sent_bytes = 0
                 WHERE delivery_rowid = ?1 AND upload_id IS NOT NULL",
            )?
            .execute([delivery])?;
        Ok(())
    }

    /// The upload is given up: forgotten here, and to be aborted at the store.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn abandon_upload(&self, delivery: i64) -> Result<(), DeliveryError> {
        self.db
            .prepare_cached(
                "INSERT INTO abandoned_uploads (destination_rowid, path, upload_id)
                 SELECT p.destination_rowid, o.path, d.upload_id
                 FROM deliveries d JOIN parcels p USING (parcel_rowid)
                 JOIN objects o USING (object_rowid)
                 WHERE d.delivery_rowid = ?1 AND d.upload_id IS NOT NULL",
            )?
            .execute([delivery])?;
        self.upload_ended(delivery)
    }

    /// Uploads that are to be aborted at a destination, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn abandoned_uploads(
        &self,
        destination_rowid: i64,
        limit: usize,
    ) -> Result<Vec<AbandonedUpload>, DeliveryError> {
        let mut statement = self.db.prepare_cached(
            "SELECT upload_rowid, path, upload_id FROM abandoned_uploads
             WHERE destination_rowid = ?1 ORDER BY upload_rowid LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![destination_rowid, limit], |r| {
                Ok(AbandonedUpload {
                    upload_rowid: r.get(0)?,
                    path: r.get(1)?,
                    upload_id: r.get(2)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Nothing is left to be done for an abandoned upload.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn forget_abandoned(&self, upload_rowid: i64) -> Result<(), DeliveryError> {
        self.db
            .prepare_cached("DELETE FROM abandoned_uploads WHERE upload_rowid = ?1")?
            .execute([upload_rowid])?;
        Ok(())
    }
}

pub(super) fn read_upload(row: &Row<'_>) -> Result<Option<Upload>, DeliveryError> {
    let Some(upload_id) = row.get("upload_id")? else {
        return Ok(None);
    };
    Ok(Some(Upload {
        upload_id,
        part_bytes: unsigned(row, "part_bytes")?,
    }))
}
