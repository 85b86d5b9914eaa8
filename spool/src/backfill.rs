//! Orders for bundles that were sealed before a destination was added.

use evidence::digest::Sha256;
use evidence::handover::{Order, OrderedObject, Role};
use jiff::civil::Date;
use rusqlite::params;

use crate::group::insert_order;
use crate::publish::read_bundle;
use crate::{Spool, SpoolError};

/// With one bundle's artifacts more than so many, an order is still far below its largest size.
const ORDER_OBJECTS: usize = 4096;

/// Bundles of one chain that were never ordered for a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unordered {
    /// Their rows.
    pub bundle_rowids: Vec<i64>,
    /// Their objects, in the order of upload.
    pub objects: Vec<OrderedObject>,
    /// Their chain.
    pub chain_id: String,
    /// The sequence of the first.
    pub first_sequence: u64,
}

impl Spool {
    /// The next bundles after the row `after`, oldest first and at most `limit`, that were not ordered for this
    /// destination, neither when they were sealed nor since. `None` when there is none left. Those whose
    /// artifacts are not on this host any more are passed over, see [`Spool::not_here`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unordered(
        &self,
        destination_id: &str,
        since: Option<Date>,
        after: i64,
        limit: usize,
    ) -> Result<Option<Unordered>, SpoolError> {
        let since = since.map_or_else(String::new, |date| date.to_string());
        let mut statement = self.reader.db.prepare_cached(
            "SELECT b.*, c.chain_id FROM bundle b JOIN chain c USING (chain_rowid)
             WHERE b.bundle_rowid > ?4 AND b.generated_at >= ?2
             AND NOT EXISTS (SELECT 1 FROM json_each(CAST(b.bytes AS TEXT), '$.storage_locations') p
               WHERE json_extract(p.value, '$.destination_id') = ?1)
             AND NOT EXISTS (SELECT 1 FROM backfill f WHERE f.bundle_rowid = b.bundle_rowid
               AND f.destination_id = ?1)
             AND NOT EXISTS (SELECT 1 FROM pruned JOIN artifact USING (bundle_rowid)
               WHERE bundle_rowid = b.bundle_rowid)
             ORDER BY b.bundle_rowid LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![destination_id, since, limit, after])?;
        let mut found = Unordered::default();
        while let Some(row) = rows.next()? {
            let chain_id: String = row.get("chain_id")?;
            let bundle = read_bundle(row)?;
            if found.bundle_rowids.is_empty() {
                found.chain_id = chain_id;
                found.first_sequence = bundle.sequence;
            } else if found.chain_id != chain_id || found.objects.len() >= ORDER_OBJECTS {
                break;
            }
            let object = |role, path: String, size_bytes, sha256| OrderedObject {
                bundle_id: bundle.bundle_id.to_string(),
                sequence: bundle.sequence,
                role,
                path,
                size_bytes,
                sha256,
            };
            for artifact in self.artifacts(bundle.bundle_rowid)? {
                let (size_bytes, sha256) = (artifact.size_bytes, artifact.sha256);
                found
                    .objects
                    .push(object(Role::Artifact, artifact.path, size_bytes, sha256));
            }
            found.objects.push(object(
                Role::Signature,
                format!("{}.bundle", bundle.path),
                bundle.signature.len() as u64,
                Sha256::of(&bundle.signature),
            ));
            found.objects.push(object(
                Role::Bundle,
                bundle.path.clone(),
                bundle.bytes.len() as u64,
                bundle.sha256,
            ));
            found.bundle_rowids.push(bundle.bundle_rowid);
        }
        Ok((!found.bundle_rowids.is_empty()).then_some(found))
    }

    /// Bundles that [`Spool::unordered`] passes over, since their artifacts were pruned: how many.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn not_here(&self, destination_id: &str, since: Option<Date>) -> Result<u64, SpoolError> {
        let since = since.map_or_else(String::new, |date| date.to_string());
        let n: i64 = self.reader.db.query_row(
            "SELECT count(*) FROM bundle b
             WHERE b.generated_at >= ?2
             AND EXISTS (SELECT 1 FROM pruned JOIN artifact USING (bundle_rowid)
               WHERE bundle_rowid = b.bundle_rowid)
             AND NOT EXISTS (SELECT 1 FROM confirmation c WHERE c.bundle_rowid = b.bundle_rowid
               AND c.destination_id = ?1)",
            params![destination_id, since],
            |row| row.get(0),
        )?;
        Ok(u64::try_from(n).unwrap_or(0))
    }

    /// Commits an order for bundles of earlier orders, to its one destination. Their files must be there:
    /// none of them counts as pruned from then on.
    ///
    /// # Errors
    /// When the database refuses; nothing was ordered then.
    pub fn backfill(&mut self, order: &Order, bundle_rowids: &[i64]) -> Result<(), SpoolError> {
        let [destination] = order.destinations.as_slice() else {
            return Err(SpoolError::Chain(
                "a backfill goes to one destination".to_owned(),
            ));
        };
        let tx = self.reader.db.transaction()?;
        let order_rowid = insert_order(&tx, order)?;
        for bundle_rowid in bundle_rowids {
            tx.prepare_cached(
                "INSERT INTO backfill (bundle_rowid, destination_id, order_rowid, retention_days)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                bundle_rowid,
                destination.destination_id,
                order_rowid,
                destination.retention_days
            ])?;
            tx.prepare_cached("DELETE FROM pruned WHERE bundle_rowid = ?1")?
                .execute([bundle_rowid])?;
        }
        tx.commit()?;
        Ok(())
    }
}
