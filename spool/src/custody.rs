//! What the next custody bundle has to say: everything that was sealed, confirmed and refused and
//! that no earlier one has named.
//!
//! A statement is made from rows, and what it names is marked by the transaction that commits its
//! bundle. So nothing is named twice or never: a crash before that commit leaves everything to be
//! named, and one after it nothing.

use evidence::bundle::{ChainPosition, Kind};
use evidence::custody::{
    CUSTODY_MAX_CONFIRMED, CUSTODY_MAX_OTHERS, CUSTODY_MAX_SEALED, ClockEvent, ConfirmedEntry,
    Covers, DestinationState, DuplicateEntry, IncidentEntry, IndexedIncident, QuarantinedEntry,
    ReportedBy, SealedEntry, Totals,
};
use evidence::digest::Sha256;
use evidence::handover::Role;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use crate::reader::Reader;
use crate::row::{sha256, signed, time, unsigned};
use crate::{Spool, SpoolError};

/// Most jumps of the clock in one statement; a host that has more has other worries.
const MAX_CLOCK_EVENTS: usize = 1000;
/// The index is ended here, so that incidents with long fields never make it too large to seal.
const INDEX_BYTES: usize = 16 << 20;

/// How much one statement may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementLimits {
    /// Entries of what was sealed.
    pub sealed: usize,
    /// Entries of what was confirmed.
    pub confirmed: usize,
    /// Entries of what was refused, and of duplicates.
    pub others: usize,
}

impl Default for StatementLimits {
    fn default() -> Self {
        Self {
            sealed: CUSTODY_MAX_SEALED,
            confirmed: CUSTODY_MAX_CONFIRMED,
            others: CUSTODY_MAX_OTHERS,
        }
    }
}

/// What waits to be said, as far as one custody bundle holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The custody bundle before this one.
    pub previous: Option<ChainPosition>,
    /// Places of the present chain.
    pub covers: Option<Covers>,
    /// The bundles there.
    pub sealed: Vec<SealedEntry>,
    /// Objects whose confirmation no custody bundle has named.
    pub confirmed: Vec<ConfirmedEntry>,
    /// Drops that were refused.
    pub quarantined: Vec<QuarantinedEntry>,
    /// Bundles whose drop came again.
    pub duplicates: Vec<DuplicateEntry>,
    /// Jumps of the clock.
    pub clock_events: Vec<ClockEvent>,
    /// What the spool holds.
    pub totals: Totals,
    /// Every destination.
    pub destinations: Vec<DestinationState>,
    /// The rows that are named by it.
    pub named: Named,
    /// Whether more waits than is named here.
    pub more: bool,
}

/// Rows that a custody bundle names; they are marked by the transaction that commits it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Named {
    /// Places of the present chain.
    pub covers: Option<Covers>,
    confirmations: Vec<(i64, String, String)>,
    quarantined: Vec<String>,
    /// Bundles, by their rows.
    duplicates: Vec<i64>,
    clock_events: Vec<i64>,
}

/// What custody has come to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CustodyState {
    /// The newest custody bundle.
    pub last_bundle_id: Option<String>,
    /// When it was sealed.
    pub last_sealed_at: Option<Timestamp>,
    /// Objects whose confirmation no custody bundle has named yet.
    pub unattested_confirmations: u64,
    /// Bundles of the present chain that no custody bundle covers yet, the newest custody bundle
    /// included.
    pub uncovered_bundles: u64,
}

impl Spool {
    /// What is to be said now, as much of it as the limits allow.
    ///
    /// # Errors
    /// When the database cannot be read, or holds a bundle whose bytes are damaged.
    pub fn statement(&self, limits: &StatementLimits) -> Result<Statement, SpoolError> {
        let mut named = Named::default();
        let sealed = self.uncovered(limits.sealed)?;
        named.covers = match (sealed.first(), sealed.last()) {
            (Some(first), Some(last)) => Some(Covers {
                from_sequence: first.sequence,
                to_sequence: last.sequence,
            }),
            _ => None,
        };
        let confirmed = self.unnamed_confirmations(limits.confirmed, &mut named)?;
        let quarantined = self.unnamed_quarantined(limits.others, &mut named)?;
        let duplicates = self.unnamed_duplicates(limits.others, &mut named)?;
        let clock_events = self.unnamed_clock_events(&mut named)?;
        let more = named
            .covers
            .is_some_and(|covers| covers.to_sequence < self.head().sequence())
            || confirmed.len() >= limits.confirmed
            || quarantined.len() >= limits.others
            || duplicates.len() >= limits.others
            || clock_events.len() >= MAX_CLOCK_EVENTS;
        Ok(Statement {
            previous: self.last_custody()?,
            covers: named.covers,
            sealed,
            confirmed,
            quarantined,
            duplicates,
            clock_events,
            totals: self.totals()?,
            destinations: self.destination_states()?,
            named,
            more,
        })
    }

