//! A spool made anew from signed bundles, when the old one is destroyed.
//!
//! Everything in it is proven by a signature or can be proven again: bundles and what follows from
//! them are inserted, nothing is called confirmed, and all of it is ordered once more, so that the
//! uploader looks at each key and adopts what is stored and locked. The new file is whole and durable
//! before the caller lets it take the old one's place.

use std::collections::BTreeMap;
use std::path::Path;

use evidence::bundle::{
    BundleId, ChainPosition, ChainStart, Kind, Missing, PlannedLocation, SealedBundle,
    VerifiedBundle, artifact_path,
};
use evidence::custody::Custody;
use evidence::digest::Sha256;
use evidence::handover::{Notice, Order, OrderedDestination};
use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::custody::insert_custody;
use crate::ending::{end_bundle, end_in_order, insert_notice, next_open_order};
use crate::group::{insert_bundle, insert_order};
use crate::open::configure;
use crate::reader::Reader;
use crate::{Artifact, Ended, IncidentSource, NewBundle, Spool, SpoolError, schema};

/// A signed bundle that was found.
#[derive(Debug, Clone)]
pub struct FoundBundle {
    /// `EB-….json`.
    pub bytes: Vec<u8>,
    /// `EB-….json.bundle`.
    pub signature: Vec<u8>,
    /// Proven with the host's key.
    pub verified: VerifiedBundle,
}

/// A new spool on its way.
pub struct Rebuild {
    spool: Spool,
    chains: BTreeMap<String, i64>,
    rowids: BTreeMap<Sha256, i64>,
    machine: Sha256,
    now: Timestamp,
}

