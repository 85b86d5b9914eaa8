//! How far this host's clock was from the store's when the store last answered.
//!
//! It is the uploader's word: the two times of a confirmation. After the date was set it says nothing
//! until the next answer.

use jiff::{SignedDuration, Timestamp};
use rusqlite::OptionalExtension as _;

use crate::row::time;
use crate::{Spool, SpoolError};

/// What is older says nothing any more: a free clock drifts by seconds a day.
const FRESH: SignedDuration = SignedDuration::from_hours(24);
/// The confirmation that a jump of the clock made worthless.
const VOID_NOTE: &str = "store_time_void";

impl Spool {
    /// This host's clock less the store's, in milliseconds, as last told; `None` when nothing was told in
    /// the day before `now`, or the date has been set since.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn store_offset_ms(&self, now: Timestamp) -> Result<Option<i64>, SpoolError> {
        let Some((server_date, confirmed_at)) = self.newest_answer()? else {
            return Ok(None);
        };
        let age = now.duration_since(confirmed_at);
        let is_void = self.note(VOID_NOTE)?.as_deref() == Some(&confirmed_at.to_string());
        if is_void || age > FRESH || age < SignedDuration::ZERO {
            return Ok(None);
        }
        let offset = confirmed_at.duration_since(server_date);
        Ok(i64::try_from(offset.as_millis()).ok())
    }

    /// The date was set: what the store told before says nothing.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn forget_store_offset(&mut self) -> Result<(), SpoolError> {
        match self.newest_answer()? {
            Some((_, confirmed_at)) => self.set_note(VOID_NOTE, &confirmed_at.to_string()),
            None => Ok(()),
        }
    }

    fn newest_answer(&self) -> Result<Option<(Timestamp, Timestamp)>, SpoolError> {
        let mut statement = self.reader.db.prepare_cached(
            "SELECT server_date, confirmed_at FROM confirmation ORDER BY bundle_rowid DESC LIMIT 1",
        )?;
        statement
            .query_row([], |row| {
                Ok(time(row, "server_date")
                    .and_then(|server| Ok((server, time(row, "confirmed_at")?))))
            })
            .optional()?
            .transpose()
    }
}