    /// Notes a jump of the host's clock, for the next custody bundle.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn clock_jumped(&mut self, event: &ClockEvent) -> Result<(), SpoolError> {
        self.reader.db.execute(
            "INSERT INTO clock_event (at, jumped_ms) VALUES (?1, ?2)",
            params![event.at.to_string(), event.jumped_ms],
        )?;
        Ok(())
    }

    /// The bundles of the present chain after the last place that is covered.
    fn uncovered(&self, limit: usize) -> Result<Vec<SealedEntry>, SpoolError> {
        let mut statement = self.reader.db.prepare_cached(
            "SELECT sequence, bundle_id, kind, generated_at, sha256, bytes FROM bundle
             WHERE chain_rowid = ?1 AND sequence >
               (SELECT coalesce(max(to_sequence), 0) FROM custody WHERE chain_rowid = ?1)
             ORDER BY sequence LIMIT ?2",
        )?;
        let mut rows = statement.query(params![self.chain_rowid, limited(limit)])?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        while bytes < INDEX_BYTES
            && let Some(row) = rows.next()?
        {
            let entry = sealed_entry(row)?;
            bytes += entry.incident.as_ref().map_or(0, index_bytes);
            entries.push(entry);
        }
        Ok(entries)
    }

    fn unnamed_confirmations(
        &self,
        limit: usize,
        named: &mut Named,
    ) -> Result<Vec<ConfirmedEntry>, SpoolError> {
        let mut statement = self.reader.db.prepare_cached(
            "SELECT c.*, b.bundle_id, b.sequence, n.chain_id
             FROM confirmation c JOIN bundle b USING (bundle_rowid) JOIN chain n USING (chain_rowid)
             WHERE c.attested_by IS NULL
             ORDER BY c.bundle_rowid, c.destination_id, c.path LIMIT ?1",
        )?;
        let mut rows = statement.query([limited(limit)])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let role: String = row.get("role")?;
            let object: String = row.get("path")?;
            let destination_id: String = row.get("destination_id")?;
            named.confirmations.push((
                row.get("bundle_rowid")?,
                destination_id.clone(),
                object.clone(),
            ));
            entries.push(ConfirmedEntry {
                bundle_id: row.get("bundle_id")?,
                chain_id: row.get("chain_id")?,
                sequence: unsigned(row, "sequence")?,
                object,
                role: Role::from_name(&role)
                    .ok_or_else(|| SpoolError::Damaged("a role".to_owned()))?,
                destination_id,
                uri: row.get("uri")?,
                version_id: row.get("version_id")?,
                sha256: sha256(row, "sha256")?,
                size_bytes: unsigned(row, "size_bytes")?,
                retain_until: time(row, "retain_until")?,
                server_date: time(row, "server_date")?,
                confirmed_at: time(row, "confirmed_at")?,
                reported_by: ReportedBy::Uploader,
            });
        }
        Ok(entries)
    }

    fn unnamed_quarantined(
        &self,
        limit: usize,
        named: &mut Named,
    ) -> Result<Vec<QuarantinedEntry>, SpoolError> {
        let mut statement = self.reader.db.prepare_cached(
            "SELECT taken_token, reason, source_hmac, quarantined_at FROM quarantined
             WHERE attested_by IS NULL ORDER BY taken_token LIMIT ?1",
        )?;
        let mut rows = statement.query([limited(limit)])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            named.quarantined.push(row.get("taken_token")?);
            entries.push(QuarantinedEntry {
                hmac_sha256: row
                    .get::<_, Option<[u8; 32]>>("source_hmac")?
                    .map(Sha256::from_bytes),
                reason: row.get("reason")?,
                at: time(row, "quarantined_at")?,
            });
        }
        // By when they came; the tokens are chance.
        entries.sort_by_key(|entry: &QuarantinedEntry| entry.at);
        Ok(entries)
    }

    fn unnamed_duplicates(
        &self,
        limit: usize,
        named: &mut Named,
    ) -> Result<Vec<DuplicateEntry>, SpoolError> {
        let mut statement = self.reader.db.prepare_cached(
            "SELECT d.bundle_rowid, d.count, b.bundle_id, b.sha256
             FROM (SELECT bundle_rowid, count(*) AS count FROM duplicate WHERE attested_by IS NULL
               GROUP BY bundle_rowid ORDER BY bundle_rowid LIMIT ?1) d
             JOIN bundle b USING (bundle_rowid) ORDER BY d.bundle_rowid",
        )?;
        let mut rows = statement.query([limited(limit)])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            named.duplicates.push(row.get("bundle_rowid")?);
            entries.push(DuplicateEntry {
                bundle_id: row.get("bundle_id")?,
                sha256: sha256(row, "sha256")?,
                count: unsigned(row, "count")?,
            });
        }
        Ok(entries)
    }

    fn unnamed_clock_events(&self, named: &mut Named) -> Result<Vec<ClockEvent>, SpoolError> {
        let mut statement = self.reader.db.prepare_cached(
            "SELECT event_rowid, at, jumped_ms FROM clock_event WHERE attested_by IS NULL
             ORDER BY event_rowid LIMIT ?1",
        )?;
        let mut rows = statement.query([limited(MAX_CLOCK_EVENTS)])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            named.clock_events.push(row.get("event_rowid")?);
            entries.push(ClockEvent {
                at: time(row, "at")?,
                jumped_ms: row.get("jumped_ms")?,
            });
        }
        Ok(entries)
    }

    fn destination_states(&self) -> Result<Vec<DestinationState>, SpoolError> {
        Ok(self
            .destinations()?
            .into_iter()
            .map(|(destination_id, uri, retired)| DestinationState {
                destination_id,
                uri,
                retired_at: retired.as_ref().map(|r| r.at),
                retired_because: retired.map(|r| r.reason),
            })
            .collect())
    }
}

