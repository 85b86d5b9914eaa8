//! Whether work flows to a destination: a breaker that is also the parking place. Decides, does
//! no I/O; `now` is an argument.
//!
//! Shut, one probe at a time is let through: first a look at the bucket, then one parcel. Only
//! when that went well does the rest follow, so an outage costs one probe and not a storm.

use std::time::{Duration, Instant};

use crate::delivery::ErrorNote;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing that is known: the bucket was not looked at since the start.
    NotLooked,
    /// It fails in a way that time may heal.
    Outage(ErrorNote),
    /// An operator is needed.
    Parked(ErrorNote),
}

/// The state of the breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breaker {
    /// Work flows.
    Closed {
        /// So many parcels failed in a row.
        failures: u32,
    },
    /// No work until the next probe.
    Shut {
        /// Why.
        trouble: Trouble,
        /// It was shut so many times in a row.
        times: u32,
        /// When to probe.
        until: Instant,
    },
    /// The probe went well: one parcel at a time.
    Trial {
        /// Why it was shut.
        trouble: Trouble,
        /// It was shut so many times in a row.
        times: u32,
    },
}

impl Breaker {
    /// A breaker at the start: nothing flows before the bucket was looked at.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self::Shut {
            trouble: Trouble::NotLooked,
            times: 0,
            until: now,
        }
    }

    /// How many parcels may be in flight, of at most `most`.
    #[must_use]
    pub fn slots(&self, most: usize) -> usize {
        match self {
            Self::Closed { .. } => most,
            Self::Trial { .. } => most.min(1),
            Self::Shut { .. } => 0,
        }
    }

    /// When to probe, if it is shut.
    #[must_use]
    pub const fn probe_at(&self) -> Option<Instant> {
        match self {
            Self::Shut { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// What is wrong, if something is.
    #[must_use]
    pub const fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Closed { .. } => None,
            Self::Shut { trouble, .. } | Self::Trial { trouble, .. } => Some(trouble),
        }
    }

    /// Whether it is shut, or on trial, since something with this code failed.
    #[must_use]
    pub fn is_shut_for(&self, code: &str) -> bool {
        matches!(self.trouble(), Some(Trouble::Outage(error)) if error.code == code)
    }

    /// How many times in a row it will have been shut, if it is shut next.
    #[must_use]
    pub fn next_times(&self) -> u32 {
        match self {
            Self::Closed { .. } => 1,
            Self::Shut { times, .. } | Self::Trial { times, .. } => times.saturating_add(1),
        }
    }

    /// A parcel went well. Says nothing while shut: it was sent before.
    pub fn parcel_succeeded(&mut self) {
        if !matches!(self, Self::Shut { .. }) {
            *self = Self::Closed { failures: 0 };
        }
    }

    /// On trial with nothing to try: the good look at the bucket has to do.
    pub fn nothing_to_try(&mut self) {
        if matches!(self, Self::Trial { .. }) {
            *self = Self::Closed { failures: 0 };
        }
    }

    /// A parcel failed; opens after `threshold` in a row, or at once on trial.
    pub fn parcel_failed(
        &mut self,
        error: ErrorNote,
        threshold: u32,
        now: Instant,
        delay: Duration,
    ) {
        match self {
            Self::Closed { failures } if *failures + 1 < threshold => *failures += 1,
            Self::Shut { .. } => {}
            _ => self.shut(Trouble::Outage(error), now, delay),
        }
    }

    /// An operator is needed: shut at once. Also from an outage, since a more precise answer came.
    pub fn park(&mut self, error: ErrorNote, now: Instant, delay: Duration) {
        if !matches!(
            self,
            Self::Shut {
                trouble: Trouble::Parked(_),
                ..
            }
        ) {
            self.shut(Trouble::Parked(error), now, delay);
        }
    }

    /// The look at the bucket went well.
    pub fn probe_succeeded(&mut self) {
        *self = match std::mem::replace(self, Self::Closed { failures: 0 }) {
            Self::Shut {
                trouble: Trouble::NotLooked,
                ..
            } => Self::Closed { failures: 0 },
            Self::Shut { trouble, times, .. } => Self::Trial { trouble, times },
            other => other,
        };
    }

    /// The look at the bucket failed, or found a bucket that cannot keep evidence.
    pub fn probe_failed(&mut self, trouble: Trouble, now: Instant, delay: Duration) {
        self.shut(trouble, now, delay);
    }

    /// Probe now, on an operator's word.
    pub fn hurry(&mut self, now: Instant) {
        if let Self::Shut { until, .. } = self {
            *until = now;
        }
    }

    fn shut(&mut self, trouble: Trouble, now: Instant, delay: Duration) {
        *self = Self::Shut {
            trouble,
            times: self.next_times(),
            until: now + delay,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(7);

    fn error() -> ErrorNote {
        ErrorNote {
            class: "transient",
            code: "SlowDown".to_owned(),
            message: String::new(),
        }
    }

    fn closed(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(now);
        breaker.probe_succeeded();
        breaker
    }

    #[test]
    fn nothing_flows_before_the_bucket_was_looked_at() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        assert_eq!(breaker.slots(8), 0);
        assert_eq!(breaker.probe_at(), Some(now));
        breaker.probe_succeeded();
        assert_eq!(breaker, Breaker::Closed { failures: 0 });
        assert_eq!(breaker.slots(8), 8);
    }

    #[test]
    fn it_opens_only_after_failures_in_a_row_and_late_answers_do_not_count() {
        let now = Instant::now();
        let mut breaker = closed(now);
        for _ in 0..2 {
            breaker.parcel_failed(error(), 3, now, DELAY);
            breaker.parcel_failed(error(), 3, now, DELAY);
            assert_eq!(breaker.slots(8), 8);
            breaker.parcel_succeeded();
        }
        for _ in 0..3 {
            breaker.parcel_failed(error(), 3, now, DELAY);
        }
        let shut = breaker.clone();
        assert_eq!(breaker.slots(8), 0);
        assert_eq!(breaker.probe_at(), Some(now + DELAY));
        breaker.parcel_failed(error(), 3, now + DELAY, DELAY);
        breaker.parcel_succeeded();
        assert_eq!(
            breaker, shut,
            "what was sent before the breaker opened changes nothing"
        );
    }

    #[test]
    fn after_a_good_probe_one_parcel_goes_alone_and_decides() {
        let now = Instant::now();
        let mut breaker = closed(now);
        breaker.park(error(), now, DELAY);
        breaker.probe_succeeded();
        assert_eq!(breaker.slots(8), 1);
        let mut worse = breaker.clone();
        worse.parcel_failed(error(), 3, now, DELAY);
        assert!(
            matches!(worse, Breaker::Shut { times: 2, .. }),
            "at once, and counted"
        );
        breaker.parcel_succeeded();
        assert_eq!(breaker, Breaker::Closed { failures: 0 });
    }

    #[test]
    fn parking_shuts_at_once_and_an_operator_can_hurry_the_probe() {
        let now = Instant::now();
        let mut breaker = closed(now);
        breaker.park(error(), now, DELAY);
        assert_eq!(breaker.probe_at(), Some(now + DELAY));
        breaker.park(error(), now + DELAY, DELAY);
        assert_eq!(
            breaker.probe_at(),
            Some(now + DELAY),
            "late answers do not put the probe off"
        );
        breaker.hurry(now);
        assert_eq!(breaker.probe_at(), Some(now));
        let mut closed = closed(now);
        closed.hurry(now);
        assert_eq!(closed.slots(8), 8);
    }

    #[test]
    fn what_is_wrong_is_told_until_a_parcel_went_well() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        assert_eq!(breaker.trouble(), Some(&Trouble::NotLooked));
        breaker.probe_succeeded();
        assert_eq!(breaker.trouble(), None);
        breaker.park(error(), now, DELAY);
        breaker.probe_succeeded();
        assert_eq!(
            breaker.trouble(),
            Some(&Trouble::Parked(error())),
            "on trial"
        );
        breaker.parcel_succeeded();
        assert_eq!(breaker.trouble(), None);
    }

    #[test]
    fn each_failed_look_puts_the_next_one_off_and_counts() {
        let now = Instant::now();
        let mut breaker = closed(now);
        for times in 1..4 {
            assert_eq!(breaker.next_times(), times);
            breaker.probe_failed(Trouble::Outage(error()), now, DELAY);
            assert_eq!(breaker.probe_at(), Some(now + DELAY));
            assert_eq!(breaker.trouble(), Some(&Trouble::Outage(error())));
        }
        breaker.park(error(), now, DELAY * 2);
        assert_eq!(
            breaker.trouble(),
            Some(&Trouble::Parked(error())),
            "the more precise answer"
        );
        assert_eq!(breaker.next_times(), 5);
    }

    #[test]
    fn with_nothing_to_try_a_good_look_has_to_do_but_only_a_look() {
        let now = Instant::now();
        let mut breaker = closed(now);
        breaker.park(error(), now, DELAY);
        let shut = breaker.clone();
        breaker.nothing_to_try();
        assert_eq!(breaker, shut);
        breaker.probe_succeeded();
        breaker.nothing_to_try();
        assert_eq!(breaker, Breaker::Closed { failures: 0 });
        breaker.parcel_failed(error(), 3, now, DELAY);
        breaker.nothing_to_try();
        assert_eq!(breaker, Breaker::Closed { failures: 1 });
    }

    #[test]
    fn what_it_is_shut_for_is_an_outage_by_its_code() {
        let now = Instant::now();
        let mut breaker = closed(now);
        assert!(!breaker.is_shut_for("SlowDown"));
        breaker.probe_failed(Trouble::Outage(error()), now, DELAY);
        assert!(breaker.is_shut_for("SlowDown"));
        assert!(!breaker.is_shut_for("Timeout"));
        breaker.park(error(), now, DELAY);
        assert!(!breaker.is_shut_for("SlowDown"), "that is no outage");
    }
}
