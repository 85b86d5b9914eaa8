//! Until when a version is to be locked, by the store's clock alone.
//!
//! A wrong local clock must not shorten retention, so this host's clock is not an argument.

use jiff::{SignedDuration, Timestamp};

/// What to ask of the store in the PUT that comes next: whole seconds.
///
/// The first time, the store's date and the full retention and the margin. A retry asks for the
/// same again, so that all attempts of one chain agree; only when so much time has passed that
/// less than the full retention would be left, the date is set anew. Never lowered.
pub(crate) fn to_ask(
    persisted: Option<Timestamp>,
    server_now: Timestamp,
    retention_days: u32,
    margin_secs: u64,
) -> Timestamp {
    let full = after_retention(server_now, retention_days);
    match persisted {
        Some(asked) if asked >= full => asked,
        _ => plus_secs(full, margin_secs),
    }
}

/// How long a version that was found at the key must be locked to count as ours and safe.
///
/// A retry may find what an earlier attempt stored, under a date that was asked then. What was
/// promised is the full retention from the store's own date of that version; asking for more
/// would only lengthen a lock that is good.
pub(crate) fn of_adopted(
    asked: Timestamp,
    last_modified: Option<Timestamp>,
    retention_days: u32,
) -> Timestamp {
    match last_modified {
        Some(stored_at) => asked.min(after_retention(stored_at, retention_days)),
        None => asked,
    }
}

fn after_retention(from: Timestamp, retention_days: u32) -> Timestamp {
    plus_secs(whole_second_after(from), u64::from(retention_days) * 86_400)
}

fn whole_second_after(t: Timestamp) -> Timestamp {
    let secs = t.as_second() + i64::from(t.subsec_nanosecond() > 0);
    Timestamp::from_second(secs).unwrap_or(Timestamp::MAX)
}

fn plus_secs(t: Timestamp, secs: u64) -> Timestamp {
    let secs = i64::try_from(secs).unwrap_or(i64::MAX);
    t.saturating_add(SignedDuration::from_secs(secs))
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const DAY: u64 = 86_400;

    #[test]
    fn the_first_attempt_asks_for_retention_and_margin_from_the_servers_date_in_whole_seconds() {
        let asked = to_ask(None, at("2026-01-01T00:00:00.2Z"), 2192, DAY);
        assert_eq!(asked, at("2032-01-03T00:00:01Z"));
    }

    #[test]
    fn a_retry_asks_for_the_same_date() {
        let first = to_ask(None, at("2026-01-01T00:00:00Z"), 10, DAY);
        assert_eq!(
            to_ask(Some(first), at("2026-01-01T23:00:00Z"), 10, DAY),
            first
        );
        assert_eq!(
            to_ask(Some(first), at("2026-01-02T00:00:00Z"), 10, DAY),
            first
        );
    }

    #[test]
    fn a_long_park_that_ate_the_margin_raises_the_date() {
        let first = to_ask(None, at("2026-01-01T00:00:00Z"), 10, DAY);
        let later = to_ask(Some(first), at("2026-01-02T00:00:01Z"), 10, DAY);
        assert_eq!(later, at("2026-01-13T00:00:01Z"));
    }

    #[test]
    fn the_date_is_never_lowered_whatever_the_server_says() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..5_000 {
            let second = |rng: &mut fastrand::Rng| {
                Timestamp::from_second(rng.i64(0..4_000_000_000)).unwrap()
            };
            let (before, now) = (second(&mut rng), second(&mut rng));
            let days = rng.u32(1..36_500);
            let margin = rng.u64(0..10 * DAY);
            let asked = to_ask(Some(before), now, days, margin);
            assert!(asked >= before, "seed {seed}");
            assert!(
                asked.duration_since(now).as_secs() >= i64::from(days) * 86_400,
                "seed {seed}"
            );
            assert_eq!(asked.subsec_nanosecond(), 0, "seed {seed}");
        }
    }

    #[test]
    fn an_adopted_version_needs_the_full_retention_from_its_own_date_and_no_more() {
        let asked = at("2032-02-01T00:00:00Z");
        let stored_at = at("2026-01-01T00:00:00Z");
        assert_eq!(
            of_adopted(asked, Some(stored_at), 10),
            at("2026-01-11T00:00:00Z")
        );
        assert_eq!(of_adopted(asked, None, 10), asked);
        assert_eq!(
            of_adopted(at("2026-01-05T00:00:00Z"), Some(stored_at), 10),
            at("2026-01-05T00:00:00Z")
        );
    }
}
