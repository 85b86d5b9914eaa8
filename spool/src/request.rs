//! Requests of operators that were carried out, with their answers: each exactly once.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::reader::Reader;
use crate::{Spool, SpoolError};

/// A request that is carried out by the transaction that records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its id.
    pub request_id: String,
    /// The answer file's exact bytes.
    pub answer: Vec<u8>,
}

impl Applied {
    pub(crate) fn insert(&self, tx: &Transaction<'_>, now: Timestamp) -> Result<(), SpoolError> {
        tx.execute(
            "INSERT INTO request (request_id, answer, applied_at) VALUES (?1, ?2, ?3)",
            params![self.request_id, self.answer, now.to_string()],
        )?;
        Ok(())
    }
}

impl Spool {
    /// The answer to a request that was carried out before.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn answer(&self, request_id: &str) -> Result<Option<Vec<u8>>, SpoolError> {
        Ok(self
            .reader
            .db
            .prepare_cached("SELECT answer FROM request WHERE request_id = ?1")?
            .query_row([request_id], |r| r.get(0))
            .optional()?)
    }

    /// Records a request that is carried out by what was committed before.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn record(&mut self, applied: &Applied, now: Timestamp) -> Result<(), SpoolError> {
        let tx = self.reader.db.transaction()?;
        applied.insert(&tx, now)?;
        tx.commit()?;
        Ok(())
    }
}

impl Reader {
    /// Every notice to the uploader that was ever given: id and exact bytes.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn notices(&self) -> Result<Vec<(String, Vec<u8>)>, SpoolError> {
        let mut statement = self
            .db
            .prepare("SELECT notice_id, body FROM notice ORDER BY notice_id")?;
        let rows = statement
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}
