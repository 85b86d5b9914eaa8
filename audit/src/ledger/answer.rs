//! Reading the result back.

use rusqlite::{Row, params};

use super::values::int;
use super::{Ledger, LedgerError};
use crate::code::Code;
use crate::finding::{Check, Finding, Level, Subject, Tally};

impl Ledger {
    /// Forgets what was judged before.
    pub(crate) fn clear_judgement(&self) -> Result<(), LedgerError> {
        self.sql().execute_batch(
            "DELETE FROM finding; DELETE FROM tally; UPDATE bundle SET is_trusted = 0
             WHERE is_trusted = 1;",
        )?;
        Ok(())
    }

    /// Writes a finding down.
    pub(crate) fn add_finding(&self, finding: &Finding) -> Result<(), LedgerError> {
        let subject = &finding.subject;
        self.sql()
            .prepare_cached(
                "INSERT INTO finding (check_name, level, code, client_id, host_id, chain_id,
                   sequence, bundle_id, path, version_id, message)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                finding.check.as_str(),
                finding.level.as_str(),
                finding.code.as_str(),
                subject.client_id,
                subject.host_id,
                subject.chain_id,
                subject.sequence.map(int),
                subject.bundle_id,
                subject.path,
                subject.version_id,
                finding.message
            ])?;
        Ok(())
    }

    /// Writes the counts of a check down.
    pub(crate) fn set_tally(&self, check: Check, tally: Tally) -> Result<(), LedgerError> {
        self.sql()
            .prepare_cached(
                "INSERT OR REPLACE INTO tally (check_name, passed, failed, could_not_check)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                check.as_str(),
                int(tally.passed),
                int(tally.failed),
                int(tally.could_not_check)
            ])?;
        Ok(())
    }

    /// The counts of a check.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn tally(&self, check: Check) -> Result<Tally, LedgerError> {
        let mut statement = self.sql().prepare_cached(
            "SELECT passed, failed, could_not_check FROM tally WHERE check_name = ?1",
        )?;
        let mut rows = statement.query([check.as_str()])?;
        let Some(row) = rows.next()? else {
            return Ok(Tally::default());
        };
        let count = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
        Ok(Tally {
            passed: count(0)?,
            failed: count(1)?,
            could_not_check: count(2)?,
        })
    }

    /// How many findings a check has of a level.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn count_findings(&self, check: Check, level: Level) -> Result<u64, LedgerError> {
        let n: i64 = self
            .sql()
            .prepare_cached("SELECT count(*) FROM finding WHERE check_name = ?1 AND level = ?2")?
            .query_row([check.as_str(), level.as_str()], |row| row.get(0))?;
        Ok(n.unsigned_abs())
    }

    /// Every finding of a check and level, one after the other, always in the same order; `each`
    /// says whether to go on.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn findings(
        &self,
        check: Check,
        level: Level,
        mut each: impl FnMut(Finding) -> bool,
    ) -> Result<(), LedgerError> {
        let mut statement = self.sql().prepare_cached(
            "SELECT code, client_id, host_id, chain_id, sequence, bundle_id, path, version_id,
               message
             FROM finding WHERE check_name = ?1 AND level = ?2
             ORDER BY client_id, host_id, chain_id, sequence, path, version_id, code, message",
        )?;
        let mut rows = statement.query([check.as_str(), level.as_str()])?;
        while let Some(row) = rows.next()? {
            if !each(finding(check, level, row)?) {
                break;
            }
        }
        Ok(())
    }
}

fn finding(check: Check, level: Level, row: &Row<'_>) -> Result<Finding, LedgerError> {
    let code: String = row.get(0)?;
    Ok(Finding {
        check,
        level,
        code: Code::from_name(&code).ok_or(LedgerError::Damaged("a finding's code"))?,
        subject: Subject {
            client_id: row.get(1)?,
            host_id: row.get(2)?,
            chain_id: row.get(3)?,
            sequence: row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
            bundle_id: row.get(5)?,
            path: row.get(6)?,
            version_id: row.get(7)?,
        },
        message: row.get(8)?,
    })
}
