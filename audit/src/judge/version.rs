//! Does each object have one version, with nothing laid over it?
//!
//! Whoever may write can lay versions and delete markers over a locked one, at any time. They remove
//! nothing, and the evidence below is what counts; but nobody with an honest reason does it.

use super::Bench;
use super::signature::subject_of;
use crate::code::Code;
use crate::finding::Check;
use crate::ledger::LedgerError;

struct Key {
    path: String,
    versions: i64,
    markers: i64,
    /// Different digests among the versions that were read.
    digests: i64,
    unread: i64,
    compliance: i64,
    wrong_size: i64,
}

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT path, sum(1 - is_delete_marker), sum(is_delete_marker), count(DISTINCT sha256),
           sum(is_delete_marker = 0 AND sha256 IS NULL), coalesce(sum(lock = 'compliance'), 0),
           coalesce(sum(state = 'read' AND size_bytes <> listed_bytes), 0)
         FROM version WHERE role <> 'other' GROUP BY path ORDER BY path",
    )?;
    let mut rows = statement.query([])?;
    let mut in_folder = 0;
    while let Some(row) = rows.next()? {
        let key = Key {
            path: row.get(0)?,
            versions: row.get(1)?,
            markers: row.get(2)?,
            digests: row.get(3)?,
            unread: row.get(4)?,
            compliance: row.get(5)?,
            wrong_size: row.get(6)?,
        };
        if bench.judging.has_store_metadata {
            one(bench, &key)?;
        } else {
            in_folder += 1;
        }
    }
    bench
        .book
        .not_in_a_folder(Check::Version, in_folder, "has no versions")
}

fn one(bench: &mut Bench<'_>, key: &Key) -> Result<(), LedgerError> {
    let subject = || subject_of(&key.path);
    let book = &mut bench.book;
    if key.wrong_size > 0 {
        return book.fail(
            Check::Version,
            Code::SizeDiffers,
            subject(),
            "the listing tells another size than there are bytes",
        );
    }
    if key.markers > 0 {
        return book.fail(
            Check::Version,
            Code::DeleteMarker,
            subject(),
            format!(
                "{} delete markers lie over {} versions, which are still there",
                key.markers, key.versions
            ),
        );
    }
    if key.versions == 1 {
        book.pass(Check::Version, 1);
        return Ok(());
    }
    let n = key.versions;
    if key.digests > 1 {
        return book.fail(
            Check::Version,
            Code::Shadowed,
            subject(),
            format!(
                "{n} versions with {} different contents are there",
                key.digests
            ),
        );
    }
    if key.unread > 0 {
        return book.unchecked(
            Check::Version,
            Code::NotRead,
            subject(),
            format!("{n} versions are there, and not all of them could be read"),
        );
    }
    let message = format!("{n} versions with the same bytes are there");
    if key.compliance < n {
        return book.fail(
            Check::Version,
            Code::StoredTwice,
            subject(),
            format!("{message}, and not all of them are locked"),
        );
    }
    // A store that ignores If-None-Match, and an answer that was lost.
    book.pass(Check::Version, 1);
    book.note(Check::Version, Code::StoredTwice, subject(), message)
}
