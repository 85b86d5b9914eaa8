//! Is spool.db what its writer left? Everything that one row says of another is computed again.
//!
//! The signature and the chain are checked as an auditor would, with the public key only: a row
//! that was changed by a flipped bit or by somebody with write access to the file looks like any
//! other, and only what was signed tells them apart. One bad row is one problem; the rest is
//! looked at all the same.

use std::collections::{BTreeMap, HashMap};

use evidence::Problem;
use evidence::bundle::{ChainPosition, Missing, artifact_path};
use evidence::digest::Sha256;
use evidence::handover::{Order, Role};
use evidence::keys::HostKeys;
use evidence::rotation::Rotation;
use jiff::civil::Date;
use rusqlite::{OptionalExtension as _, params};

use crate::publish::{SpooledBundle, read_bundle};
use crate::reader::Reader;
use crate::row::{sha256, unsigned};
use crate::{Artifact, SpoolError};

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looked {
    /// Bundles, each with its signature.
    pub bundles: u64,
    /// Chains.
    pub chains: u64,
    /// Orders that still wait for receipts.
    pub open_orders: u64,
    /// Confirmations.
    pub confirmations: u64,
}

impl Reader {
    /// Checks the whole database with the keys that its bundles are signed with, and tells `say` of
    /// each problem. Memory stays flat but for the day counters.
    ///
    /// # Errors
    /// When the database cannot be read on; what was found until then was said.
    pub fn check(
        &self,
        keys: &HostKeys,
        mut say: impl FnMut(Problem),
    ) -> Result<Looked, SpoolError> {
        let mut looked = Looked::default();
        self.check_file(&mut say)?;
        self.check_bundles(keys, &mut looked, &mut say)?;
        self.check_incidents(&mut say)?;
        self.check_orders(&mut looked, &mut say)?;
        self.check_confirmations(&mut looked, &mut say)?;
        self.check_custody(&self.stated_missing()?, &mut say)?;
        Ok(looked)
    }