impl Reader {
    /// The newest custody bundle of this spool, in whichever chain.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn last_custody(&self) -> Result<Option<ChainPosition>, SpoolError> {
        self.db
            .prepare_cached(
                "SELECT n.chain_id, b.sequence, b.sha256
                 FROM custody c JOIN bundle b USING (bundle_rowid)
                 JOIN chain n ON n.chain_rowid = b.chain_rowid
                 ORDER BY c.bundle_rowid DESC LIMIT 1",
            )?
            .query_row([], |row| {
                let chain_id = row.get("chain_id")?;
                Ok((|| {
                    Ok(ChainPosition {
                        chain_id,
                        sequence: unsigned(row, "sequence")?,
                        sha256: sha256(row, "sha256")?,
                    })
                })())
            })
            .optional()?
            .transpose()
    }

    /// Since when there has been no custody: the newest custody bundle's time, or, where there has
    /// never been one, that of the oldest bundle.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn without_custody_since(&self) -> Result<Option<Timestamp>, SpoolError> {
        self.db
            .prepare_cached(
                "SELECT b.generated_at FROM bundle b WHERE b.bundle_rowid = coalesce(
                   (SELECT max(bundle_rowid) FROM custody), (SELECT min(bundle_rowid) FROM bundle))",
            )?
            .query_row([], |row| Ok(time(row, "generated_at")))
            .optional()?
            .transpose()
    }

    /// How many bundles of incidents are confirmed somewhere without custody having named it, each
    /// destination counted, and at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unattested_incidents(&self, limit: usize) -> Result<usize, SpoolError> {
        let count: i64 = self
            .db
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM confirmation c JOIN bundle b USING (bundle_rowid)
                   WHERE c.attested_by IS NULL AND c.role = 'bundle' AND b.kind = 'incident' LIMIT ?1)",
            )?
            .query_row([limited(limit)], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// What custody has come to, for people.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn custody_state(&self) -> Result<CustodyState, SpoolError> {
        let last: Option<(String, Timestamp)> = self
            .db
            .query_row(
                "SELECT bundle_id, generated_at FROM bundle
                 WHERE bundle_rowid = (SELECT max(bundle_rowid) FROM custody)",
                [],
                |row| {
                    let id: String = row.get("bundle_id")?;
                    Ok(time(row, "generated_at").map(|at| (id, at)))
                },
            )
            .optional()?
            .transpose()?;
        let (last_bundle_id, last_sealed_at) = last.unzip();
        let number = |sql: &str| -> Result<u64, SpoolError> {
            let n: i64 = self.db.query_row(sql, [], |row| row.get(0))?;
            Ok(u64::try_from(n).unwrap_or(0))
        };
        Ok(CustodyState {
            last_bundle_id,
            last_sealed_at,
            unattested_confirmations: number(
                "SELECT count(*) FROM confirmation WHERE attested_by IS NULL",
            )?,
            uncovered_bundles: number(
                "SELECT count(*) FROM bundle WHERE chain_rowid = (SELECT max(chain_rowid) FROM chain)
                 AND sequence > (SELECT coalesce(max(to_sequence), 0) FROM custody
                   WHERE chain_rowid = (SELECT max(chain_rowid) FROM chain))",
            )?,
        })
    }

    /// What the spool holds, from its tally.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn totals(&self) -> Result<Totals, SpoolError> {
        let mut totals = Totals::default();
        let mut statement = self.db.prepare_cached("SELECT name, n FROM tally")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get("name")?;
            let n = unsigned(row, "n")?;
            match name.as_str() {
                "incident" => totals.incidents = n,
                "custody" => totals.custody = n,
                "probe" => totals.probes = n,
                "rotation" => totals.rotations = n,
                "confirmed" => totals.confirmed_objects = n,
                "quarantined" => totals.quarantined = n,
                "duplicate" => totals.duplicates = n,
                other => return Err(SpoolError::Damaged(format!("a tally of {other}"))),
            }
        }
        totals.bundles = totals.incidents + totals.custody + totals.probes + totals.rotations;
        let waiting: i64 = self
            .db
            .prepare_cached(
                "SELECT coalesce(sum(outstanding), 0) FROM work_order WHERE completed_at IS NULL",
            )?
            .query_row([], |row| row.get(0))?;
        totals.unconfirmed_objects = u64::try_from(waiting).unwrap_or(0);
        Ok(totals)
    }
}

