//! Every limit and delay of the uploader in one value, and the one backoff.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use host::config::UploaderSettings;

/// All limits. Tests make the delays milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Bundles in flight at once, for each destination.
    pub in_flight: usize,
    /// Ceiling of the first backoff.
    pub backoff_min: Duration,
    /// Ceiling of every backoff.
    pub backoff_max: Duration,
    /// Ceiling of the short jitter after a 409.
    pub conflict_retry_max: Duration,
    /// Failed parcels in a row that open a destination's breaker.
    pub breaker_threshold: u32,
    /// How often a parked destination is probed.
    pub park_probe: Duration,
    /// How often a healthy bucket is looked at again.
    pub preflight_every: Duration,
    /// How often the outbox is scanned, whatever inotify says.
    pub rescan_every: Duration,
    /// How long a confirmation may wait for others to share its receipt.
    pub receipt_linger: Duration,
    /// When a receipt that had no effect is issued again.
    pub reissue_after: Duration,
    /// How long the rows of finished orders are kept.
    pub keep_finished: Duration,
    /// Largest object in one request, in bytes; larger ones are sent in parts.
    pub single_put_max_bytes: u64,
    /// Smallest part of a larger object, in bytes; the store's own limit is 5 MiB.
    pub part_min_bytes: u64,
    /// Bodies held in memory at once, in bytes; at least one body is always let through, and
    /// small ones always are.
    pub body_memory_bytes: u64,
    /// How long a clean stop waits for requests in flight.
    pub drain: Duration,
    /// Send Content-MD5, and accept an ETag that is the MD5 as proof of identity.
    pub content_md5: bool,
}

impl Policy {
    /// The policy that the settings ask for.
    #[must_use]
    pub fn from_settings(settings: &UploaderSettings) -> Self {
        Self {
            in_flight: settings.in_flight.max(1),
            backoff_min: Duration::from_millis(settings.backoff_min_ms),
            backoff_max: Duration::from_secs(settings.backoff_max_secs),
            conflict_retry_max: Duration::from_secs(1),
            breaker_threshold: 4,
            park_probe: Duration::from_secs(settings.park_probe_secs),
            preflight_every: Duration::from_secs(settings.preflight_secs),
            rescan_every: Duration::from_secs(settings.rescan_secs),
            receipt_linger: Duration::from_millis(200),
            reissue_after: Duration::from_mins(10),
            keep_finished: Duration::from_hours(30 * 24),
            single_put_max_bytes: 64 << 20,
            part_min_bytes: 8 << 20,
            body_memory_bytes: 32 << 20,
            drain: Duration::from_secs(20),
            content_md5: settings.content_md5,
        }
    }

    /// How long to wait after the `attempt`-th failure in a row (from 1): full jitter, that is
    /// evenly between nothing and a ceiling that doubles up to `backoff_max`. The ceilings are
    /// backon's exponential sequence; its own jitter is additive, so the draw is made here, from
    /// the randomness that the caller injects.
    #[must_use]
    pub fn backoff(&self, attempt: u32, rng: &mut fastrand::Rng) -> Duration {
        // The ceiling has long been reached after so many doublings.
        let nth = attempt.clamp(1, 48) - 1;
        let ceiling = ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(self.backoff_min)
            .with_max_delay(self.backoff_max)
            .without_max_times()
            .build()
            .nth(nth as usize)
            .unwrap_or(self.backoff_max)
            .min(self.backoff_max);
        ceiling.mul_f64(rng.f64())
    }

    /// How long to wait after the `attempt`-th failure in a row of something on this host, such as a
    /// full disk: no server is spared by waiting for longer than the next scan of the outbox.
    #[must_use]
    pub fn local_backoff(&self, attempt: u32, rng: &mut fastrand::Rng) -> Duration {
        self.backoff(attempt, rng)
            .max(self.backoff_min)
            .min(self.rescan_every)
    }

