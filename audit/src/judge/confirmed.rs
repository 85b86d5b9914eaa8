//! Is what custody says was confirmed stored, in that version, with those bytes, locked so long?
//!
//! These statements come from the uploader, which holds no key: only the store can prove them. What they
//! name and the store does not have was removed, or never stored.

use super::{Bench, number, words};
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::LedgerError;

struct Claim {
    subject: Subject,
    sha256: Vec<u8>,
    size_bytes: u64,
    retain_until_us: i64,
    found: Option<Found>,
}

struct Found {
    state: String,
    problem: Option<String>,
    sha256: Option<Vec<u8>>,
    size_bytes: Option<i64>,
    lock: Option<String>,
    retain_until_us: Option<i64>,
}

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let bucket = bench.judging.bucket_uri.clone();
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT stating.client_id, stating.host_id, confirmed.chain_id, confirmed.sequence,
           confirmed.bundle_id, confirmed.object, confirmed.version_id, confirmed.sha256,
           confirmed.size_bytes, confirmed.retain_until_us,
           version.state, version.problem, version.sha256, version.size_bytes, version.lock,
           version.retain_until_us,
           ?1 IS NULL OR confirmed.uri = ?1 || confirmed.object
         FROM bundle AS stating JOIN confirmed USING (bundle_rowid)
         LEFT JOIN version ON version.path = confirmed.object AND version.is_delete_marker = 0
           AND version.version_id = CASE WHEN ?1 IS NULL THEN '' ELSE confirmed.version_id END
         WHERE stating.is_trusted = 1
         ORDER BY stating.client_id, stating.host_id, stating.chain_id, stating.sequence,
           stating.bundle_rowid, confirmed.ordinal",
    )?;
    let mut rows = statement.query([&bucket])?;
    let (mut here, mut elsewhere, mut without_store) = (0_u64, 0_u64, 0_u64);
    while let Some(row) = rows.next()? {
        if !row.get::<_, bool>(16)? {
            elsewhere += 1;
            continue;
        }
        here += 1;
        let claim = claim(row)?;
        if one(bench, &claim)? {
            if bench.judging.has_store_metadata {
                bench.book.pass(Check::Confirmed, 1);
            } else {
                without_store += 1;
            }
        }
    }
    bench.book.not_in_a_folder(
        Check::Confirmed,
        without_store,
        "has the bytes, and no versions or locks",
    )?;
    if here == 0 && elsewhere > 0 {
        bench
            .book
            .count(Check::Confirmed, Level::CouldNotCheck, elsewhere);
        bench.book.say(
            Check::Confirmed,
            Level::CouldNotCheck,
            Code::ConfirmedElsewhere,
            Subject::default(),
            format!(
                "all {elsewhere} confirmations are of other buckets or prefixes than {}",
                bucket.unwrap_or_default()
            ),
        )?;
    }
    Ok(())
}

fn claim(row: &rusqlite::Row<'_>) -> rusqlite::Result<Claim> {
    let state: Option<String> = row.get(10)?;
    let found = match state {
        None => None,
        Some(state) => Some(Found {
            state,
            problem: row.get(11)?,
            sha256: row.get(12)?,
            size_bytes: row.get(13)?,
            lock: row.get(14)?,
            retain_until_us: row.get(15)?,
        }),
    };
    Ok(Claim {
        subject: Subject {
            client_id: row.get(0)?,
            host_id: row.get(1)?,
            chain_id: row.get(2)?,
            sequence: Some(number(row, 3)?),
            bundle_id: row.get(4)?,
            path: row.get(5)?,
            version_id: row.get(6)?,
        },
        sha256: row.get(7)?,
        size_bytes: number(row, 8)?,
        retain_until_us: row.get(9)?,
        found,
    })
}

/// Whether nothing speaks against it; what does is counted and said.
fn one(bench: &mut Bench<'_>, claim: &Claim) -> Result<bool, LedgerError> {
    let subject = claim.subject.clone();
    let Some(found) = &claim.found else {
        missing(bench, claim)?;
        return Ok(false);
    };
    if found.state != "read" {
        let why = found.problem.clone();
        let why = why.unwrap_or_else(|| "it was not read".to_owned());
        bench
            .book
            .unchecked(Check::Confirmed, Code::NotRead, subject, why)?;
        return Ok(false);
    }
    let mut differs = Vec::new();
    if found.size_bytes.map(i64::unsigned_abs) != Some(claim.size_bytes) {
        differs.push(format!("its size is not {} bytes", claim.size_bytes));
    }
    if found.sha256.as_ref() != Some(&claim.sha256) {
        differs.push("its bytes are others".to_owned());
    }
    if !differs.is_empty() {
        bench.book.fail(
            Check::Confirmed,
            Code::ConfirmedDiffers,
            subject,
            format!("custody says otherwise: {}", differs.join("; ")),
        )?;
        return Ok(false);
    }
    lock(bench, claim, found)
}

fn lock(bench: &mut Bench<'_>, claim: &Claim, found: &Found) -> Result<bool, LedgerError> {
    let subject = claim.subject.clone();
    let stated = words(claim.retain_until_us);
    let message = match (found.lock.as_deref(), found.retain_until_us) {
        // A folder.
        (None, _) => return Ok(true),
        (Some("compliance"), Some(until)) if until >= claim.retain_until_us => return Ok(true),
        (Some("compliance"), Some(until)) => {
            format!(
                "custody says that it is locked until {stated}; it is until {}",
                words(until)
            )
        }
        (Some("unknown"), _) => {
            bench.book.unchecked(
                Check::Confirmed,
                Code::LockUnknown,
                subject,
                format!("custody says that it is locked until {stated}; the store would not say"),
            )?;
            return Ok(false);
        }
        _ => format!("custody says that it is locked in COMPLIANCE mode until {stated}; it is not"),
    };
    bench.book.fail(
        Check::Confirmed,
        Code::ConfirmedLockDiffers,
        subject,
        message,
    )?;
    Ok(false)
}

fn missing(bench: &mut Bench<'_>, claim: &Claim) -> Result<(), LedgerError> {
    let path = claim.subject.path.as_deref().unwrap_or_default();
    let has_others = bench.lies_there(path)?;
    let (code, message) = if has_others {
        (
            Code::ConfirmedVersionMissing,
            "custody says that this version is stored and locked; only others are there",
        )
    } else {
        (
            Code::ConfirmedMissing,
            "custody says that it is stored and locked, and it is not there",
        )
    };
    let level = if bench.is_listed {
        Level::Failed
    } else {
        Level::CouldNotCheck
    };
    bench.book.count(Check::Confirmed, level, 1);
    bench.book.say(
        Check::Confirmed,
        level,
        code,
        claim.subject.clone(),
        message,
    )
}