impl Named {
    /// Marks what the bundle at this row, the newest one, names.
    pub(crate) fn mark(&self, tx: &Transaction<'_>, chain_rowid: i64) -> Result<(), SpoolError> {
        let (custody, sequence): (i64, i64) = tx.query_row(
            "SELECT bundle_rowid, sequence FROM bundle ORDER BY bundle_rowid DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let covered: i64 = tx.query_row(
            "SELECT coalesce(max(to_sequence), 0) FROM custody WHERE chain_rowid = ?1",
            [chain_rowid],
            |row| row.get(0),
        )?;
        let attaches = match self.covers {
            None => sequence == 1,
            Some(covers) => {
                signed(covers.from_sequence) == covered + 1 && signed(covers.to_sequence) < sequence
            }
        };
        if !attaches {
            return Err(SpoolError::Chain(format!(
                "places up to {covered} are covered, and custody at {sequence} claims {:?}",
                self.covers
            )));
        }
        insert_custody(tx, custody, chain_rowid, self.covers)?;
        for (bundle_rowid, destination_id, path) in &self.confirmations {
            tx.prepare_cached(
                "UPDATE confirmation SET attested_by = ?1
                 WHERE bundle_rowid = ?2 AND destination_id = ?3 AND path = ?4",
            )?
            .execute(params![custody, bundle_rowid, destination_id, path])?;
        }
        for token in &self.quarantined {
            tx.prepare_cached("UPDATE quarantined SET attested_by = ?1 WHERE taken_token = ?2")?
                .execute(params![custody, token])?;
        }
        for bundle_rowid in &self.duplicates {
            tx.prepare_cached(
                "UPDATE duplicate SET attested_by = ?1
                 WHERE bundle_rowid = ?2 AND attested_by IS NULL",
            )?
            .execute([custody, *bundle_rowid])?;
        }
        for event in &self.clock_events {
            tx.prepare_cached("UPDATE clock_event SET attested_by = ?1 WHERE event_rowid = ?2")?
                .execute([custody, *event])?;
        }
        Ok(())
    }
}

pub(crate) fn insert_custody(
    tx: &Transaction<'_>,
    bundle_rowid: i64,
    chain_rowid: i64,
    covers: Option<Covers>,
) -> Result<(), SpoolError> {
    tx.execute(
        "INSERT INTO custody (bundle_rowid, chain_rowid, from_sequence, to_sequence)
         VALUES (?1, ?2, ?3, ?4)",
        params![
            bundle_rowid,
            chain_rowid,
            covers.map(|c| signed(c.from_sequence)),
            covers.map(|c| signed(c.to_sequence))
        ],
    )?;
    Ok(())
}

fn sealed_entry(row: &Row<'_>) -> Result<SealedEntry, SpoolError> {
    let bundle_id: String = row.get("bundle_id")?;
    let kind: String = row.get("kind")?;
    let sha256 = sha256(row, "sha256")?;
    let bytes = row.get_ref("bytes")?.as_blob().unwrap_or_default();
    let damaged = || SpoolError::Damaged(format!("the bytes of {bundle_id}"));
    // What is said here is said of exactly these bytes.
    if Sha256::of(bytes) != sha256 {
        return Err(damaged());
    }
    let kind =
        Kind::from_name(&kind).ok_or_else(|| SpoolError::Damaged("a bundle's kind".to_owned()))?;
    let incident = match kind {
        Kind::Incident => {
            let said: IndexedIncident = serde_json::from_slice(bytes).map_err(|_| damaged())?;
            Some(said.entry())
        }
        Kind::Custody | Kind::Probe | Kind::Rotation => None,
    };
    Ok(SealedEntry {
        sequence: unsigned(row, "sequence")?,
        generated_at: time(row, "generated_at")?,
        bundle_id,
        sha256,
        kind,
        incident,
    })
}

/// About how long the entry becomes when it is written out.
fn index_bytes(entry: &IncidentEntry) -> usize {
    serde_json::to_vec_pretty(entry).map_or(0, |text| 2 * text.len())
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
