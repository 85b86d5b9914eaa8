//! Deliveries that an operator ends before they are confirmed: of a retired destination, or of a
//! bundle that was resealed, where its key was taken.
//!
//! What is no longer waited for is taken off what its order waits for, in the same transaction, so
//! that an order is complete exactly when everything that is still wanted is confirmed. A
//! confirmation that comes later is recorded and counts for nothing.

use evidence::handover::{Notice, Order};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::request::Applied;
use crate::row::signed;
use crate::{Spool, SpoolError};

/// What ending deliveries changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Objects that are no longer waited for.
    pub objects: u64,
    /// Orders that are complete thereby: their files can go.
    pub completed: Vec<String>,
}

impl Spool {
    /// Retires a destination for ever: later bundles leave it out, and nothing there is waited for
    /// any more. `applied` makes the answer to the request from what was changed; it is committed
    /// with it.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchDestination`] when it was never used or is retired already; nothing was
    /// changed then.
    pub fn retire(
        &mut self,
        notice: &Notice,
        by: &str,
        applied: impl FnOnce(&Ended) -> Applied,
        now: Timestamp,
    ) -> Result<Ended, SpoolError> {
        let id = &notice.destination_id;
        let tx = self.reader.db.transaction()?;
        let changed = tx.execute(
            "UPDATE destination SET retired_at = ?2, retired_reason = ?3, retired_by = ?4
             WHERE destination_id = ?1 AND retired_at IS NULL",
            params![id, now.to_string(), notice.reason, by],
        )?;
        if changed == 0 {
            return Err(SpoolError::NoSuchDestination(id.clone()));
        }
        let mut ended = Ended::default();
        let mut after = 0_i64;
        while let Some(rowid) = next_open_order(&tx, after)? {
            after = rowid;
            end_in_order(&tx, rowid, id, None, &mut ended, now)?;
        }
        insert_notice(&tx, notice)?;
        applied(&ended).insert(&tx, now)?;
        tx.commit()?;
        Ok(ended)
    }
}

/// Ends what is not confirmed of one bundle at one destination, in whichever orders ask for it.
pub(crate) fn end_bundle(
    tx: &Transaction<'_>,
    bundle_rowid: i64,
    notice: &Notice,
    ended: &mut Ended,
    now: Timestamp,
) -> Result<(), SpoolError> {
    let id = &notice.destination_id;
    let bundle_id: String = tx.query_row(
        "SELECT bundle_id FROM bundle WHERE bundle_rowid = ?1",
        [bundle_rowid],
        |r| r.get(0),
    )?;
    let mut statement = tx.prepare_cached(
        "SELECT order_rowid FROM bundle WHERE bundle_rowid = ?1
         UNION SELECT order_rowid FROM backfill WHERE bundle_rowid = ?1 AND destination_id = ?2",
    )?;
    let orders: Vec<i64> = statement
        .query_map(params![bundle_rowid, id], |r| r.get(0))?
        .collect::<Result<_, _>>()?;
    for order in orders {
        end_in_order(tx, order, id, Some(&bundle_id), ended, now)?;
    }
    tx.execute(
        "INSERT OR IGNORE INTO ended (bundle_rowid, destination_id, ended_at, reason)
         VALUES (?1, ?2, ?3, ?4)",
        params![bundle_rowid, id, now.to_string(), notice.reason],
    )?;
    insert_notice(tx, notice)
}

/// Whether nothing is waited for of this bundle there.
pub(crate) fn is_ended(
    tx: &Transaction<'_>,
    bundle_rowid: i64,
    destination_id: &str,
) -> Result<bool, SpoolError> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM destination WHERE destination_id = ?2 AND retired_at IS NOT NULL
             UNION ALL
             SELECT 1 FROM ended WHERE bundle_rowid = ?1 AND destination_id = ?2",
        )?
        .exists(params![bundle_rowid, destination_id])?)
}

pub(crate) fn next_open_order(tx: &Transaction<'_>, after: i64) -> Result<Option<i64>, SpoolError> {
    Ok(tx
        .prepare_cached(
            "SELECT order_rowid FROM work_order WHERE completed_at IS NULL AND order_rowid > ?1
             ORDER BY order_rowid LIMIT 1",
        )?
        .query_row([after], |r| r.get(0))
        .optional()?)
}

pub(crate) fn end_in_order(
    tx: &Transaction<'_>,
    order_rowid: i64,
    destination_id: &str,
    only_bundle: Option<&str>,
    ended: &mut Ended,
    now: Timestamp,
) -> Result<(), SpoolError> {
    let body: Option<Vec<u8>> = tx
        .prepare_cached(
            "SELECT body FROM work_order WHERE order_rowid = ?1 AND completed_at IS NULL",
        )?
        .query_row([order_rowid], |r| r.get(0))
        .optional()?;
    let Some(body) = body else { return Ok(()) };
    let order = Order::parse(&body)
        .map_err(|_| SpoolError::Damaged(format!("the body of order {order_rowid}")))?;
    if !order
        .destinations
        .iter()
        .any(|d| d.destination_id == destination_id)
    {
        return Ok(());
    }
    let mut waiting = tx.prepare_cached(
        "SELECT 1 FROM bundle b WHERE b.bundle_id = ?1
         AND NOT EXISTS (SELECT 1 FROM confirmation c WHERE c.bundle_rowid = b.bundle_rowid
           AND c.destination_id = ?2 AND c.path = ?3)
         AND NOT EXISTS (SELECT 1 FROM ended e WHERE e.bundle_rowid = b.bundle_rowid
           AND e.destination_id = ?2)",
    )?;
    let mut objects = 0_u64;
    for object in &order.objects {
        if only_bundle.is_none_or(|only| only == object.bundle_id)
            && waiting.exists(params![object.bundle_id, destination_id, object.path])?
        {
            objects += 1;
        }
    }
    if objects == 0 {
        return Ok(());
    }
    let left: i64 = tx
        .prepare_cached(
            "UPDATE work_order SET ended = 1,
               completed_at = CASE WHEN outstanding = ?2 THEN ?3 END,
               body = CASE WHEN outstanding = ?2 THEN NULL ELSE body END,
               outstanding = outstanding - ?2
             WHERE order_rowid = ?1 RETURNING outstanding",
        )?
        .query_row(
            params![order_rowid, signed(objects), now.to_string()],
            |r| r.get(0),
        )?;
    ended.objects += objects;
    if left == 0 {
        ended.completed.push(order.order_id);
    }
    Ok(())
}

pub(crate) fn insert_notice(tx: &Transaction<'_>, notice: &Notice) -> Result<(), SpoolError> {
    tx.execute(
        "INSERT INTO notice (notice_id, body) VALUES (?1, ?2)",
        params![notice.notice_id, notice.to_bytes()],
    )?;
    Ok(())
}
