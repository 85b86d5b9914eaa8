//! How far a large upload is, told now and then: a line in the log every tenth of it or every half
//! minute, a number in delivery.db every few seconds. Decides, does no I/O.

use std::time::{Duration, Instant};

/// Longest silence in the log while parts are sent.
const LOG_EVERY: Duration = Duration::from_secs(30);
/// How often the number is written; each costs an fsync.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// What to tell after a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tell {
    /// In the log.
    pub(crate) log: bool,
    /// In delivery.db.
    pub(crate) write: bool,
}

/// One run of one upload.
#[derive(Debug)]
pub(crate) struct Progress {
    size_bytes: u64,
    tenth: u64,
    logged_at: Instant,
    /// `None` before the first part of this run.
    written_at: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(size_bytes: u64, sent_bytes: u64, now: Instant) -> Self {
        Self {
            size_bytes,
            tenth: tenth(sent_bytes, size_bytes),
            logged_at: now,
            written_at: None,
        }
    }

    /// Whether a part was stored in this run.
    pub(crate) const fn was_made(&self) -> bool {
        self.written_at.is_some()
    }

    /// A part was stored; so much is now. The first is always written, as it ends a row of failures.
    pub(crate) fn stored(&mut self, sent_bytes: u64, now: Instant) -> Tell {
        let since = |at: Instant| now.saturating_duration_since(at);
        let tenth = tenth(sent_bytes, self.size_bytes);
        let log = tenth > self.tenth || since(self.logged_at) >= LOG_EVERY;
        let write = self.written_at.is_none_or(|at| since(at) >= WRITE_EVERY);
        if log {
            self.tenth = tenth;
            self.logged_at = now;
        }
        if write {
            self.written_at = Some(now);
        }
        Tell { log, write }
    }
}

fn tenth(sent_bytes: u64, size_bytes: u64) -> u64 {
    // Objects are far too small for this to overflow.
    sent_bytes.saturating_mul(10) / size_bytes.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenth_and_every_half_minute_is_logged_and_every_five_seconds_written() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut progress = Progress::new(1000, 250, start);
        assert!(!progress.was_made());
        let mut told = |sent, secs| {
            let tell = progress.stored(sent, at(secs));
            (tell.log, tell.write)
        };
        assert_eq!(told(260, 0), (false, true), "the first is written");
        assert_eq!(told(299, 4), (false, false));
        assert_eq!(told(300, 4), (true, false), "a tenth");
        assert_eq!(told(310, 5), (false, true));
        assert_eq!(told(399, 33), (false, true), "half a minute has not passed");
        assert_eq!(told(399, 34), (true, false), "now it has");
        assert_eq!(told(1000, 35), (true, false), "several tenths at once");
        assert!(progress.was_made());
    }
}
