//! Is each artifact that a bundle names there, with the bytes that it names?

use super::Bench;
use super::signature::subject_of;
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::LedgerError;

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT artifact.path, artifact.name, bundle.sequence,
           count(version.version_rowid),
           coalesce(sum(version.sha256 = artifact.sha256
             AND version.size_bytes = artifact.size_bytes), 0),
           coalesce(sum(version.state <> 'read'), 0), max(version.problem)
         FROM artifact JOIN bundle USING (bundle_rowid)
         LEFT JOIN version ON version.path = artifact.path AND version.is_delete_marker = 0
         WHERE bundle.is_trusted = 1
         GROUP BY artifact.bundle_rowid, artifact.path ORDER BY artifact.path",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        let name: String = row.get(1)?;
        let sequence: i64 = row.get(2)?;
        let (there, right, unread): (i64, i64, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let problem: Option<String> = row.get(6)?;
        let subject = Subject {
            sequence: Some(sequence.unsigned_abs()),
            ..subject_of(&path)
        };
        if right > 0 {
            bench.book.pass(Check::Artifact, 1);
        } else if unread > 0 {
            let why = problem.unwrap_or_else(|| "it was not read".to_owned());
            bench
                .book
                .unchecked(Check::Artifact, Code::NotRead, subject, why)?;
        } else if there > 0 {
            let message = format!("{name:?} has other bytes than the bundle names");
            bench
                .book
                .fail(Check::Artifact, Code::ArtifactChanged, subject, message)?;
        } else {
            let level = if bench.is_listed {
                Level::Failed
            } else {
                Level::CouldNotCheck
            };
            bench.book.count(Check::Artifact, level, 1);
            let message = format!("{name:?} is not there");
            bench.book.say(
                Check::Artifact,
                level,
                Code::ArtifactMissing,
                subject,
                message,
            )?;
        }
    }
    Ok(())
}
