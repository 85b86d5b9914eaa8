//! Are the records of what operators did to locks theirs, and whole?
//!
//! Legal holds and longer locks are set at the store by people, so no bundle attests them. Each is
//! recorded before and after, signed with the operator's own key: one that the auditor has to know like
//! any other.

use rusqlite::{OptionalExtension as _, params};

use super::{Bench, key};
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::LedgerError;

struct Found {
    path: String,
    state: String,
    code: Option<Code>,
    problem: String,
    is_evidence: bool,
    key_id: String,
    own_path: String,
    record_id: String,
    stored_us: Option<i64>,
    stage: String,
    intended: Option<(String, Vec<u8>)>,
    store: String,
    words: String,
}

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT record.path, record.state, code, record.problem, is_evidence, key_id, own_path,
           record_id, record.stored_us, stage, intended_id, intended_sha256, store, action, made_by,
           reason, objects, refused
         FROM record JOIN version USING (version_rowid)
         ORDER BY record.path, is_evidence DESC, version.last_modified_us,
           version.version_rowid DESC",
    )?;
    let mut rows = statement.query([])?;
    let mut last: Option<String> = None;
    while let Some(row) = rows.next()? {
        let found = found(row)?;
        // Of each key the one that is the evidence, else the oldest; others are laid over it.
        if last.as_ref() != Some(&found.path) {
            one(bench, &found)?;
        }
        last = Some(found.path);
    }
    alone(bench)
}

fn found(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
    let text = |column| {
        Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.unwrap_or_default())
    };
    let code: Option<String> = row.get(2)?;
    let (intended, digest): (Option<String>, Option<Vec<u8>>) = (row.get(10)?, row.get(11)?);
    let number = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.unwrap_or(0));
    let (objects, refused) = (number(16)?, number(17)?);
    Ok(Found {
        path: row.get(0)?,
        state: row.get(1)?,
        code: code.as_deref().and_then(Code::from_name),
        problem: text(3)?,
        is_evidence: row.get(4)?,
        key_id: text(5)?,
        own_path: text(6)?,
        record_id: text(7)?,
        stored_us: row.get(8)?,
        stage: text(9)?,
        intended: intended.zip(digest),
        store: text(12)?,
        words: format!(
            "{} of {objects} objects by {} ({}), {refused} refused by the store",
            text(13)?.replace('_', " "),
            text(14)?,
            text(15)?
        ),
    })
}

fn one(bench: &mut Bench<'_>, found: &Found) -> Result<(), LedgerError> {
    let subject = about(&found.path);
    if !found.is_evidence {
        let code = found.code.unwrap_or(Code::NotRead);
        let (level, message) = match found.state.as_str() {
            "unread" => (Level::CouldNotCheck, found.problem.clone()),
            "unknown_key" => (
                Level::CouldNotCheck,
                format!(
                    "it names the key {}; if that is an operator's, it belongs in your keyring",
                    found.problem
                ),
            ),
            _ => (Level::Failed, found.problem.clone()),
        };
        bench.book.count(Check::Record, level, 1);
        return bench.book.say(Check::Record, level, code, subject, message);
    }
    if found.own_path != found.path {
        let message = format!("it says that it belongs to {}", found.own_path);
        let book = &mut bench.book;
        return book.fail(Check::Record, Code::Misplaced, subject, message);
    }
    if let Some(bucket) = &bench.judging.bucket_uri
        && *bucket != found.store
    {
        let message = format!("it speaks of {}", found.store);
        let book = &mut bench.book;
        return book.fail(Check::Record, Code::RecordOfAnotherStore, subject, message);
    }
    let pinned = bench.keyring.get(&found.key_id);
    if let Some(objection) = pinned.and_then(|pinned| key::in_time(pinned, found.stored_us)) {
        bench.book.count(Check::Record, objection.level, 1);
        return bench.book.say(
            Check::Record,
            objection.level,
            objection.code,
            subject,
            objection.message,
        );
    }
    if pinned.is_none() {
        // A host's rotation leads to a host's key, and no operator's.
        return bench.book.fail(
            Check::Record,
            Code::UnknownKey,
            subject,
            "it is signed by a host's key that only a rotation names",
        );
    }
    whole(bench, found, subject)
}

/// What was done was intended before; what was intended, something came of.
fn whole(bench: &mut Bench<'_>, found: &Found, subject: Subject) -> Result<(), LedgerError> {
    if let Some((id, digest)) = &found.intended {
        if !exists(
            bench,
            "SELECT 1 FROM record WHERE record_id = ?1 AND sha256 = ?2 AND is_evidence = 1 LIMIT 1",
            params![id, digest],
        )? {
            let level = if bench.is_listed {
                Level::Failed
            } else {
                Level::CouldNotCheck
            };
            bench.book.count(Check::Record, level, 1);
            let message = format!("the record of its intention, {id}, is not there");
            return bench
                .book
                .say(Check::Record, level, Code::RecordBroken, subject, message);
        }
        bench.book.pass(Check::Record, 1);
        return bench
            .book
            .note(Check::Record, Code::Recorded, subject, &found.words);
    }
    bench.book.pass(Check::Record, 1);
    let is_finished = exists(
        bench,
        "SELECT 1 FROM record WHERE intended_id = ?1 AND is_evidence = 1 LIMIT 1",
        params![found.record_id],
    )?;
    if found.stage == "intended" && !is_finished {
        let words = &found.words;
        bench
            .book
            .note(Check::Record, Code::RecordUnfinished, subject, words)?;
    }
    Ok(())
}

fn exists(
    bench: &Bench<'_>,
    query: &str,
    values: impl rusqlite::Params,
) -> Result<bool, LedgerError> {
    let found: Option<i64> = bench
        .ledger
        .sql()
        .prepare_cached(query)?
        .query_row(values, |row| row.get(0))
        .optional()?;
    Ok(found.is_some())
}

/// Signatures of records that are not there, and records that were never read.
fn alone(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT DISTINCT path, role FROM version AS there
         WHERE is_delete_marker = 0 AND (role = 'record_signature' AND NOT EXISTS
             (SELECT 1 FROM version WHERE bundle_path = there.bundle_path AND role = 'record'
                AND is_delete_marker = 0)
           OR role = 'record' AND NOT EXISTS
             (SELECT 1 FROM record WHERE record.path = there.path))
         ORDER BY path",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        let role: String = row.get(1)?;
        let subject = about(&path);
        if role == "record" || !bench.is_listed {
            let message = "it was not read";
            let book = &mut bench.book;
            book.unchecked(Check::Record, Code::NotRead, subject, message)?;
        } else {
            let message = "there is no record that goes with this signature";
            let book = &mut bench.book;
            book.fail(Check::Record, Code::SignatureAlone, subject, message)?;
        }
    }
    Ok(())
}

fn about(path: &str) -> Subject {
    Subject {
        path: Some(path.to_owned()),
        ..Subject::default()
    }
}
