//! The endpoint's clock: the machine's, plus an offset that a test may set at any time.
//!
//! Everything that S3 decides by time (skew, retention, `Date`, `Last-Modified`) reads this clock,
//! so a test can let six years pass, or have the server disagree with the client, in one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// A shared, offsettable clock. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The time now by this clock, to the millisecond as S3 keeps it.
    ///
    /// An offset that would leave the calendar is ignored.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let real = Timestamp::now();
        let real = Timestamp::from_millisecond(real.as_millisecond()).unwrap_or(real);
        let offset = SignedDuration::from_millis(self.offset_ms.load(Ordering::SeqCst));
        real.checked_add(offset).unwrap_or(real)
    }

    /// Sets this clock ahead of the machine's (positive) or behind it (negative), in seconds.
    pub fn set_offset_secs(&self, offset_secs: i64) {
        self.offset_ms
            .store(offset_secs.saturating_mul(1000), Ordering::SeqCst);
    }

    /// How far this clock is ahead of the machine's, in seconds.
    #[must_use]
    pub fn offset_secs(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_the_same_clock() {
        let clock = Clock::default();
        let other = clock.clone();
        other.set_offset_secs(86_400);
        let ahead = clock.now().duration_since(Timestamp::now()).as_secs();
        assert!((86_390..=86_400).contains(&ahead), "{ahead}");
        assert_eq!(clock.offset_secs(), 86_400);
    }
}