impl Rebuild {
    /// Begins a new file at `path`, where nothing may be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(path: &Path, machine: Sha256, now: Timestamp) -> Result<Self, SpoolError> {
        let mut db = rusqlite::Connection::open(path)?;
        configure(&db)?;
        schema::migrate(&mut db)?;
        Ok(Self {
            spool: Spool::without_chain(Reader { db }),
            chains: BTreeMap::new(),
            rowids: BTreeMap::new(),
            machine,
            now,
        })
    }

    /// Adds bundles of one chain, in the order of their sequence, and one order for each plan that
    /// they have. A bundle whose name is taken by another of this spool is left out and returned.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn add(&mut self, found: &[FoundBundle]) -> Result<Vec<String>, SpoolError> {
        let mut left_out = Vec::new();
        let mut new = Vec::new();
        for bundle in found {
            let header = bundle.verified.header();
            let id: BundleId = header
                .bundle_id
                .parse()
                .map_err(|_| SpoolError::Damaged(header.bundle_id.clone()))?;
            let is_taken = self.spool.knows_bundle(&header.bundle_id)?
                || new
                    .iter()
                    .any(|(n, _): &(NewBundle, &FoundBundle)| n.sealed.bundle_id == id);
            if is_taken {
                left_out.push(header.bundle_id.clone());
            } else {
                new.push((new_bundle(bundle, id), bundle));
            }
        }
        // Neighbours with the same plan share an order.
        for group in new.chunk_by(|(_, a), (_, b)| places(a) == places(b)) {
            self.add_group(group)?;
        }
        Ok(left_out)
    }

    fn add_group(&mut self, group: &[(NewBundle, &FoundBundle)]) -> Result<(), SpoolError> {
        let Some((first, found)) = group.first() else {
            return Ok(());
        };
        let header = found.verified.header();
        let chain_rowid = self.chain(found)?;
        let destinations = places(found);
        let order = Order {
            order_version: 1,
            order_id: format!(
                "{}-{:012}",
                header.chain.chain_id, first.sealed.position.sequence
            ),
            client_id: header.client_id.clone(),
            host_id: header.host_id.clone(),
            chain_id: header.chain.chain_id.clone(),
            // Older than the delivery.db that will take it up, so each key is looked at first.
            created_at: header.generated_at.min(self.now),
            destinations: destinations.clone(),
            objects: group.iter().flat_map(|(new, _)| new.objects()).collect(),
        };
        let tx = self.spool.reader.db.transaction()?;
        for destination in &destinations {
            tx.execute(
                "INSERT OR IGNORE INTO destination (destination_id, uri, first_used_at)
                 VALUES (?1, ?2, ?3)",
                params![
                    destination.destination_id,
                    destination.uri,
                    order.created_at.to_string()
                ],
            )?;
        }
        let order_rowid = insert_order(&tx, &order)?;
        for (new, found) in group {
            insert_bundle(&tx, chain_rowid, order_rowid, new)?;
            let rowid = tx.query_row(
                "SELECT bundle_rowid FROM bundle WHERE bundle_id = ?1",
                [new.sealed.bundle_id.to_string()],
                |row| row.get::<_, i64>(0),
            )?;
            if let Some(reseals) = &found.verified.header().reseals
                && let Some(old) = self.rowids.get(&reseals.sha256)
            {
                tx.execute(
                    "INSERT INTO reseal (old_bundle_rowid, new_bundle_rowid, reason, resealed_by)
                     VALUES (?1, ?2, 'found when the spool was rebuilt', 'fsck --rebuild')",
                    [*old, rowid],
                )?;
            }
            self.rowids.insert(new.sealed.position.sha256, rowid);
            if let Some(custody) = stated(found) {
                remember(&tx, rowid, chain_rowid, &custody)?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// The row of a chain, made when its first bundle comes.
    fn chain(&mut self, first: &FoundBundle) -> Result<i64, SpoolError> {
        let header = first.verified.header();
        let link = &header.chain;
        if let Some(rowid) = self.chains.get(&link.chain_id) {
            return Ok(*rowid);
        }
        let predecessor = link.predecessor.as_ref();
        let began = link.began.as_ref();
        let because = began.map_or(ChainStart::First, |began| began.because);
        let missing = began.filter(|began| !began.missing.is_empty());
        self.spool.reader.db.execute(
            "INSERT INTO chain (chain_id, machine_sha256, started_at, started_because,
               predecessor_chain_id, predecessor_sequence, predecessor_sha256, missing)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                link.chain_id,
                self.machine.as_bytes(),
                header.generated_at.to_string(),
                because.as_str(),
                predecessor.map(|p| p.chain_id.as_str()),
                predecessor.map(|p| crate::row::signed(p.sequence)),
                predecessor.map(|p| p.sha256.as_bytes()),
                missing.map(|b| serde_json::to_string(&b.missing).unwrap_or_default()),
            ],
        )?;
        let rowid = self.spool.reader.db.last_insert_rowid();
        self.chains.insert(link.chain_id.clone(), rowid);
        Ok(rowid)
    }

    /// Ends the deliveries that a notice had ended, and keeps it.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn notice(&mut self, notice: &Notice) -> Result<(), SpoolError> {
        let id = &notice.destination_id;
        let mut ended = Ended::default();
        let tx = self.spool.reader.db.transaction()?;
        match &notice.bundle {
            Some(bundle) => {
                let rowid = tx.query_row(
                    "SELECT b.bundle_rowid FROM bundle b JOIN chain c USING (chain_rowid)
                     WHERE b.bundle_id = ?1 AND c.chain_id = ?2
                     AND EXISTS (SELECT 1 FROM destination WHERE destination_id = ?3)",
                    params![bundle.bundle_id, bundle.chain_id, id],
                    |row| row.get::<_, i64>(0),
                );
                match rowid {
                    Ok(rowid) => end_bundle(&tx, rowid, notice, &mut ended, self.now)?,
                    // What it is about was found nowhere.
                    Err(rusqlite::Error::QueryReturnedNoRows) => insert_notice(&tx, notice)?,
                    Err(error) => return Err(error.into()),
                }
            }
            None => {
                let changed = tx.execute(
                    "UPDATE destination SET retired_at = ?2, retired_reason = ?3,
                       retired_by = 'fsck --rebuild'
                     WHERE destination_id = ?1 AND retired_at IS NULL",
                    params![id, notice.created_at.to_string(), notice.reason],
                )?;
                let mut after = 0;
                while changed > 0
                    && let Some(rowid) = next_open_order(&tx, after)?
                {
                    after = rowid;
                    end_in_order(&tx, rowid, id, None, &mut ended, self.now)?;
                }
                insert_notice(&tx, notice)?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// Begins the chain that says what happened, and closes the file, whole and durable.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn finish(
        mut self,
        predecessor: Option<ChainPosition>,
        missing: &[Missing],
    ) -> Result<(), SpoolError> {
        self.spool.start_chain(
            ChainStart::Rebuilt,
            self.machine,
            predecessor,
            missing,
            self.now,
        )?;
        let db = self.spool.reader.db;
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        db.close().map_err(|(_, error)| error)?;
        Ok(())
    }
}

/// What a custody bundle states; nothing, if it only says another one again.
fn stated(found: &FoundBundle) -> Option<Custody> {
    if found.verified.header().reseals.is_some() {
        return None;
    }
    // One that contradicts itself counts for nothing; fsck says so.
    Custody::read(&found.verified).ok()
}

/// What custody has covered and named stays so. Confirmations are not believed again because of it: each
/// is proven anew, and then is known to have been named. What it names was sealed before it, in this chain
/// or an earlier one, and so is in the spool already, if it was found.
fn remember(
    tx: &Transaction<'_>,
    bundle_rowid: i64,
    chain_rowid: i64,
    custody: &Custody,
) -> Result<(), SpoolError> {
    insert_custody(tx, bundle_rowid, chain_rowid, custody.covers)?;
    for entry in &custody.confirmed {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO attested_before
               (bundle_rowid, destination_id, path, version_id, attested_by)
             SELECT b.bundle_rowid, ?3, ?4, ?5, ?6 FROM bundle b JOIN chain n USING (chain_rowid)
             WHERE b.bundle_id = ?1 AND n.chain_id = ?2",
        )?
        .execute(params![
            entry.bundle_id,
            entry.chain_id,
            entry.destination_id,
            entry.object,
            entry.version_id,
            bundle_rowid
        ])?;
    }
    Ok(())
}

