//! Is what custody says was sealed there, as it says?

use evidence::bundle::{BundleId, object_path};

use super::{Bench, number, short, words};
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::LedgerError;

/// A line of the index, and the bundle at that place, if there is one.
struct Line {
    subject: Subject,
    sha256: Vec<u8>,
    differs: Option<Vec<String>>,
}

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    lines(
        bench,
        "there.chain_id = sealed.chain_id AND there.sequence = sealed.sequence",
        "stating.reseals_sha256 IS NULL",
    )?;
    // What was resealed speaks of another chain than its own.
    lines(
        bench,
        "there.sha256 = sealed.sha256",
        "stating.reseals_sha256 IS NOT NULL",
    )
}

/// Every line of custody bundles of which `these` is true, with the bundle that is `found` so.
fn lines(bench: &mut Bench<'_>, found: &str, these: &str) -> Result<(), LedgerError> {
    // Where two bundles claim one place, the one with the stated digest comes first.
    let query = format!(
        "SELECT stating.client_id, stating.host_id, sealed.chain_id, sealed.sequence,
           sealed.bundle_id, sealed.sha256, sealed.kind, sealed.generated_at_us, sealed.incident,
           there.bundle_id, there.sha256, there.kind, there.generated_at_us, there.incident,
           stating.bundle_rowid
         FROM bundle AS stating JOIN sealed USING (bundle_rowid)
         LEFT JOIN bundle AS there ON {found} AND there.is_trusted = 1
           AND there.client_id = stating.client_id AND there.host_id = stating.host_id
         WHERE stating.is_trusted = 1 AND {these}
         ORDER BY stating.client_id, stating.host_id, stating.chain_id, stating.sequence,
           stating.bundle_rowid, sealed.sequence, there.sha256 IS NOT sealed.sha256, there.path"
    );
    let mut statement = bench.ledger.sql().prepare_cached(&query)?;
    let mut rows = statement.query([])?;
    let mut last: Option<(i64, u64)> = None;
    while let Some(row) = rows.next()? {
        let this = (row.get(14)?, number(row, 3)?);
        if last.replace(this) == Some(this) {
            continue;
        }
        let line = line(row)?;
        one(bench, &line)?;
    }
    Ok(())
}

fn line(row: &rusqlite::Row<'_>) -> rusqlite::Result<Line> {
    let bundle_id: String = row.get(4)?;
    let sha256: Vec<u8> = row.get(5)?;
    let there: Option<String> = row.get(9)?;
    let differs = match there {
        None => None,
        Some(there) => {
            let mut differs = Vec::new();
            if there != bundle_id {
                differs.push(format!("its name is {there}"));
            }
            let digest: Vec<u8> = row.get(10)?;
            if digest != sha256 {
                differs.push(format!(
                    "its bytes are {}, not {}",
                    short(&digest),
                    short(&sha256)
                ));
            }
            let text = |column| row.get::<_, Option<String>>(column);
            if text(11)? != text(6)? {
                differs.push("its kind is another one".to_owned());
            }
            let time = |column| row.get::<_, i64>(column);
            if time(12)? != time(7)? {
                differs.push(format!("it was sealed at {}", words(time(12)?)));
            }
            if text(13)? != text(8)? {
                differs.push("the incident in it says something else".to_owned());
            }
            Some(differs)
        }
    };
    Ok(Line {
        subject: Subject {
            client_id: row.get(0)?,
            host_id: row.get(1)?,
            chain_id: row.get(2)?,
            sequence: Some(number(row, 3)?),
            bundle_id: Some(bundle_id),
            ..Subject::default()
        },
        sha256,
        differs,
    })
}

fn one(bench: &mut Bench<'_>, line: &Line) -> Result<(), LedgerError> {
    let subject = line.subject.clone();
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let (client, host) = (part(&subject.client_id), part(&subject.host_id));
    match &line.differs {
        Some(differs) if differs.is_empty() => {
            bench.book.pass(Check::Sealed, 1);
            Ok(())
        }
        _ if bench.is_resealed((&client, &host), &line.sha256)? => {
            bench.book.pass(Check::Sealed, 1);
            Ok(())
        }
        Some(differs) => bench.book.fail(
            Check::Sealed,
            Code::SealedDiffers,
            subject,
            format!("custody says otherwise: {}", differs.join("; ")),
        ),
        None => {
            let is_there = match path_of(&subject) {
                Some(path) => bench.lies_there(&path)?,
                None => false,
            };
            let (level, message) = if is_there || !bench.is_listed {
                (
                    Level::CouldNotCheck,
                    "custody says that it was sealed; what lies there is not proven",
                )
            } else {
                (
                    Level::Failed,
                    "custody says that it was sealed, and it is not there",
                )
            };
            bench.book.count(Check::Sealed, level, 1);
            bench
                .book
                .say(Check::Sealed, level, Code::SealedMissing, subject, message)
        }
    }
}

fn path_of(subject: &Subject) -> Option<String> {
    let id: BundleId = subject.bundle_id.as_deref()?.parse().ok()?;
    Some(object_path(
        subject.client_id.as_deref()?,
        subject.host_id.as_deref()?,
        subject.chain_id.as_deref()?,
        id.day(),
        &id.file_name(),
    ))
}
