//! Reading columns back into the domain's types; a value we never write is damage, not a panic.

use evidence::digest::Sha256;
use jiff::Timestamp;
use rusqlite::Row;

use crate::SpoolError;

pub(crate) fn sha256(row: &Row<'_>, column: &str) -> Result<Sha256, SpoolError> {
    let bytes: [u8; 32] = row.get(column)?;
    Ok(Sha256::from_bytes(bytes))
}

pub(crate) fn time(row: &Row<'_>, column: &str) -> Result<Timestamp, SpoolError> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|_| SpoolError::Damaged(format!("{column} is not a time")))
}

pub(crate) fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, SpoolError> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| SpoolError::Damaged(format!("{column} is negative")))
}

/// SQLite's integers are signed; nothing we count comes near the difference.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