    /// The file's own structure (https://sqlite.org/pragma.html#pragma_integrity_check).
    fn check_file(&self, say: &mut impl FnMut(Problem)) -> Result<(), SpoolError> {
        let mut statement = self.db.prepare("PRAGMA integrity_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if line != "ok" {
                say(problem("database_damaged", "spool.db", line));
            }
        }
        let mut statement = self.db.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let table: String = row.get(0)?;
            say(problem(
                "reference_to_nothing",
                &table,
                "a row refers to a row that is not there",
            ));
        }
        Ok(())
    }

    fn check_bundles(
        &self,
        keys: &HostKeys,
        looked: &mut Looked,
        say: &mut impl FnMut(Problem),
    ) -> Result<(), SpoolError> {
        let stated = self.stated_missing()?;
        let mut highest: BTreeMap<Date, u64> = BTreeMap::new();
        let mut statement = self.db.prepare(
            "SELECT b.*, c.chain_id, c.predecessor_chain_id, c.predecessor_sequence,
               c.predecessor_sha256
             FROM chain c JOIN bundle b USING (chain_rowid) ORDER BY b.chain_rowid, b.sequence",
        )?;
        let mut rows = statement.query([])?;
        let mut before: Option<ChainPosition> = None;
        // The key that signs next: within a chain, only a rotation changes it.
        let mut line: Option<String> = None;
        while let Some(row) = rows.next()? {
            looked.bundles += 1;
            let chain_id: String = row.get("chain_id")?;
            let bundle = read_bundle(row)?;
            let name = bundle.bundle_id.to_string();
            let number = highest.entry(bundle.bundle_id.day()).or_default();
            *number = (*number).max(bundle.bundle_id.number());
            if before.as_ref().is_none_or(|b| b.chain_id != chain_id) {
                looked.chains += 1;
                before = None;
                line = None;
            }
            let expected = before.as_ref().map_or(1, |b| b.sequence + 1);
            if bundle.sequence != expected {
                let is_stated = stated.iter().any(|range| {
                    range.chain_id == chain_id
                        && (range.from_sequence, range.to_sequence + 1)
                            == (expected, bundle.sequence)
                });
                say(problem(
                    if is_stated {
                        "chain_gap_stated"
                    } else {
                        "chain_gap"
                    },
                    &name,
                    format!(
                        "sequence {} of chain {chain_id} comes where {expected} should",
                        bundle.sequence
                    ),
                ));
                before = None;
                line = None;
            }
            let predecessor = match row.get::<_, Option<String>>("predecessor_chain_id")? {
                None => None,
                Some(chain_id) => Some(ChainPosition {
                    chain_id,
                    sequence: unsigned(row, "predecessor_sequence")?,
                    sha256: sha256(row, "predecessor_sha256")?,
                }),
            };
            for (code, message) in wrong_with(
                &bundle,
                &chain_id,
                keys,
                &mut line,
                before.as_ref(),
                predecessor,
            ) {
                say(problem(code, &name, message));
            }
            for (code, message) in self.wrong_with_body(&bundle)? {
                say(problem(code, &name, message));
            }
            before = Some(ChainPosition {
                chain_id,
                sequence: bundle.sequence,
                sha256: bundle.sha256,
            });
        }
        for (day, highest) in highest {
            let last: Option<i64> = self
                .db
                .query_row(
                    "SELECT last_number FROM day_number WHERE day = ?1",
                    [day.to_string()],
                    |r| r.get(0),
                )
                .optional()?;
            if last.and_then(|n| u64::try_from(n).ok()).unwrap_or(0) < highest {
                say(problem(
                    "day_number_behind",
                    &day.to_string(),
                    format!("the counter is {last:?} and number {highest} was given out"),
                ));
            }
        }
        Ok(())
    }

    /// What chains that began later say was found nowhere.
    fn stated_missing(&self) -> Result<Vec<Missing>, SpoolError> {
        let mut statement = self
            .db
            .prepare("SELECT missing FROM chain WHERE missing IS NOT NULL")?;
        let mut rows = statement.query([])?;
        let mut stated = Vec::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            // Damage of this column is no worse than its absence: the gap is said all the same.
            stated.extend(serde_json::from_str::<Vec<Missing>>(&text).unwrap_or_default());
        }
        Ok(stated)
    }

    /// The rows that were made from the body: its artifacts, and its entry among what was seen.
    fn wrong_with_body(
        &self,
        bundle: &SpooledBundle,
    ) -> Result<Vec<(&'static str, String)>, SpoolError> {
        let mut wrong = Vec::new();
        let Ok(document) = serde_json::from_slice::<serde_json::Value>(&bundle.bytes) else {
            // Said already: such bytes do not verify.
            return Ok(wrong);
        };
        let rows = self.artifacts(bundle.bundle_rowid)?;
        if bundle.object_count != 2 + rows.len() as u64 {
            wrong.push((
                "artifact_rows_differ",
                format!(
                    "{} objects, but {} artifacts",
                    bundle.object_count,
                    rows.len()
                ),
            ));
        }
        if artifacts_of(&document, bundle).is_none_or(|stated| stated != rows) {
            wrong.push((
                "artifact_rows_differ",
                "the artifacts are not those that the signed document names".to_owned(),
            ));
        }
        let text = |pointer| {
            document
                .pointer(pointer)
                .and_then(serde_json::Value::as_str)
        };
        let (id, hmac) = (text("/incident/incident_id"), text("/source/hmac_sha256"));
        if text("/kind") == Some("incident")
            && let (Some(id), Some(hmac)) = (id, hmac)
        {
            let seen = self.seen_as(id, hmac)?;
            let resealed = document.get("reseals").is_some();
            match seen {
                None if !resealed => wrong.push((
                    "incident_not_indexed",
                    "the duplicates index does not know its incident".to_owned(),
                )),
                Some(other) if other != bundle.bundle_rowid && !resealed => wrong.push((
                    "incident_twice",
                    "another bundle seals the same incident from the same bytes".to_owned(),
                )),
                _ => {}
            }
        }
        Ok(wrong)
    }

    fn seen_as(&self, incident_id: &str, hmac: &str) -> Result<Option<i64>, SpoolError> {
        let Ok(hmac) = hmac.trim_start_matches("sha256:").parse::<Sha256>() else {
            return Ok(None);
        };
        Ok(self
            .db
            .prepare_cached(
                "SELECT bundle_rowid FROM incident_seen WHERE incident_id = ?1 AND source_hmac = ?2",
            )?
            .query_row(params![incident_id, hmac.as_bytes()], |r| r.get(0))
            .optional()?)
    }

    fn check_incidents(&self, say: &mut impl FnMut(Problem)) -> Result<(), SpoolError> {
        let mut statement = self.db.prepare(
            "SELECT s.incident_id, b.bundle_id FROM incident_seen s JOIN bundle b USING (bundle_rowid)
             WHERE b.kind <> 'incident' OR json_valid(CAST(b.bytes AS TEXT))
               AND json_extract(CAST(b.bytes AS TEXT), '$.incident.incident_id') <> s.incident_id",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let bundle: String = row.get("bundle_id")?;
            say(problem(
                "incident_not_indexed",
                &bundle,
                "the duplicates index has it under another incident",
            ));
        }
        Ok(())
    }

    /// An order that waits names objects of this spool and waits for exactly what is missing.
    fn check_orders(
        &self,
        looked: &mut Looked,
        say: &mut impl FnMut(Problem),
    ) -> Result<(), SpoolError> {
        let mut of_path = self.db.prepare(
            "SELECT b.sha256 FROM bundle b WHERE b.bundle_id = ?1 AND b.path = ?2
             UNION ALL SELECT a.sha256 FROM artifact a JOIN bundle b USING (bundle_rowid)
               WHERE b.bundle_id = ?1 AND a.path = ?2",
        )?;
        let mut is_done = self.db.prepare(
            "SELECT 1 FROM bundle b WHERE b.bundle_id = ?1 AND (
               EXISTS (SELECT 1 FROM confirmation c WHERE c.bundle_rowid = b.bundle_rowid
                 AND c.destination_id = ?2 AND c.path = ?3)
               OR EXISTS (SELECT 1 FROM ended e WHERE e.bundle_rowid = b.bundle_rowid
                 AND e.destination_id = ?2)
               OR EXISTS (SELECT 1 FROM destination d WHERE d.destination_id = ?2
                 AND d.retired_at IS NOT NULL))",
        )?;
        let mut statement = self.db.prepare(
            "SELECT order_id, body, outstanding FROM work_order WHERE completed_at IS NULL
             ORDER BY order_rowid",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            looked.open_orders += 1;
            let id: String = row.get("order_id")?;
            let body: Vec<u8> = row.get("body")?;
            let order = match Order::parse(&body) {
                Ok(order) if order.order_id == id => order,
                Ok(_) => {
                    say(problem("order_damaged", &id, "its body has another id"));
                    continue;
                }
                Err(error) => {
                    say(problem("order_damaged", &id, error.to_string()));
                    continue;
                }
            };
            let mut waiting = 0_u64;
            for object in &order.objects {
                // A signature's digest is no column of its own; the bundle's check covers it.
                let known: Option<Vec<u8>> = of_path
                    .query_row(params![object.bundle_id, object.path], |r| r.get(0))
                    .optional()?;
                let is_right = match object.role {
                    Role::Signature => true,
                    _ => known.is_some_and(|k| k == object.sha256.as_bytes()),
                };
                if !is_right {
                    say(problem(
                        "order_damaged",
                        &id,
                        format!("it names {} otherwise than the spool", object.path),
                    ));
                }
                for destination in &order.destinations {
                    if !is_done.exists(params![
                        object.bundle_id,
                        destination.destination_id,
                        object.path
                    ])? {
                        waiting += 1;
                    }
                }
            }
            let outstanding = unsigned(row, "outstanding")?;
            if waiting != outstanding {
                say(problem(
                    "order_count_wrong",
                    &id,
                    format!("it waits for {outstanding} objects, but {waiting} are missing"),
                ));
            }
        }
        Ok(())
    }

    /// What is called confirmed is an object of its bundle, with its digest.
    fn check_confirmations(
        &self,
        looked: &mut Looked,
        say: &mut impl FnMut(Problem),
    ) -> Result<(), SpoolError> {
        let mut statement = self.db.prepare(
            "SELECT c.path, c.role, c.sha256, b.bundle_id, b.path AS bundle_path,
               b.sha256 AS bundle_sha256, b.signature, a.sha256 AS artifact_sha256
             FROM confirmation c JOIN bundle b USING (bundle_rowid)
             LEFT JOIN artifact a ON a.bundle_rowid = c.bundle_rowid AND a.path = c.path",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            looked.confirmations += 1;
            let (path, role): (String, String) = (row.get("path")?, row.get("role")?);
            let bundle_path: String = row.get("bundle_path")?;
            let confirmed = sha256(row, "sha256")?;
            let (expected, sealed) = match Role::from_name(&role) {
                Some(Role::Bundle) => (bundle_path, Some(sha256(row, "bundle_sha256")?)),
                Some(Role::Signature) => (
                    format!("{bundle_path}.bundle"),
                    Some(Sha256::of(&row.get::<_, Vec<u8>>("signature")?)),
                ),
                _ => (
                    path.clone(),
                    row.get::<_, Option<[u8; 32]>>("artifact_sha256")?
                        .map(Sha256::from_bytes),
                ),
            };
            if expected != path || sealed != Some(confirmed) {
                let bundle: String = row.get("bundle_id")?;
                say(problem(
                    "confirmation_of_nothing",
                    &bundle,
                    format!("{path} is called confirmed, and is not what was sealed"),
                ));
            }
        }
        Ok(())
    }
}

