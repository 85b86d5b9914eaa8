//! Is each bundle signed, over exactly its bytes, and is what was signed a bundle?
//!
//! Content is asked of what is signed only: of anything else nothing is looked at.

use super::Bench;
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::LedgerError;
use crate::place::Place;

struct Found {
    path: String,
    version_id: String,
    state: String,
    code: Option<Code>,
    problem: Option<String>,
}

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    bundles(bench)?;
    unread(bench)?;
    alone(bench)
}

/// By key: the version that is the evidence, else the oldest.
fn bundles(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT bundle.path, version.version_id, bundle.state, bundle.code, bundle.problem
         FROM bundle JOIN version USING (version_rowid)
         ORDER BY bundle.path, bundle.is_evidence DESC, version.last_modified_us,
           version.version_rowid DESC",
    )?;
    let mut rows = statement.query([])?;
    let mut group: Option<(Found, bool)> = None;
    while let Some(row) = rows.next()? {
        let code: Option<String> = row.get(3)?;
        let found = Found {
            path: row.get(0)?,
            version_id: row.get(1)?,
            state: row.get(2)?,
            code: code.as_deref().and_then(Code::from_name),
            problem: row.get(4)?,
        };
        let is_unread = found.state == "unread";
        match &mut group {
            Some((first, any_unread)) if first.path == found.path => *any_unread |= is_unread,
            _ => {
                if let Some((first, any_unread)) = group.replace((found, is_unread)) {
                    one(bench, &first, any_unread)?;
                }
            }
        }
    }
    match group {
        Some((first, any_unread)) => one(bench, &first, any_unread),
        None => Ok(()),
    }
}

fn one(bench: &mut Bench<'_>, found: &Found, any_unread: bool) -> Result<(), LedgerError> {
    let book = &mut bench.book;
    let subject = || Subject {
        version_id: Some(found.version_id.clone()).filter(|id| !id.is_empty()),
        ..subject_of(&found.path)
    };
    let problem = found.problem.clone().unwrap_or_default();
    if found.state == "verified" {
        book.pass(Check::Signature, 1);
        book.pass(Check::Content, 1);
        return Ok(());
    }
    let code = found.code.unwrap_or(Code::NotRead);
    if any_unread {
        // The version that was not read may be the one that proves.
        return book.unchecked(
            Check::Signature,
            Code::NotRead,
            subject(),
            format!("it, or another version of it, could not be read: {problem}"),
        );
    }
    match code {
        Code::NotJson
        | Code::NotTheSchema
        | Code::ContentHash
        | Code::HeaderInconsistent
        | Code::BodyInconsistent => {
            book.pass(Check::Signature, 1);
            book.fail(Check::Content, code, subject(), problem)
        }
        Code::UnknownKey => book.fail(
            Check::Signature,
            code,
            subject(),
            format!(
                "it names the key {problem}, which you did not give, and no rotation of a key that \
                 you gave leads to"
            ),
        ),
        code => book.fail(Check::Signature, code, subject(), problem),
    }
}

/// Bundles that were listed and never asked for: reading ended before.
fn unread(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let n: i64 = bench.ledger.sql().query_row(
        "SELECT count(DISTINCT path) FROM version
         WHERE role = 'bundle' AND state = 'unread'
           AND NOT EXISTS (SELECT 1 FROM bundle WHERE bundle.path = version.path)",
        [],
        |row| row.get(0),
    )?;
    if n > 0 {
        bench
            .book
            .count(Check::Signature, Level::CouldNotCheck, n.unsigned_abs());
        bench.book.say(
            Check::Signature,
            Level::CouldNotCheck,
            Code::NotRead,
            Subject::default(),
            format!("{n} bundles were not read"),
        )?;
    }
    Ok(())
}

/// The bundle comes last, so a signature without one is an upload that never ended, or a bundle that
/// was taken away.
fn alone(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT DISTINCT path FROM version AS signature
         WHERE role = 'signature' AND is_delete_marker = 0 AND NOT EXISTS
           (SELECT 1 FROM version WHERE bundle_path = signature.bundle_path
              AND role = 'bundle' AND is_delete_marker = 0)
         ORDER BY path",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        let level = if bench.is_listed {
            Level::Failed
        } else {
            Level::CouldNotCheck
        };
        bench.book.count(Check::Signature, level, 1);
        bench.book.say(
            Check::Signature,
            level,
            Code::SignatureAlone,
            subject_of(&path),
            "there is no bundle that goes with this signature; if it was stored moments ago, audit again",
        )?;
    }
    Ok(())
}

/// What the path says.
pub(super) fn subject_of(path: &str) -> Subject {
    let place = Place::of(path);
    let part = |part: fn(&Place<'_>) -> String| place.as_ref().map(part);
    Subject {
        client_id: part(|p| p.client_id.to_owned()),
        host_id: part(|p| p.host_id.to_owned()),
        chain_id: part(|p| p.chain_id.to_owned()),
        bundle_id: part(|p| p.bundle_id.to_owned()),
        path: Some(path.to_owned()),
        ..Subject::default()
    }
}
