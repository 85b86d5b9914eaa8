//! Group commit: many waiting drops, one transaction, one fsync.
//!
//! The group is checked against the chain's head inside the transaction, so that no fault above
//! this line can leave a gap or a fork: either all of the group attaches, or none of it is there.

use evidence::bundle::{ChainPosition, Kind, SealedBundle};
use evidence::chain::Head;
use evidence::digest::Sha256;
use evidence::handover::{Notice, Order, OrderedObject, Role};
use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::claimed;
use crate::ending::end_bundle;
use crate::row::{sha256, signed};
use crate::{AppliedRequest, Ended, Named, Spool, SpoolError};

/// A sealed bundle on its way into the spool.
#[derive(Debug, Clone)]
pub struct NewBundle {
    /// Its bytes, signature and place.
    pub sealed: SealedBundle,
    /// What it attests.
    pub kind: Kind,
    /// Its path below the evidence folder.
    pub path: String,
    /// The files that go with it, each path once.
    pub artifacts: Vec<Artifact>,
    /// Of an incident: its id, the keyed digest of its drop, and the drop's token.
    pub source: Option<IncidentSource>,
}

/// A file that goes with a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its path below the evidence folder.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
}

impl NewBundle {
    /// Objects that the order asks for: bundle, signature, artifacts.
    #[must_use]
    pub const fn object_count(&self) -> u64 {
        2 + self.artifacts.len() as u64
    }

    /// The objects that an order asks for, in the order of upload: the artifacts, then the
    /// signature, then the bundle as commit marker.
    #[must_use]
    pub fn objects(&self) -> Vec<OrderedObject> {
        let sealed = &self.sealed;
        let object = |role, path: String, size_bytes, sha256| OrderedObject {
            bundle_id: sealed.bundle_id.to_string(),
            sequence: sealed.position.sequence,
            role,
            path,
            size_bytes,
            sha256,
        };
        let artifacts = self.artifacts.iter();
        let mut objects: Vec<OrderedObject> = artifacts
            .map(|a| object(Role::Artifact, a.path.clone(), a.size_bytes, a.sha256))
            .collect();
        objects.push(object(
            Role::Signature,
            format!("{}.bundle", self.path),
            sealed.signature.len() as u64,
            Sha256::of(&sealed.signature),
        ));
        objects.push(object(
            Role::Bundle,
            self.path.clone(),
            sealed.bytes.len() as u64,
            sealed.position.sha256,
        ));
        objects
    }
}

/// Where an incident bundle came from.
#[derive(Debug, Clone)]
pub struct IncidentSource {
    /// The incident's own id.
    pub incident_id: String,
    /// HMAC of the raw drop.
    pub source_hmac: Sha256,
    /// Names the taken drop.
    pub taken_token: String,
}

/// A drop that was sealed before.
#[derive(Debug, Clone)]
pub struct Duplicate {
    /// Names the taken drop.
    pub taken_token: String,
    /// The bundle that has it.
    pub bundle_rowid: i64,
    /// When it came.
    pub received_at: Timestamp,
}

/// A drop that could not be sealed.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// Names the taken drop.
    pub taken_token: String,
    /// Its name in the quarantine folder.
    pub name: String,
    /// The reason's code.
    pub reason: String,
    /// HMAC of the raw drop, if it could be read.
    pub source_hmac: Option<Sha256>,
    /// When.
    pub at: Timestamp,
}

/// An earlier bundle for the same incident id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its row.
    pub bundle_rowid: i64,
    /// Its name.
    pub bundle_id: String,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// HMAC of the drop it was made from.
    pub source_hmac: Sha256,
    /// The token of that drop.
    pub taken_token: Option<String>,
}

