//! A report's content, from the working file of a finished audit.
//!
//! The file is only read; what is needed besides (which bundle has which number, which finding is about
//! which bundle) is kept in temporary tables, which SQLite puts on disk when they grow. A bundle says
//! something here only if the audit trusts it: its signature, its key, and where it lies.

use evidence::bundle::Kind;
use evidence::digest::Sha256;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row};
use serde::Deserialize;

use super::content::{
    BodyContent, BundleContent, CheckContent, CheckResult, Content, CustodyContent, Each,
    FindingContent, IncidentContent, Proven, ReportError, Summary, VersionContent,
};
use crate::code::Code;
use crate::finding::{Check, Finding, Level, Subject};
use crate::ledger::{JudgedBy, Ledger, LedgerError, TrustedKey};

/// Numbers every bundle, the best of its versions, by client, host, chain and place; then finds out
/// which bundle a finding is about: the one whose object it names, else the one at its place.
const PREPARE: &str = "
DROP TABLE IF EXISTS temp.report_bundle;
DROP TABLE IF EXISTS temp.report_finding;
CREATE TEMP TABLE report_bundle (
  number       INTEGER PRIMARY KEY,
  bundle_rowid INTEGER NOT NULL,
  path         TEXT NOT NULL UNIQUE
);
INSERT INTO report_bundle (number, bundle_rowid, path)
  SELECT row_number() OVER (ORDER BY is_trusted = 0,
           CASE WHEN is_trusted THEN client_id END, CASE WHEN is_trusted THEN host_id END,
           CASE WHEN is_trusted THEN chain_id END, CASE WHEN is_trusted THEN sequence END, path),
         bundle_rowid, path
  FROM (SELECT *, row_number() OVER
          (PARTITION BY path ORDER BY is_trusted DESC, is_evidence DESC, version_rowid) AS best
        FROM bundle)
  WHERE best = 1;
CREATE TEMP TABLE report_finding (
  number        INTEGER NOT NULL,
  finding_rowid INTEGER NOT NULL,
  PRIMARY KEY (number, finding_rowid)
) WITHOUT ROWID;
CREATE INDEX temp.report_by_finding ON report_finding (finding_rowid);
INSERT OR IGNORE INTO report_finding (number, finding_rowid)
  SELECT report_bundle.number, finding.finding_rowid
  FROM finding
  JOIN (SELECT DISTINCT path, bundle_path FROM version WHERE bundle_path IS NOT NULL) AS object
    ON object.path = finding.path
  JOIN report_bundle ON report_bundle.path = object.bundle_path;
INSERT OR IGNORE INTO report_finding (number, finding_rowid)
  SELECT min(report_bundle.number), finding.finding_rowid
  FROM finding
  JOIN bundle ON bundle.chain_id = finding.chain_id AND bundle.sequence = finding.sequence
    AND bundle.bundle_id = finding.bundle_id AND bundle.is_trusted = 1
  JOIN report_bundle ON report_bundle.bundle_rowid = bundle.bundle_rowid
  WHERE NOT EXISTS
    (SELECT 1 FROM report_finding WHERE report_finding.finding_rowid = finding.finding_rowid)
  GROUP BY finding.finding_rowid;
";

const FINDINGS: &str = "
SELECT check_name, level, code, client_id, host_id, chain_id, sequence, bundle_id, path, version_id,
  message, (SELECT min(number) FROM report_finding
            WHERE report_finding.finding_rowid = finding.finding_rowid)
FROM finding ";

/// The results of a finished audit.
pub struct LedgerContent<'a> {
    ledger: &'a Ledger,
    summary: Summary,
    has_store_metadata: bool,
}

impl<'a> LedgerContent<'a> {
    /// Those in `ledger`; `tool` names the program that makes the report, with its version. None when
    /// the audit did not come to its end.
    ///
    /// # Errors
    /// When SQLite fails, or the ledger is damaged.
    pub fn new(ledger: &'a Ledger, tool: &str) -> Result<Option<Self>, LedgerError> {
        let Some(judged) = ledger.judged_by()? else {
            return Ok(None);
        };
        ledger.sql().execute_batch(PREPARE)?;
        Ok(Some(Self {
            ledger,
            summary: summary(ledger, tool, &judged)?,
            has_store_metadata: judged.has_store_metadata,
        }))
    }
}

