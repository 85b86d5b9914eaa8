//! Does each bundle lie where its own, signed header says?
//!
//! A true bundle under another host's folder would speak for that host: it was moved, or replayed. One
//! that lies in the folder of its own chain under another name or day still fills its place in that chain,
//! unless it lies there properly as well.

use super::Bench;
use super::signature::subject_of;
use crate::code::Code;
use crate::finding::{Check, Subject};
use crate::ledger::LedgerError;

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let sql = bench.ledger.sql();
    sql.execute(
        "UPDATE bundle SET is_trusted = 1 WHERE is_evidence = 1 AND own_path = path",
        [],
    )?;
    sql.execute(
        "UPDATE bundle SET is_trusted = 1
         WHERE is_evidence = 1 AND own_path <> path
           AND instr(path, client_id || '/' || host_id || '/' || chain_id || '/') = 1
           AND NOT EXISTS (SELECT 1 FROM bundle AS other
             WHERE other.sha256 = bundle.sha256 AND other.is_evidence = 1
               AND other.own_path = other.path)",
        [],
    )?;
    let right: i64 = sql.query_row(
        "SELECT count(*) FROM bundle WHERE is_evidence = 1 AND own_path = path",
        [],
        |row| row.get(0),
    )?;
    bench.book.pass(Check::Place, right.unsigned_abs());
    let mut statement = sql.prepare_cached(
        "SELECT path, own_path, bundle_id, client_id, host_id FROM bundle
         WHERE is_evidence = 1 AND own_path <> path ORDER BY path",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        let own_path: String = row.get(1)?;
        let subject = Subject {
            bundle_id: row.get(2)?,
            ..subject_of(&path)
        };
        let client: String = row.get(3)?;
        let host: String = row.get(4)?;
        let whose = if subject.client_id.as_ref() != Some(&client) {
            format!("it is of another client, {client}: ")
        } else if subject.host_id.as_ref() != Some(&host) {
            format!("it is of another host, {host}: ")
        } else {
            String::new()
        };
        bench.book.fail(
            Check::Place,
            Code::Misplaced,
            subject,
            format!("{whose}its header says that it belongs to {own_path}"),
        )?;
    }
    Ok(())
}
