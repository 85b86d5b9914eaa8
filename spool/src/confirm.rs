//! Receipts, matched with what the agent itself sealed and ordered.
//!
//! The uploader is on the network, so nothing it says is taken on trust: a confirmation counts
//! only for an object that this spool ordered, at a destination that the order names, with the
//! digest and size that were sealed, under COMPLIANCE, and locked for at least as long as asked.

use std::collections::{BTreeSet, HashMap};

use evidence::bundle::{Kind, OBJECT_LOCK_MODE};
use evidence::handover::{Confirmation, Order, Proof, Role};
use evidence::ijson::is_unsafe_to_show;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::ending::is_ended;
use crate::row::signed;
use crate::{Spool, SpoolError};

/// What a receipt changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Confirmations that were new.
    pub accepted: usize,
    /// Confirmations that were known already.
    pub known: usize,
    /// Confirmations that are not believed.
    pub refused: Vec<Refused>,
    /// Of the new ones, how many were of an incident's bundle, and wait for custody.
    pub incidents: usize,
    /// Bundles whose locations are to be published.
    pub bundles: BTreeSet<i64>,
    /// Orders that are complete: their files can go.
    pub completed: BTreeSet<String>,
}

/// A confirmation that is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its index in the receipt.
    pub index: usize,
    /// Why; a fixed phrase, never the uploader's text.
    pub reason: &'static str,
}

struct OpenOrder {
    order_rowid: i64,
    order: Order,
    newly_confirmed: u64,
}

impl Spool {
    /// Applies one receipt's confirmations in one transaction. Applying it again changes nothing.
    ///
    /// # Errors
    /// When the database refuses; nothing has been applied then.
    pub fn confirm(
        &mut self,
        confirmations: &[Confirmation],
        now: Timestamp,
    ) -> Result<Applied, SpoolError> {
        let tx = self.reader.db.transaction()?;
        let mut orders: HashMap<String, Option<OpenOrder>> = HashMap::new();
        let mut applied = Applied::default();
        for (index, confirmation) in confirmations.iter().enumerate() {
            let id = &confirmation.order_id;
            if !orders.contains_key(id) {
                orders.insert(id.clone(), open_order(&tx, id)?);
            }
            let Some(open) = orders.get_mut(id).and_then(Option::as_mut) else {
                // A crash may have come between an earlier commit and what follows it, so what is
                // known is published again, and a finished order's file goes again.
                match recorded(&tx, confirmation)? {
                    Some(bundle_rowid) => {
                        applied.known += 1;
                        applied.bundles.insert(bundle_rowid);
                        if is_complete(&tx, id)? {
                            applied.completed.insert(id.clone());
                        }
                    }
                    None => {
                        applied.refused.push(Refused {
                            index,
                            reason: "no open order of that id",
                        });
                    }
                }
                continue;
            };
            match believable(&open.order, confirmation) {
                Err(reason) => applied.refused.push(Refused { index, reason }),
                Ok(role) => record(&tx, role, confirmation, open, &mut applied)?,
            }
        }
        for open in orders.values().flatten() {
            if complete(&tx, open, now)? {
                applied.completed.insert(open.order.order_id.clone());
            }
        }
        tx.commit()?;
        Ok(applied)
    }
}