fn summary(ledger: &Ledger, tool: &str, judged: &JudgedBy) -> Result<Summary, LedgerError> {
    let origin = ledger.origin()?;
    let objects: i64 = ledger
        .sql()
        .query_row("SELECT count(*) FROM version", [], |row| row.get(0))?;
    let mut checks = Vec::new();
    for check in Check::ALL {
        checks.push(CheckContent {
            check,
            tally: ledger.tally(check)?,
        });
    }
    let mut keys = judged.keys.clone();
    keys.extend(rotated(ledger)?);
    Ok(Summary {
        tool: tool.to_owned(),
        source: origin.source,
        scope: origin.scope,
        looked_at: judged.looked_at,
        asked_from: judged.from,
        asked_to: judged.to,
        silent_after_secs: judged.silent_after_secs,
        objects: objects.unsigned_abs(),
        keys,
        checks,
    })
}

/// The keys that trusted rotations led to.
fn rotated(ledger: &Ledger) -> Result<Vec<TrustedKey>, LedgerError> {
    let mut statement = ledger.sql().prepare(
        "SELECT to_key_id, from_key_id, bundle_id, client_id, host_id
         FROM rotation JOIN bundle USING (bundle_rowid) WHERE is_trusted = 1
         ORDER BY client_id, host_id, chain_id, sequence, bundle_rowid",
    )?;
    let keys = statement
        .query_map([], |row| {
            let (from, bundle): (String, String) = (row.get(1)?, row.get(2)?);
            Ok(TrustedKey {
                fingerprint: row.get(0)?,
                trusted_because: format!("rotation {bundle} names it, signed by {from}"),
                client_id: row.get(3)?,
                host_id: row.get(4)?,
                not_before: None,
                not_after: None,
                revoked_at: None,
                revoked_reason: None,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(keys)
}

impl Content for LedgerContent<'_> {
    fn summary(&self) -> &Summary {
        &self.summary
    }

    fn bundles(&self, each: Each<'_, BundleContent>) -> Result<(), ReportError> {
        let mut statement = self.ledger.sql().prepare(
            "SELECT number, bundle.bundle_rowid AS bundle_rowid, bundle.path AS path,
               bundle.state AS state, bundle.problem AS problem,
               is_trusted, version.sha256 AS found_sha256, kind, client_id, host_id, chain_id,
               sequence, previous_sha256, content_hash, key_id, generated_at_us, incident, detail
             FROM report_bundle JOIN bundle USING (bundle_rowid) JOIN version
               ON version.version_rowid = bundle.version_rowid
             ORDER BY number",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(self.bundle(row)?)?;
        }
        Ok(())
    }

    fn findings(
        &self,
        check: Check,
        level: Level,
        each: Each<'_, FindingContent>,
    ) -> Result<(), ReportError> {
        let mut statement = self.ledger.sql().prepare_cached(&format!(
            "{FINDINGS} WHERE check_name = ?1 AND level = ?2
             ORDER BY client_id, host_id, chain_id, sequence, path, version_id, code, message"
        ))?;
        let mut rows = statement.query([check.as_str(), level.as_str()])?;
        while let Some(row) = rows.next()? {
            each(finding(row)?)?;
        }
        Ok(())
    }
}

impl LedgerContent<'_> {
    fn bundle(&self, row: &Row<'_>) -> Result<BundleContent, LedgerError> {
        let number = row.get::<_, i64>("number")?;
        let bundle_rowid: i64 = row.get("bundle_rowid")?;
        let object: String = row.get("path")?;
        let is_trusted: bool = row.get("is_trusted")?;
        let state: String = row.get("state")?;
        let name = object.rsplit('/').next().unwrap_or_default();
        let proven = is_trusted
            .then(|| self.proven(row, bundle_rowid))
            .transpose()?;
        let covered_by = match &proven {
            Some(proven) => self.covered_by(proven)?,
            None => None,
        };
        Ok(BundleContent {
            number: number.unsigned_abs(),
            name: name.strip_suffix(".json").unwrap_or(name).to_owned(),
            sha256: digest(row, "found_sha256")?,
            signature: match state.as_str() {
                "verified" => CheckResult::Passed,
                "unread" => CheckResult::CouldNotCheck,
                _ => CheckResult::Failed,
            },
            problem: row.get("problem")?,
            proven,
            covered_by,
            findings: self.findings_about(number)?,
            versions: self.versions(&object)?,
            object,
        })
    }

    fn proven(&self, row: &Row<'_>, bundle_rowid: i64) -> Result<Proven, LedgerError> {
        let kind: String = row.get("kind")?;
        let kind = match kind.as_str() {
            "incident" => Kind::Incident,
            "custody" => Kind::Custody,
            "rotation" => Kind::Rotation,
            "probe" => Kind::Probe,
            _ => return Err(LedgerError::Damaged("a bundle's kind")),
        };
        let body = match kind {
            Kind::Incident => BodyContent::Incident(Box::new(IncidentContent {
                entry: json(row, "incident")?.ok_or(LedgerError::Damaged("an incident"))?,
                detail: json(row, "detail")?,
            })),
            Kind::Custody => BodyContent::Custody(self.custody(bundle_rowid)?),
            Kind::Rotation => self.rotation(bundle_rowid)?,
            Kind::Probe => BodyContent::Probe,
        };
        Ok(Proven {
            kind,
            client_id: row.get("client_id")?,
            host_id: row.get("host_id")?,
            chain_id: row.get("chain_id")?,
            sequence: row.get::<_, i64>("sequence")?.unsigned_abs(),
            previous_sha256: digest(row, "previous_sha256")?,
            evidence_bundle_hash: row.get("content_hash")?,
            key_id: row.get("key_id")?,
            generated_at: time(Some(row.get("generated_at_us")?))?
                .ok_or(LedgerError::Damaged("a bundle's time"))?,
            body,
        })
    }

    fn custody(&self, bundle_rowid: i64) -> Result<CustodyContent, LedgerError> {
        let count = |row: &Row<'_>, column| {
            Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs())
        };
        let mut statement = self.ledger.sql().prepare_cached(
            "SELECT because, covers_from, covers_to,
               (SELECT count(*) FROM sealed WHERE bundle_rowid = ?1),
               (SELECT count(*) FROM confirmed WHERE bundle_rowid = ?1),
               json_array_length(rest, '$.quarantined'), json_array_length(rest, '$.duplicates'),
               json_array_length(rest, '$.clock_events')
             FROM custody WHERE bundle_rowid = ?1",
        )?;
        Ok(statement.query_row([bundle_rowid], |row| {
            Ok(CustodyContent {
                because: row.get(0)?,
                from_sequence: row.get::<_, Option<i64>>(1)?.map(i64::unsigned_abs),
                to_sequence: row.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
                sealed: count(row, 3)?,
                confirmed: count(row, 4)?,
                quarantined: count(row, 5)?,
                duplicates: count(row, 6)?,
                clock_jumps: count(row, 7)?,
            })
        })?)
    }

    fn rotation(&self, bundle_rowid: i64) -> Result<BodyContent, LedgerError> {
        let mut statement = self.ledger.sql().prepare_cached(
            "SELECT from_key_id, to_key_id, reason, asked_by FROM rotation WHERE bundle_rowid = ?1",
        )?;
        Ok(statement.query_row([bundle_rowid], |row| {
            Ok(BodyContent::Rotation {
                from_key_id: row.get(0)?,
                to_key_id: row.get(1)?,
                reason: row.get(2)?,
                by: row.get(3)?,
            })
        })?)
    }

    /// The trusted custody bundle that lists this one.
    fn covered_by(&self, proven: &Proven) -> Result<Option<String>, LedgerError> {
        let mut statement = self.ledger.sql().prepare_cached(
            "SELECT bundle.bundle_id FROM sealed JOIN bundle USING (bundle_rowid)
             WHERE sealed.chain_id = ?1 AND sealed.sequence = ?2 AND is_trusted = 1
             ORDER BY bundle.sequence, bundle.bundle_rowid LIMIT 1",
        )?;
        let sequence = crate::ledger::int(proven.sequence);
        Ok(statement
            .query_row((&proven.chain_id, sequence), |row| row.get(0))
            .optional()?)
    }

    fn findings_about(&self, number: i64) -> Result<Vec<FindingContent>, LedgerError> {
        let mut statement = self.ledger.sql().prepare_cached(&format!(
            "{FINDINGS} WHERE finding_rowid IN
               (SELECT finding_rowid FROM report_finding WHERE number = ?1)
             ORDER BY CASE level WHEN 'failed' THEN 0 WHEN 'could_not_check' THEN 1 ELSE 2 END,
               check_name, path, version_id, code, message"
        ))?;
        let mut rows = statement.query([number])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(finding(row)?);
        }
        Ok(found)
    }

    /// What the store told of a bundle's objects; a folder has no store.
    fn versions(&self, bundle_path: &str) -> Result<Vec<VersionContent>, LedgerError> {
        if !self.has_store_metadata {
            return Ok(Vec::new());
        }
        let mut statement = self.ledger.sql().prepare_cached(
            "SELECT path, version_id, lock, retain_until_us, coalesce(stored_us, last_modified_us),
               coalesce(size_bytes, listed_bytes), is_latest, is_delete_marker
             FROM version WHERE bundle_path = ?1
             ORDER BY role <> 'bundle', role <> 'signature', path, version_rowid",
        )?;
        let mut rows = statement.query([bundle_path])?;
        let mut versions = Vec::new();
        while let Some(row) = rows.next()? {
            let lock: Option<String> = row.get(2)?;
            let is_delete_marker: bool = row.get(7)?;
            versions.push(VersionContent {
                object: row.get(0)?,
                version_id: Some(row.get(1)?),
                lock_mode: match lock.as_deref() {
                    Some("compliance") => Some("COMPLIANCE".to_owned()),
                    Some("governance") => Some("GOVERNANCE".to_owned()),
                    Some("unlocked") => Some("not locked".to_owned()),
                    _ => None,
                },
                retain_until: time(row.get(3)?)?,
                last_modified: time(row.get(4)?)?,
                size_bytes: (!is_delete_marker)
                    .then(|| row.get::<_, i64>(5).map(i64::unsigned_abs))
                    .transpose()?,
                is_latest: Some(row.get(6)?),
                is_delete_marker,
            });
        }
        Ok(versions)
    }
}

