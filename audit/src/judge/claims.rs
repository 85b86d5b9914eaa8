//! What hosts themselves sealed as looking wrong, and what only several hosts together show.
//!
//! All of it is to be known and none of it fails: the evidence is whole, and what it claims is for the
//! auditor to judge. One note stands for many bundles, by host and code.

use super::{Bench, number};
use crate::code::Code;
use crate::finding::{Check, Subject};
use crate::ledger::LedgerError;

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    sealed(bench)?;
    runbooks(bench)?;
    clocks(bench)
}

fn sealed(bench: &Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT client_id, host_id, found.value, count(DISTINCT sha256), min(bundle_id),
           (SELECT count(DISTINCT sha256) FROM bundle AS every WHERE every.is_trusted = 1
              AND every.incident IS NOT NULL AND every.client_id = bundle.client_id
              AND every.host_id = bundle.host_id)
         FROM bundle, json_each(bundle.incident, '$.findings') AS found
         WHERE is_trusted = 1 AND incident IS NOT NULL
         GROUP BY client_id, host_id, found.value ORDER BY client_id, host_id, found.value",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let code: String = row.get(2)?;
        let meaning = evidence::findings::code::meaning(&code);
        let first: String = row.get(4)?;
        let message = format!(
            "{} of {} incidents were sealed with {code}, the first by name being {first}. {meaning}",
            number(row, 3)?,
            number(row, 5)?,
        );
        let subject = of_host(row)?;
        bench.book.note(
            Check::Content,
            Code::SealedWithFinding,
            subject,
            message.trim_end(),
        )?;
    }
    Ok(())
}

/// A host compares its own; hosts that disagree with each other are seen here only.
fn runbooks(bench: &Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT client_id, runbook_id, runbook_version, count(DISTINCT hash), count(DISTINCT host_id),
           min(bundle_id)
         FROM (SELECT client_id, host_id, bundle_id,
                 json_extract(detail, '$.runbook_id') AS runbook_id,
                 json_extract(detail, '$.runbook_version') AS runbook_version,
                 json_extract(detail, '$.runbook_hash') AS hash
               FROM bundle WHERE is_trusted = 1 AND detail IS NOT NULL)
         WHERE hash GLOB 'sha256:*' AND substr(hash, 8) GLOB '*[^0]*'
         GROUP BY client_id, runbook_id, runbook_version HAVING count(DISTINCT hash) > 1
         ORDER BY client_id, runbook_id, runbook_version",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let subject = Subject {
            client_id: row.get(0)?,
            ..Subject::default()
        };
        let (id, version, first): (String, String, String) =
            (row.get(1)?, row.get(2)?, row.get(5)?);
        let message = format!(
            "runbook {id}, version {version}, has {} hashes on {} hosts, first in {first}: which one was \
             run is not told by its version",
            number(row, 3)?,
            number(row, 4)?,
        );
        bench
            .book
            .note(Check::Content, Code::RunbookDiffers, subject, message)?;
    }
    Ok(())
}

fn clocks(bench: &Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT client_id, host_id, count(*), sum(synchronised IS 0),
           sum(synchronised IS NULL AND bound IS NULL), max(bound)
         FROM (SELECT DISTINCT client_id, host_id, sha256,
                 json_extract(detail, '$.clock.synchronised') AS synchronised,
                 json_extract(detail, '$.clock.estimated_error_ms') AS bound
               FROM bundle WHERE is_trusted = 1 AND detail IS NOT NULL)
         GROUP BY client_id, host_id ORDER BY client_id, host_id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (all, not, unknown) = (number(row, 2)?, number(row, 3)?, number(row, 4)?);
        if not + unknown == 0 {
            continue;
        }
        let bound: Option<f64> = row.get(5)?;
        let bound = bound.map_or_else(String::new, |ms| {
            format!("; of the others the largest error bound told is {ms:.0} ms")
        });
        let message = format!(
            "of {all} incidents, {not} were sealed by a clock that was said not to be synchronised, and \
             {unknown} by one of which nothing was known{bound}"
        );
        bench
            .book
            .note(Check::Time, Code::ClockNotKnown, of_host(row)?, message)?;
    }
    Ok(())
}

/// The host in the first two columns.
fn of_host(row: &rusqlite::Row<'_>) -> rusqlite::Result<Subject> {
    Ok(Subject {
        client_id: row.get(0)?,
        host_id: row.get(1)?,
        ..Subject::default()
    })
}
