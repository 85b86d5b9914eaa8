//! When the next custody bundle is due, and why.
//!
//! Intervals are measured with the clock that nobody can set, so that a date set forward makes no
//! custody and one set back prevents none. Only across a stop the date has to do; what it says of the
//! time since the last custody bundle is doubted in favour of sealing one.

use std::time::Duration;

use evidence::custody::{ClockEvent, CustodyCause};
use jiff::Timestamp;

/// So many bundles of incidents that are confirmed, and not named by custody, are enough.
pub(crate) const LOAD: usize = 1000;
/// What could not be sealed for a reason of its own is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// A smaller difference of the two clocks is no jump.
const JUMP_MS: i64 = 5000;

/// The next moment, in the time since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timer {
    interval: Duration,
    due_at: Duration,
    because: CustodyCause,
}

impl Timer {
    /// `without_since` is when the last custody bundle was sealed, or the first of all bundles if
    /// there is none.
    pub(crate) fn start(
        interval: Duration,
        without_since: Option<Timestamp>,
        now: Timestamp,
        since_boot: Duration,
    ) -> Self {
        let (left, because) = match without_since {
            None => (interval, CustodyCause::Interval),
            Some(since) => match Duration::try_from(now.duration_since(since)) {
                Ok(age) if age < interval => (interval - age, CustodyCause::Interval),
                // It is time, or the date went back and tells nothing.
                _ => (Duration::ZERO, CustodyCause::Start),
            },
        };
        Self {
            interval,
            due_at: since_boot + left,
            because,
        }
    }

    /// Why custody is due now, if it is: `waiting` bundles of incidents are confirmed and not named.
    pub(crate) fn cause(&self, since_boot: Duration, waiting: usize) -> Option<CustodyCause> {
        if since_boot >= self.due_at {
            Some(self.because)
        } else {
            (waiting >= LOAD).then_some(CustodyCause::Load)
        }
    }

    /// How long until it is due, if nothing more is confirmed until then.
    pub(crate) fn due_in(&self, since_boot: Duration) -> Duration {
        self.due_at.saturating_sub(since_boot)
    }

    /// Everything that waited has been named.
    pub(crate) fn sealed(&mut self, since_boot: Duration) {
        self.due_at = since_boot + self.interval;
        self.because = CustodyCause::Interval;
    }

    /// It is due, and cannot be sealed for a reason that time alone will not mend.
    pub(crate) fn failed(&mut self, since_boot: Duration) {
        self.due_at = since_boot + TRY_AGAIN.min(self.interval);
    }
}

/// Notices when the date is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockWatch {
    /// The date less the time since boot, in milliseconds.
    offset_ms: i64,
}

impl ClockWatch {
    pub(crate) fn start(now: Timestamp, since_boot: Duration) -> Self {
        Self {
            offset_ms: offset_ms(now, since_boot),
        }
    }

    /// The jump since it was started, and the watch that counts from here on. Small ones add up
    /// until they are one.
    pub(crate) fn jumped(self, now: Timestamp, since_boot: Duration) -> Option<(ClockEvent, Self)> {
        let after = Self::start(now, since_boot);
        let jumped_ms = after.offset_ms.saturating_sub(self.offset_ms);
        (jumped_ms.abs() > JUMP_MS).then_some((ClockEvent { at: now, jumped_ms }, after))
    }
}

fn offset_ms(now: Timestamp, since_boot: Duration) -> i64 {
    now.as_millisecond()
        .saturating_sub(i64::try_from(since_boot.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn started(without_since: Option<&str>) -> Timer {
        let now = at("2026-11-21T10:00:00Z");
        Timer::start(HOUR, without_since.map(at), now, HOUR)
    }

    #[test]
    fn a_fresh_host_has_its_first_custody_after_one_interval() {
        let timer = started(None);
        assert_eq!(timer.cause(HOUR, 0), None);
        assert_eq!(timer.due_in(HOUR), HOUR);
        assert_eq!(timer.cause(2 * HOUR, 0), Some(CustodyCause::Interval));
    }

    #[test]
    fn a_start_goes_on_with_the_interval_or_finds_that_it_is_over() {
        let timer = started(Some("2026-11-21T09:15:00Z"));
        assert_eq!(timer.due_in(HOUR), HOUR / 4);
        assert_eq!(
            timer.cause(HOUR + HOUR / 4, 0),
            Some(CustodyCause::Interval)
        );
        for over in ["2026-11-21T09:00:00Z", "2020-01-01T00:00:00Z"] {
            assert_eq!(
                started(Some(over)).cause(HOUR, 0),
                Some(CustodyCause::Start)
            );
        }
        let of_the_future = started(Some("2027-01-01T00:00:00Z"));
        assert_eq!(of_the_future.cause(HOUR, 0), Some(CustodyCause::Start));
    }

    #[test]
    fn many_confirmations_do_not_wait_for_the_time() {
        let mut timer = started(None);
        assert_eq!(timer.cause(HOUR, LOAD - 1), None);
        assert_eq!(timer.cause(HOUR, LOAD), Some(CustodyCause::Load));
        timer.sealed(HOUR + HOUR / 2);
        assert_eq!(timer.due_in(HOUR + HOUR / 2), HOUR);
    }

    #[test]
    fn what_cannot_be_sealed_is_tried_again_later_and_keeps_its_cause() {
        let mut timer = started(Some("2026-11-21T09:00:00Z"));
        timer.failed(HOUR);
        assert_eq!(timer.cause(HOUR, 0), None);
        assert_eq!(timer.due_in(HOUR), TRY_AGAIN);
        assert_eq!(timer.cause(HOUR + TRY_AGAIN, 0), Some(CustodyCause::Start));
    }

    #[test]
    fn a_date_that_is_set_is_noticed_and_time_that_passes_is_not() {
        let watch = ClockWatch::start(at("2026-11-21T10:00:00Z"), HOUR);
        assert_eq!(watch.jumped(at("2026-11-21T11:00:05Z"), 2 * HOUR), None);
        let (forward, after) = watch
            .jumped(at("2026-11-21T11:00:05.001Z"), 2 * HOUR)
            .unwrap();
        assert_eq!(forward.jumped_ms, 5001);
        assert_eq!(after.jumped(at("2026-11-21T12:00:05Z"), 3 * HOUR), None);
        let (back, _) = after
            .jumped(at("2026-11-20T12:00:05.001Z"), 3 * HOUR)
            .unwrap();
        assert_eq!(back.jumped_ms, -86_400_000);
        assert_eq!(back.at, at("2026-11-20T12:00:05.001Z"));
    }

    #[test]
    fn small_steps_of_the_date_add_up_to_a_jump() {
        let watch = ClockWatch::start(at("2026-11-21T10:00:00Z"), HOUR);
        assert_eq!(watch.jumped(at("2026-11-21T10:00:03Z"), HOUR), None);
        assert!(watch.jumped(at("2026-11-21T10:00:06Z"), HOUR).is_some());
    }
}