pub(crate) fn problem(code: &'static str, item: &str, message: impl Into<String>) -> Problem {
    Problem {
        code,
        item: item.to_owned(),
        message: message.into(),
    }
}

fn wrong_with(
    bundle: &SpooledBundle,
    chain_id: &str,
    keys: &HostKeys,
    line: &mut Option<String>,
    before: Option<&ChainPosition>,
    predecessor: Option<ChainPosition>,
) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if Sha256::of(&bundle.bytes) != bundle.sha256 {
        wrong.push((
            "bundle_changed",
            "its bytes are not those that were committed".to_owned(),
        ));
    }
    let verified = match keys.verify(&bundle.bytes, &bundle.signature) {
        Ok(verified) => verified,
        Err(error) => {
            wrong.push(("bundle_not_verified", evidence::causes(&error)));
            return wrong;
        }
    };
    let header = verified.header();
    let signer = header.signatures.first().map(|s| s.key_id.clone());
    if line.is_some() && *line != signer {
        wrong.push((
            "key_not_rotated",
            "it is signed by another key than the bundle before it, and no rotation leads there"
                .to_owned(),
        ));
    }
    *line = match Rotation::read(&verified) {
        Ok((_, to)) => Some(to.key_id()),
        Err(_) => signer,
    };
    let own = header.bundle_id == bundle.bundle_id.to_string()
        && header.chain.chain_id == chain_id
        && header.chain.sequence == bundle.sequence
        && bundle.path == verified.path();
    if !own {
        wrong.push((
            "bundle_row_differs",
            "its row names it otherwise than its signed header".to_owned(),
        ));
    }
    // After a gap, said already, there is nothing to compare with.
    let follows = match (bundle.sequence, before) {
        (1, _) => header.chain.predecessor == predecessor,
        (_, Some(before)) => header.chain.previous_sha256 == Some(before.sha256),
        (_, None) => true,
    };
    if !follows {
        wrong.push((
            "chain_broken",
            "it does not name the bundle before it".to_owned(),
        ));
    }
    wrong
}

/// The artifacts that a document names, as rows; `None` when it names none that could be.
fn artifacts_of(document: &serde_json::Value, bundle: &SpooledBundle) -> Option<Vec<Artifact>> {
    let Some(files) = document.pointer("/artifacts/files") else {
        return Some(Vec::new());
    };
    let files: Vec<evidence::incident::StoredFile> = serde::Deserialize::deserialize(files).ok()?;
    let mut found: HashMap<String, Artifact> = HashMap::new();
    for file in files {
        let path = artifact_path(&bundle.path, file.sha256, &file.name);
        found.insert(
            path.clone(),
            Artifact {
                path,
                size_bytes: file.size_bytes,
                sha256: file.sha256,
            },
        );
    }
    let mut found: Vec<Artifact> = found.into_values().collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Some(found)
}
