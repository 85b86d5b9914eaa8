//! Values as the ledger keeps them.

use jiff::Timestamp;

/// Microseconds since 1970.
pub(crate) fn us(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A number of a bundle or file; all of them are below 2^53 (I-JSON) or sizes of files.
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
