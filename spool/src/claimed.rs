//! What incidents claimed before: the hash that a runbook had when its id and version came first, and how
//! many incidents were sealed with which finding.
//!
//! Both follow from the bundles' own bytes, so a spool that is made anew from them learns them again.

use std::collections::BTreeMap;

use evidence::findings::is_real_sha256;
use evidence::incident::Runbook;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Deserialize;

use crate::reader::Reader;
use crate::row::unsigned;
use crate::{Spool, SpoolError};

/// The first bundle that named a runbook by this id and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunbookSeen {
    /// The hash that it had there.
    pub hash: String,
    /// That bundle.
    pub bundle_id: String,
}

/// The parts of an incident's bundle that are learnt from.
#[derive(Deserialize)]
struct Claims {
    runbook: Runbook,
    findings: Vec<Coded>,
}

#[derive(Deserialize)]
struct Coded {
    code: String,
}

impl Spool {
    /// The hash that a runbook had when its id and version were first sealed with one; placeholders and
    /// what is no hash do not count.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn runbook_seen(
        &self,
        runbook_id: &str,
        runbook_version: &str,
    ) -> Result<Option<RunbookSeen>, SpoolError> {
        let mut statement = self.reader.db.prepare_cached(
            "SELECT runbook_hash, bundle_id FROM runbook_seen JOIN bundle USING (bundle_rowid)
             WHERE runbook_id = ?1 AND runbook_version = ?2",
        )?;
        let seen = statement
            .query_row([runbook_id, runbook_version], |row| {
                Ok(RunbookSeen {
                    hash: row.get(0)?,
                    bundle_id: row.get(1)?,
                })
            })
            .optional()?;
        Ok(seen)
    }
}

impl Reader {
    /// How many incidents were sealed with a finding, by its code.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn findings(&self) -> Result<BTreeMap<String, u64>, SpoolError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT code, incidents FROM finding_tally")?;
        let mut rows = statement.query([])?;
        let mut findings = BTreeMap::new();
        while let Some(row) = rows.next()? {
            findings.insert(row.get("code")?, unsigned(row, "incidents")?);
        }
        Ok(findings)
    }
}

/// Learns from the bundle of an incident, in the transaction that makes it true.
pub(crate) fn learn(
    tx: &Transaction<'_>,
    bundle_rowid: i64,
    bytes: &[u8],
) -> Result<(), SpoolError> {
    // What is signed follows the schema; anything else has nothing to teach.
    let Ok(claims) = serde_json::from_slice::<Claims>(bytes) else {
        return Ok(());
    };
    let runbook = &claims.runbook;
    if is_real_sha256(&runbook.runbook_hash) {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO runbook_seen
               (runbook_id, runbook_version, runbook_hash, bundle_rowid) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            runbook.runbook_id,
            runbook.runbook_version,
            runbook.runbook_hash,
            bundle_rowid
        ])?;
    }
    let mut codes: Vec<&str> = claims.findings.iter().map(|f| f.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    for code in codes {
        tx.prepare_cached(
            "INSERT INTO finding_tally (code, incidents) VALUES (?1, 1)
             ON CONFLICT (code) DO UPDATE SET incidents = incidents + 1",
        )?
        .execute([code])?;
    }
    Ok(())
}