/// Everything that one transaction makes true.
#[derive(Debug, Default)]
pub struct Group {
    /// New bundles, in the order of their sequence.
    pub bundles: Vec<NewBundle>,
    /// The order for their delivery; present when there are bundles.
    pub order: Option<Order>,
    /// Drops that were sealed before.
    pub duplicates: Vec<Duplicate>,
    /// Drops that could not be sealed.
    pub quarantined: Vec<Quarantined>,
    /// The one bundle of the group says an earlier one again.
    pub resealed: Option<Resealed>,
    /// The one bundle of the group is custody, and names these.
    pub named: Option<Named>,
    /// The request that is carried out by it.
    pub applied: Option<AppliedRequest>,
}

/// A bundle that is said again under another name, and where its own deliveries end thereby.
#[derive(Debug)]
pub struct Resealed {
    /// The earlier bundle's row.
    pub old_bundle_rowid: i64,
    /// For each destination where its key is taken.
    pub notices: Vec<Notice>,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who asked.
    pub by: String,
    /// The request that is carried out.
    pub applied: AppliedRequest,
}

impl Spool {
    /// The bundles that an incident id was sealed in, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn seen(&self, incident_id: &str) -> Result<Vec<Seen>, SpoolError> {
        let mut statement = self.reader.db.prepare_cached(
            "SELECT s.bundle_rowid, s.source_hmac, b.bundle_id, b.sha256, b.taken_token
             FROM incident_seen s JOIN bundle b USING (bundle_rowid)
             WHERE s.incident_id = ?1 ORDER BY s.bundle_rowid",
        )?;
        let mut rows = statement.query([incident_id])?;
        let mut seen = Vec::new();
        while let Some(row) = rows.next()? {
            seen.push(Seen {
                bundle_rowid: row.get("bundle_rowid")?,
                bundle_id: row.get("bundle_id")?,
                sha256: sha256(row, "sha256")?,
                source_hmac: sha256(row, "source_hmac")?,
                taken_token: row.get("taken_token")?,
            });
        }
        Ok(seen)
    }

    /// Commits a group: durable when this returns, and not there at all when it fails. Returns what
    /// resealing ended.
    ///
    /// # Errors
    /// When the group does not attach to the head, or the database refuses (also when the disk is
    /// full; see [`SpoolError::is_disk_full`]).
    pub fn commit(&mut self, group: &Group) -> Result<Ended, SpoolError> {
        let chain_rowid = self.chain_rowid;
        let tx = self.reader.db.transaction()?;
        let head = insert_bundles(&tx, chain_rowid, &self.head, group)?;
        for duplicate in &group.duplicates {
            tx.prepare_cached(
                "INSERT OR IGNORE INTO duplicate (taken_token, bundle_rowid, received_at)
                 VALUES (?1, ?2, ?3)",
            )?
            .execute(params![
                duplicate.taken_token,
                duplicate.bundle_rowid,
                duplicate.received_at.to_string()
            ])?;
        }
        for refused in &group.quarantined {
            tx.prepare_cached(
                "INSERT OR IGNORE INTO quarantined
                   (taken_token, name, reason, source_hmac, quarantined_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                refused.taken_token,
                refused.name,
                refused.reason,
                refused.source_hmac.as_ref().map(Sha256::as_bytes),
                refused.at.to_string()
            ])?;
        }
        if let Some(named) = &group.named {
            named.mark(&tx, chain_rowid)?;
        }
        if let Some(applied) = &group.applied {
            let at = group.order.as_ref().map(|order| order.created_at);
            applied.insert(&tx, at.unwrap_or(Timestamp::UNIX_EPOCH))?;
        }
        let mut ended = Ended::default();
        if let Some(resealed) = &group.resealed {
            let now = group
                .order
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |o| o.created_at);
            for notice in &resealed.notices {
                end_bundle(&tx, resealed.old_bundle_rowid, notice, &mut ended, now)?;
            }
            tx.execute(
                "INSERT INTO reseal (old_bundle_rowid, new_bundle_rowid, reason, resealed_by)
                 VALUES (?1, (SELECT max(bundle_rowid) FROM bundle), ?2, ?3)",
                params![resealed.old_bundle_rowid, resealed.reason, resealed.by],
            )?;
            resealed.applied.insert(&tx, now)?;
        }
        tx.commit()?;
        self.head = head;
        Ok(ended)
    }
}