/// Where a bundle was planned to go: each place once, without the bundle's own path.
fn places(found: &FoundBundle) -> Vec<OrderedDestination> {
    let header = found.verified.header();
    let path = found.verified.path();
    header
        .storage_locations
        .iter()
        .map(|location: &PlannedLocation| OrderedDestination {
            destination_id: location.destination_id.clone(),
            uri: location
                .uri
                .strip_suffix(&path)
                .unwrap_or(&location.uri)
                .to_owned(),
            object_lock_mode: location.object_lock_mode.clone(),
            retention_days: location.retention_days,
        })
        .collect()
}

fn new_bundle(found: &FoundBundle, id: BundleId) -> NewBundle {
    let header = found.verified.header();
    let path = found.verified.path();
    let mut artifacts: BTreeMap<String, Artifact> = BTreeMap::new();
    for file in found.verified.artifacts() {
        let path = artifact_path(&path, file.sha256, &file.name);
        artifacts.insert(
            path.clone(),
            Artifact {
                path,
                size_bytes: file.size_bytes,
                sha256: file.sha256,
            },
        );
    }
    let document = found.verified.document();
    let text = |pointer| {
        document
            .pointer(pointer)
            .and_then(serde_json::Value::as_str)
    };
    let source = match (text("/incident/incident_id"), text("/source/hmac_sha256")) {
        (Some(incident_id), Some(hmac))
            if header.kind == Kind::Incident && header.reseals.is_none() =>
        {
            hmac.parse().ok().map(|source_hmac| IncidentSource {
                incident_id: incident_id.to_owned(),
                source_hmac,
                // Its drop is long gone; the bundle's own name serves.
                taken_token: id.to_string(),
            })
        }
        _ => None,
    };
    NewBundle {
        sealed: SealedBundle {
            bundle_id: id,
            position: ChainPosition {
                chain_id: header.chain.chain_id.clone(),
                sequence: header.chain.sequence,
                sha256: found.verified.sha256(),
            },
            generated_at: header.generated_at,
            bytes: found.bytes.clone(),
            signature: found.signature.clone(),
        },
        kind: header.kind,
        path,
        artifacts: artifacts.into_values().collect(),
        source,
    }
}