fn open_order(tx: &Transaction<'_>, order_id: &str) -> Result<Option<OpenOrder>, SpoolError> {
    let found: Option<(i64, Vec<u8>)> = tx
        .prepare_cached(
            "SELECT order_rowid, body FROM work_order WHERE order_id = ?1 AND completed_at IS NULL",
        )?
        .query_row([order_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found
        .map(|(order_rowid, body)| {
            let order = Order::parse(&body)
                .map_err(|_| SpoolError::Damaged(format!("the body of order {order_id}")))?;
            Ok(OpenOrder {
                order_rowid,
                order,
                newly_confirmed: 0,
            })
        })
        .transpose()
}

fn believable(order: &Order, said: &Confirmation) -> Result<Role, &'static str> {
    let object = order
        .objects
        .iter()
        .find(|o| o.path == said.path && o.bundle_id == said.bundle_id)
        .ok_or("the order has no such object")?;
    let destination = order
        .destinations
        .iter()
        .find(|d| d.destination_id == said.destination_id)
        .ok_or("the order has no such destination")?;
    if said.sha256 != object.sha256 || said.size_bytes != object.size_bytes {
        return Err("the digest or size is not what was sealed");
    }
    if said.uri != format!("{}{}", destination.uri, object.path) {
        return Err("the URI is not where the order sent it");
    }
    if said.object_lock_mode != OBJECT_LOCK_MODE {
        return Err("the lock is not COMPLIANCE");
    }
    // S3's are at most 1,024 bytes and "URL-ready"; whatever is written here is shown to people.
    let plain = |text: &str| !text.contains(is_unsafe_to_show);
    if said.version_id.is_empty() || said.version_id.len() > 1024 || !plain(&said.version_id) {
        return Err("the version id is empty, too long or not plain");
    }
    if !said.etag.as_deref().is_none_or(plain) {
        return Err("the ETag is not plain");
    }
    // The store's date when it was read back is later than its date at upload, from which the
    // retention was counted, by however long the confirmation took: the uploader's margin covers
    // that, and a day is allowed on top.
    let asked = SignedDuration::from_hours(24 * (i64::from(destination.retention_days) - 1));
    if said.retain_until.duration_since(said.server_date) < asked {
        return Err("the lock ends too early");
    }
    Ok(object.role)
}

fn recorded(tx: &Transaction<'_>, said: &Confirmation) -> Result<Option<i64>, SpoolError> {
    Ok(tx
        .prepare_cached(
            "SELECT c.bundle_rowid FROM confirmation c JOIN bundle b USING (bundle_rowid)
             WHERE b.bundle_id = ?1 AND c.destination_id = ?2 AND c.path = ?3 AND c.sha256 = ?4",
        )?
        .query_row(
            params![
                said.bundle_id,
                said.destination_id,
                said.path,
                said.sha256.as_bytes()
            ],
            |row| row.get(0),
        )
        .optional()?)
}

pub(crate) fn is_complete(tx: &rusqlite::Connection, order_id: &str) -> Result<bool, SpoolError> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM work_order WHERE order_id = ?1 AND completed_at IS NOT NULL",
        )?
        .exists([order_id])?)
}

fn record(
    tx: &Transaction<'_>,
    role: Role,
    said: &Confirmation,
    open: &mut OpenOrder,
    applied: &mut Applied,
) -> Result<(), SpoolError> {
    let (bundle_rowid, kind): (i64, String) = tx
        .prepare_cached("SELECT bundle_rowid, kind FROM bundle WHERE bundle_id = ?1")?
        .query_row([&said.bundle_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let attested_by: Option<Option<i64>> = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO confirmation (bundle_rowid, destination_id, path, role, uri,
               version_id, etag, sha256, size_bytes, proof, retain_until, server_date, confirmed_at,
               attested_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
               (SELECT attested_by FROM attested_before WHERE bundle_rowid = ?1
                  AND destination_id = ?2 AND path = ?3 AND version_id = ?6))
             RETURNING attested_by",
        )?
        .query_row(
            params![
                bundle_rowid,
                said.destination_id,
                said.path,
                role.as_str(),
                said.uri,
                said.version_id,
                said.etag
                    .as_deref()
                    .map(|e| e.chars().take(256).collect::<String>()),
                said.sha256.as_bytes(),
                signed(said.size_bytes),
                proof_name(said.proof),
                said.retain_until.to_string(),
                said.server_date.to_string(),
                said.confirmed_at.to_string(),
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(attested_by) = attested_by else {
        applied.known += 1;
        applied.bundles.insert(bundle_rowid);
        return Ok(());
    };
    applied.accepted += 1;
    if role == Role::Bundle && kind == Kind::Incident.as_str() && attested_by.is_none() {
        applied.incidents += 1;
    }
    applied.bundles.insert(bundle_rowid);
    // What was ended is taken off already, and is good to know all the same.
    if !is_ended(tx, bundle_rowid, &said.destination_id)? {
        open.newly_confirmed += 1;
    }
    Ok(())
}

/// Takes the new confirmations off what the order still waits for; true when nothing is left.
fn complete(tx: &Transaction<'_>, open: &OpenOrder, now: Timestamp) -> Result<bool, SpoolError> {
    if open.newly_confirmed == 0 {
        return Ok(false);
    }
    let outstanding: i64 = tx
        .prepare_cached(
            "UPDATE work_order SET
               completed_at = CASE WHEN outstanding = ?2 THEN ?3 END,
               body = CASE WHEN outstanding = ?2 THEN NULL ELSE body END,
               outstanding = outstanding - ?2
             WHERE order_rowid = ?1 RETURNING outstanding",
        )?
        .query_row(
            params![
                open.order_rowid,
                signed(open.newly_confirmed),
                now.to_string()
            ],
            |row| row.get(0),
        )?;
    Ok(outstanding == 0)
}

pub(crate) const fn proof_name(proof: Proof) -> &'static str {
    match proof {
        Proof::ServerSha256 => "server_sha256",
        Proof::EtagMd5 => "etag_md5",
        Proof::ReadBack => "read_back",
    }
}

pub(crate) fn proof_from(name: &str) -> Option<Proof> {
    [Proof::ServerSha256, Proof::EtagMd5, Proof::ReadBack]
        .into_iter()
        .find(|p| proof_name(*p) == name)
}