fn insert_bundles(
    tx: &Transaction<'_>,
    chain_rowid: i64,
    head: &Head,
    group: &Group,
) -> Result<Head, SpoolError> {
    if group.bundles.is_empty() {
        return Ok(head.clone());
    }
    let order = group
        .order
        .as_ref()
        .ok_or_else(|| SpoolError::Chain("bundles without an order".to_owned()))?;
    let order_rowid = insert_order(tx, order)?;
    let mut head = head.clone();
    for new in &group.bundles {
        attaches(&head, &new.sealed.position)?;
        insert_bundle(tx, chain_rowid, order_rowid, new)?;
        head = Head::At(new.sealed.position.clone());
    }
    Ok(head)
}

fn attaches(head: &Head, position: &ChainPosition) -> Result<(), SpoolError> {
    if position.chain_id == head.chain_id() && position.sequence == head.sequence() + 1 {
        return Ok(());
    }
    Err(SpoolError::Chain(format!(
        "the head is {} of {}, the bundle claims {} of {}",
        head.sequence(),
        head.chain_id(),
        position.sequence,
        position.chain_id
    )))
}

pub(crate) fn insert_order(tx: &Transaction<'_>, order: &Order) -> Result<i64, SpoolError> {
    let outstanding = order.objects.len() * order.destinations.len();
    tx.prepare_cached(
        "INSERT INTO work_order (order_id, created_at, body, outstanding) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        order.order_id,
        order.created_at.to_string(),
        order.to_bytes(),
        signed(outstanding as u64)
    ])?;
    Ok(tx.last_insert_rowid())
}

pub(crate) fn insert_bundle(
    tx: &Transaction<'_>,
    chain_rowid: i64,
    order_rowid: i64,
    new: &NewBundle,
) -> Result<(), SpoolError> {
    let sealed = &new.sealed;
    tx.prepare_cached(
        "INSERT INTO bundle (chain_rowid, sequence, bundle_id, kind, generated_at, sha256, path,
           bytes, signature, object_count, order_rowid, taken_token)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        chain_rowid,
        signed(sealed.position.sequence),
        sealed.bundle_id.to_string(),
        new.kind.as_str(),
        format!("{:.6}", sealed.generated_at),
        sealed.position.sha256.as_bytes(),
        new.path,
        sealed.bytes,
        sealed.signature,
        signed(new.object_count()),
        order_rowid,
        new.source.as_ref().map(|s| s.taken_token.as_str()),
    ])?;
    let bundle_rowid = tx.last_insert_rowid();
    // The counter follows the name: never back, and a gap in numbers is no gap in the chain.
    tx.prepare_cached(
        "INSERT INTO day_number (day, last_number) VALUES (?1, ?2)
         ON CONFLICT (day) DO UPDATE SET last_number = max(last_number, excluded.last_number)",
    )?
    .execute(params![
        sealed.bundle_id.day().to_string(),
        signed(sealed.bundle_id.number())
    ])?;
    for artifact in &new.artifacts {
        tx.prepare_cached(
            "INSERT INTO artifact (bundle_rowid, path, size_bytes, sha256) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            bundle_rowid,
            artifact.path,
            signed(artifact.size_bytes),
            artifact.sha256.as_bytes()
        ])?;
    }
    if let Some(source) = &new.source {
        tx.prepare_cached(
            "INSERT INTO incident_seen (incident_id, source_hmac, bundle_rowid) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![source.incident_id, source.source_hmac.as_bytes(), bundle_rowid])?;
        claimed::learn(tx, bundle_rowid, &sealed.bytes)?;
    }
    Ok(())
}