fn finding(row: &Row<'_>) -> Result<FindingContent, LedgerError> {
    let (check, level, code): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let found = Finding {
        check: Check::from_name(&check).ok_or(LedgerError::Damaged("a finding's check"))?,
        level: Level::from_name(&level).ok_or(LedgerError::Damaged("a finding's level"))?,
        code: Code::from_name(&code).ok_or(LedgerError::Damaged("a finding's code"))?,
        subject: Subject {
            client_id: row.get(3)?,
            host_id: row.get(4)?,
            chain_id: row.get(5)?,
            sequence: row.get::<_, Option<i64>>(6)?.map(i64::unsigned_abs),
            bundle_id: row.get(7)?,
            path: row.get(8)?,
            version_id: row.get(9)?,
        },
        message: row.get(10)?,
    };
    Ok(FindingContent {
        about: about(&found.subject),
        found,
        bundle: row.get::<_, Option<i64>>(11)?.map(i64::unsigned_abs),
    })
}

/// What a finding is about, in one text.
fn about(subject: &Subject) -> String {
    let place = subject.sequence.map(|sequence| format!("place {sequence}"));
    let mut about = match &subject.path {
        Some(path) => path.clone(),
        None => [
            &subject.client_id,
            &subject.host_id,
            &subject.chain_id,
            &place,
            &subject.bundle_id,
        ]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", "),
    };
    if let Some(version) = subject
        .version_id
        .as_ref()
        .filter(|version| !version.is_empty())
    {
        about.push_str(", version ");
        about.push_str(version);
    }
    if about.is_empty() {
        about.push_str("the whole");
    }
    about
}

fn digest(row: &Row<'_>, column: &str) -> Result<Option<Sha256>, LedgerError> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    bytes
        .map(|bytes| {
            <[u8; 32]>::try_from(bytes)
                .map(Sha256::from_bytes)
                .map_err(|_| LedgerError::Damaged("a digest"))
        })
        .transpose()
}

fn time(us: Option<i64>) -> Result<Option<Timestamp>, LedgerError> {
    us.map(|us| Timestamp::from_microsecond(us).map_err(|_| LedgerError::Damaged("a time")))
        .transpose()
}

fn json<T: for<'de> Deserialize<'de>>(
    row: &Row<'_>,
    column: &str,
) -> Result<Option<T>, LedgerError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| {
        serde_json::from_str(&text).map_err(|_| LedgerError::Damaged("what a bundle says"))
    })
    .transpose()
}
