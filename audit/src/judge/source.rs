//! Is there something to audit, all of it, and of whom the auditor expects?

use rusqlite::params;

use super::Bench;
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::LedgerError;
use crate::place::forgotten_prefix;

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    listed(bench)?;
    read(bench)?;
    there(bench)?;
    expected(bench)
}

fn listed(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    if bench.is_listed {
        bench.book.pass(Check::Source, 1);
        return Ok(());
    }
    let why = bench.ledger.meta("unlisted")?.unwrap_or_default();
    bench.book.unchecked(
        Check::Source,
        Code::NotListed,
        Subject::default(),
        format!("the versions that are there could not be listed to the end: {why}"),
    )
}

fn read(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let problem = bench.ledger.meta("problem")?.unwrap_or_default();
    if problem.is_empty() {
        return Ok(());
    }
    bench.book.unchecked(
        Check::Source,
        Code::NotAllRead,
        Subject::default(),
        format!("{problem}; what was not read then was not checked"),
    )
}

/// Nothing there is no good news: the prefix may be another one.
fn there(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let sql = bench.ledger.sql();
    let count = |query: &str| -> Result<i64, LedgerError> {
        Ok(sql.query_row(query, [], |row| row.get(0))?)
    };
    let versions = count("SELECT count(*) FROM version")?;
    let bundles = count("SELECT count(*) FROM version WHERE role = 'bundle'")?;
    if bundles > 0 {
        bench.book.pass(Check::Source, 1);
        return Ok(());
    }
    let source = bench.ledger.origin()?;
    let place = format!("{}{}", source.source, below(&source.scope));
    if versions == 0 {
        if !bench.is_listed {
            return Ok(());
        }
        return bench.book.unchecked(
            Check::Source,
            Code::NothingThere,
            Subject::default(),
            format!(
                "nothing at all is in {place}: is the prefix right? It ends where the folder of the \
                 client begins"
            ),
        );
    }
    let mut statement = sql.prepare_cached("SELECT path FROM version ORDER BY path LIMIT 1000")?;
    let mut rows = statement.query([])?;
    let mut hint = String::new();
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        if let Some(prefix) = forgotten_prefix(&path) {
            hint = format!("; what lies below {prefix} is laid out so, try that as the prefix");
            break;
        }
    }
    bench.book.unchecked(
        Check::Source,
        Code::NoEvidence,
        Subject::default(),
        format!("nothing in {place} is laid out as evidence: is the prefix right?{hint}"),
    )
}

fn below(scope: &str) -> String {
    if scope.is_empty() {
        String::new()
    } else {
        format!(" below {scope}")
    }
}

fn expected(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    for expected in &bench.judging.expected {
        let found: i64 = bench
            .ledger
            .sql()
            .prepare_cached(
                "SELECT count(*) FROM bundle WHERE is_trusted = 1
                   AND (?1 IS NULL OR client_id = ?1) AND (?2 IS NULL OR host_id = ?2)",
            )?
            .query_row(params![expected.client_id, expected.host_id], |row| {
                row.get(0)
            })?;
        if found > 0 {
            bench.book.pass(Check::Source, 1);
            continue;
        }
        let level = if bench.is_listed {
            Level::Failed
        } else {
            Level::CouldNotCheck
        };
        bench.book.count(Check::Source, level, 1);
        bench.book.say(
            Check::Source,
            level,
            Code::HostMissing,
            Subject {
                client_id: expected.client_id.clone(),
                host_id: expected.host_id.clone(),
                ..Subject::default()
            },
            "you expect it, and there is no evidence of it that is proven",
        )?;
    }
    Ok(())
}
