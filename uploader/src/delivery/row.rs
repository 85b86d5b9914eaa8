//! Columns to values and back. A value that this code never writes is a damaged row, not a panic.

use evidence::digest::Sha256;
use jiff::Timestamp;
use rusqlite::Row;

use super::error::DeliveryError;

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, DeliveryError> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged(column))
}

pub(super) fn sha256(row: &Row<'_>, column: &str) -> Result<Sha256, DeliveryError> {
    Ok(Sha256::from_bytes(row.get::<_, [u8; 32]>(column)?))
}

pub(super) fn from_ms(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, DeliveryError> {
    row.get::<_, Option<i64>>(column)?
        .map(|ms| Timestamp::from_millisecond(ms).map_err(|_| damaged(column)))
        .transpose()
}

pub(super) fn from_secs(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, DeliveryError> {
    row.get::<_, Option<i64>>(column)?
        .map(|secs| Timestamp::from_second(secs).map_err(|_| damaged(column)))
        .transpose()
}

/// A value that must be there in this state.
pub(super) fn must<T>(value: Option<T>, column: &str) -> Result<T, DeliveryError> {
    value.ok_or_else(|| damaged(column))
}

/// A name from a closed list.
pub(super) fn named<T>(
    row: &Row<'_>,
    column: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, DeliveryError> {
    parse(
        row.get_ref(column)?
            .as_str()
            .map_err(rusqlite::Error::from)?,
    )
    .ok_or_else(|| damaged(column))
}

pub(super) fn damaged(column: &str) -> DeliveryError {
    DeliveryError::Damaged(column.to_owned())
}