    /// The short wait after a 409: somebody else's request was in the way, not the store.
    #[must_use]
    pub fn conflict_retry(&self, rng: &mut fastrand::Rng) -> Duration {
        self.conflict_retry_max.mul_f64(rng.f64())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Delays of milliseconds, so that tests wait for events and not for clocks.
    pub(crate) fn quick() -> Policy {
        Policy {
            in_flight: 4,
            backoff_min: Duration::from_millis(2),
            backoff_max: Duration::from_millis(20),
            conflict_retry_max: Duration::from_millis(2),
            breaker_threshold: 3,
            park_probe: Duration::from_millis(20),
            preflight_every: Duration::from_hours(24),
            rescan_every: Duration::from_millis(50),
            receipt_linger: Duration::from_millis(2),
            reissue_after: Duration::from_mins(10),
            keep_finished: Duration::from_hours(24),
            single_put_max_bytes: 64 << 20,
            part_min_bytes: 8 << 20,
            body_memory_bytes: 32 << 20,
            drain: Duration::from_secs(5),
            content_md5: true,
        }
    }

    #[test]
    fn backoff_is_full_jitter_under_a_doubling_ceiling_up_to_the_maximum() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        let policy = Policy {
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(900),
            ..quick()
        };
        for (attempt, ceiling_ms) in [
            (0, 500),
            (1, 500),
            (2, 1000),
            (3, 2000),
            (11, 512_000),
            (12, 900_000),
            (u32::MAX, 900_000),
        ] {
            let ceiling = Duration::from_millis(ceiling_ms);
            let draws: Vec<_> = (0..500)
                .map(|_| policy.backoff(attempt, &mut rng))
                .collect();
            assert!(
                draws.iter().all(|d| *d <= ceiling),
                "seed {seed}, attempt {attempt}"
            );
            // Full jitter uses the whole range: the chance that 500 draws miss a fifth is 1e-48.
            assert!(
                draws.iter().any(|d| *d < ceiling / 5),
                "seed {seed}, attempt {attempt}"
            );
            assert!(
                draws.iter().any(|d| *d > ceiling / 5 * 4),
                "seed {seed}, attempt {attempt}"
            );
        }
    }

    #[test]
    fn the_same_randomness_gives_the_same_delays() {
        let draw = || {
            let mut rng = fastrand::Rng::with_seed(7);
            (1..20)
                .map(|n| quick().backoff(n, &mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn a_conflict_is_retried_within_its_own_short_time() {
        let mut rng = fastrand::Rng::with_seed(7);
        let policy = Policy {
            conflict_retry_max: Duration::from_secs(1),
            ..quick()
        };
        let draws: Vec<_> = (0..500).map(|_| policy.conflict_retry(&mut rng)).collect();
        assert!(draws.iter().all(|d| *d <= Duration::from_secs(1)));
        assert!(draws.iter().any(|d| *d < Duration::from_millis(200)));
        assert!(draws.iter().any(|d| *d > Duration::from_millis(800)));
    }

    #[test]
    fn the_settings_are_followed_and_the_rest_is_as_documented() {
        let mut settings = UploaderSettings {
            in_flight: 8,
            backoff_max_secs: 900,
            backoff_min_ms: 500,
            park_probe_secs: 300,
            preflight_secs: 86_400,
            rescan_secs: 30,
            request_timeout_secs: 60,
            content_md5: false,
        };
        let policy = Policy::from_settings(&settings);
        let expected = Policy {
            in_flight: 8,
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_mins(15),
            conflict_retry_max: Duration::from_secs(1),
            breaker_threshold: 4,
            park_probe: Duration::from_mins(5),
            preflight_every: Duration::from_hours(24),
            rescan_every: Duration::from_secs(30),
            receipt_linger: Duration::from_millis(200),
            reissue_after: Duration::from_mins(10),
            keep_finished: Duration::from_hours(720),
            single_put_max_bytes: 67_108_864,
            part_min_bytes: 8_388_608,
            body_memory_bytes: 33_554_432,
            drain: Duration::from_secs(20),
            content_md5: false,
        };
        assert_eq!(policy, expected);
        settings.in_flight = 0;
        assert_eq!(Policy::from_settings(&settings).in_flight, 1, "never none");
    }

    #[test]
    fn a_fault_of_this_host_is_tried_again_by_the_next_scan_and_never_without_a_pause() {
        let mut rng = fastrand::Rng::with_seed(7);
        let policy = quick();
        let draws = |attempt, rng: &mut fastrand::Rng| -> Vec<_> {
            (0..500)
                .map(|_| policy.local_backoff(attempt, rng))
                .collect()
        };
        assert!(draws(1, &mut rng).iter().all(|d| *d == policy.backoff_min));
        let later = draws(48, &mut rng);
        assert!(
            later
                .iter()
                .all(|d| (policy.backoff_min..=policy.backoff_max).contains(d))
        );
        assert!(later.iter().any(|d| *d > policy.backoff_max / 2));
        let scanned_often = Policy {
            rescan_every: Duration::from_millis(3),
            ..policy
        };
        assert!(
            (0..500).all(|_| {
                scanned_often.local_backoff(48, &mut rng) <= scanned_often.rescan_every
            })
        );
    }
}
