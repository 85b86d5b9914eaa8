//! Does anything lie below the prefix that belongs to no bundle?

use evidence::handover::WRITE_PROBE_FOLDER;

use rusqlite::OptionalExtension as _;

use super::Bench;
use super::signature::subject_of;
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::LedgerError;
use crate::place::Place;

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT path, role, bundle_path,
           EXISTS (SELECT 1 FROM artifact JOIN bundle USING (bundle_rowid)
                   WHERE artifact.path = version.path AND is_trusted = 1),
           EXISTS (SELECT 1 FROM bundle
                   WHERE bundle.path = version.bundle_path AND is_trusted = 1)
         FROM version GROUP BY path ORDER BY path",
    )?;
    let mut rows = statement.query([])?;
    let mut foreign = 0_u64;
    let mut ours = 0_u64;
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        let role: String = row.get(1)?;
        match role.as_str() {
            // Whatever is wrong with them is said where they are judged.
            "bundle" | "signature" | "record" | "record_signature" => {
                ours += 1;
                bench.book.pass(Check::Unexpected, 1);
            }
            "artifact" => {
                ours += 1;
                let is_named: bool = row.get(3)?;
                let is_proven: bool = row.get(4)?;
                artifact(bench, &path, is_named, is_proven)?;
            }
            _ if !bench.judging.has_store_metadata && is_locations(&path) => {}
            // It hides nothing: every one of them is named, and none counts as evidence.
            _ if is_write_probe(&path) => {
                ours += 1;
                bench.book.pass(Check::Unexpected, 1);
                bench.book.note(
                    Check::Unexpected,
                    Code::WriteProbe,
                    subject_of(&path),
                    "`doctor --write-probe` stores such objects; it is no evidence",
                )?;
            }
            _ => {
                foreign += 1;
                bench.book.say(
                    Check::Unexpected,
                    Level::Failed,
                    Code::UnexpectedObject,
                    Subject {
                        path: Some(path),
                        ..Subject::default()
                    },
                    "no object of a bundle is called so",
                )?;
            }
        }
    }
    // Where nothing is ours the prefix is another one, and what lies there is nobody's fault.
    let level = if ours > 0 {
        Level::Failed
    } else {
        bench.ledger.sql().execute(
            "UPDATE finding SET level = 'could_not_check' WHERE check_name = 'unexpected'",
            [],
        )?;
        Level::CouldNotCheck
    };
    bench.book.count(Check::Unexpected, level, foreign);
    Ok(())
}

fn artifact(
    bench: &mut Bench<'_>,
    path: &str,
    is_named: bool,
    is_proven: bool,
) -> Result<(), LedgerError> {
    let subject = subject_of(path);
    if is_named {
        bench.book.pass(Check::Unexpected, 1);
        Ok(())
    } else if is_said_again(bench, path)? {
        bench.book.pass(Check::Unexpected, 1);
        bench.book.note(
            Check::Unexpected,
            Code::Resealed,
            subject,
            "the bundle that it was stored for is said again by another one, which names the same bytes",
        )
    } else if is_proven || bench.is_listed && !bench.lies_there(&bundle_of(path))? {
        bench.book.fail(
            Check::Unexpected,
            Code::UnexpectedObject,
            subject,
            "no bundle names this artifact",
        )
    } else {
        bench.book.unchecked(
            Check::Unexpected,
            Code::UnexpectedObject,
            subject,
            "the bundle that it lies with is not proven, so nobody knows whether it names it",
        )
    }
}

/// Artifacts come before their bundle. Where its key was taken by then, they lie there for a bundle
/// that is elsewhere now.
fn is_said_again(bench: &Bench<'_>, path: &str) -> Result<bool, LedgerError> {
    let Some(place) = Place::of(path) else {
        return Ok(false);
    };
    let found: Option<i64> = bench
        .ledger
        .sql()
        .prepare_cached(
            "SELECT 1 FROM bundle JOIN artifact USING (bundle_rowid)
             WHERE is_trusted = 1 AND client_id = ?1 AND host_id = ?2 AND reseals_bundle_id = ?3
               AND artifact.sha256 IN
                 (SELECT version.sha256 FROM version WHERE version.path = ?4) LIMIT 1",
        )?
        .query_row(
            [place.client_id, place.host_id, place.bundle_id, path],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found.is_some())
}

fn bundle_of(path: &str) -> String {
    Place::of(path).map_or_else(String::new, |place| place.bundle_path)
}

/// What an agent writes beside its bundles, and no uploader stores.
fn is_locations(path: &str) -> bool {
    path.strip_suffix(".locations.json")
        .is_some_and(|stem| Place::of(&format!("{stem}.json")).is_some())
}

/// `{client}/{host}/write-probes/{name}`.
fn is_write_probe(path: &str) -> bool {
    matches!(
        path.split('/').collect::<Vec<_>>()[..],
        [_, _, WRITE_PROBE_FOLDER, _]
    )
}
