//! Times for a status line.

use std::time::Duration;

use jiff::Timestamp;

/// A time in the largest unit that fits: `40 s`, `2 m`, `3 h`, `9 d`.
#[must_use]
pub fn words(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..=119 => format!("{secs} s"),
        120..=7_199 => format!("{} m", secs / 60),
        7_200..=172_799 => format!("{} h", secs / 3_600),
        _ => format!("{} d", secs / 86_400),
    }
}

/// The same of the time between two moments; nothing if they come in the other order.
#[must_use]
pub fn between(earlier: Timestamp, later: Timestamp) -> String {
    words(Duration::try_from(later.duration_since(earlier)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_largest_that_fits() {
        for (secs, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 m"),
            (7_199, "119 m"),
            (7_200, "2 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(words(Duration::from_secs(secs)), text);
        }
        let now = Timestamp::UNIX_EPOCH;
        let before = now - jiff::SignedDuration::from_secs(5);
        assert_eq!(between(before, now), "5 s");
        assert_eq!(between(now, before), "0 s");
    }
}
