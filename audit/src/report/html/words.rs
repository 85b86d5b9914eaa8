//! How numbers, times and results are written.

use std::fmt;

use jiff::Timestamp;

use crate::finding::Level;
use crate::finding::Verdict;
use crate::report::content::{CheckContent, CheckResult};

/// A count, its thousands set apart.
pub(super) struct Count(pub(super) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// `n thing` or `n things`.
pub(super) struct Of(pub(super) u64, pub(super) &'static str);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", Count(self.0), self.1)
    }
}

/// Text that others chose, where there is little room.
pub(super) struct Short<'a>(pub(super) &'a str);

/// So much of it is shown.
const SHORT_CHARS: usize = 30;

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHORT_CHARS) {
            Some((cut, _)) => write!(f, "{}…", &self.0[..cut]),
            None => f.write_str(self.0),
        }
    }
}

/// A time in UTC, to the second.
pub(super) struct At(pub(super) Timestamp);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M:%S UTC"))
    }
}

/// A time that may not be known.
pub(super) struct AtOr(pub(super) Option<Timestamp>, pub(super) &'static str);

impl fmt::Display for AtOr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => At(at).fmt(f),
            None => f.write_str(self.1),
        }
    }
}

/// A length of time, as exact as it is interesting.
pub(super) struct Lasting(pub(super) f64);

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0;
        if secs < 60.0 {
            // Whole seconds as such.
            let tenths = (secs * 10.0).round() / 10.0;
            return write!(f, "{tenths} s");
        }
        // Far above what a length of time can be, the cast keeps to the greatest value.
        let secs = secs.round() as u64;
        match (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60) {
            (0, 0, minutes, secs) => write!(f, "{minutes} min {secs:02} s"),
            (0, hours, minutes, _) => write!(f, "{hours} h {minutes:02} min"),
            (days, hours, _, _) => write!(f, "{} d {hours:02} h", Count(days)),
        }
    }
}

impl CheckResult {
    /// The class that colours it.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::CouldNotCheck => "could",
            Self::Passed => "passed",
        }
    }

    /// A mark that is told apart without colour.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Failed => "✕",
            Self::CouldNotCheck => "?",
            Self::Passed => "✓",
        }
    }

    /// In words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::CouldNotCheck => "could not check",
            Self::Passed => "passed",
        }
    }

    /// In words, of a bundle.
    pub(super) const fn words_of_bundle(self) -> &'static str {
        match self {
            Self::Passed => "proven",
            other => other.words(),
        }
    }
}

impl Level {
    /// The class that colours it.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::CouldNotCheck => "could",
            Self::Note => "note",
        }
    }

    /// A mark that is told apart without colour.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Failed => "✕",
            Self::CouldNotCheck => "?",
            Self::Note => "i",
        }
    }

    /// In words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::CouldNotCheck => "could not check",
            Self::Note => "to be known",
        }
    }
}

/// What came of one check as a whole; none when there was nothing to check.
pub(super) const fn result_of(check: &CheckContent) -> Option<CheckResult> {
    match check.tally.verdict() {
        Verdict::Failed => Some(CheckResult::Failed),
        Verdict::CouldNotCheck => Some(CheckResult::CouldNotCheck),
        Verdict::Passed => Some(CheckResult::Passed),
        Verdict::NotApplicable => None,
    }
}

/// What came of the audit as a whole: nothing that was not checked counts as passed, and neither
/// does nothing at all.
pub(super) fn result_of_all(checks: &[CheckContent]) -> CheckResult {
    let worst = checks.iter().filter_map(result_of).min();
    worst.unwrap_or(CheckResult::CouldNotCheck)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Check, Tally};

    #[test]
    fn numbers_are_written_for_people() {
        for (count, written) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(Count(count).to_string(), written);
        }
        assert_eq!(Of(1, "bundle").to_string(), "1 bundle");
        assert_eq!(Of(0, "bundle").to_string(), "0 bundles");
    }

    #[test]
    fn lengths_of_time_are_written_as_exactly_as_they_matter() {
        for (secs, written) in [
            (0.0, "0 s"),
            (12.34, "12.3 s"),
            (245.0, "4 min 05 s"),
            (7_380.0, "2 h 03 min"),
            (266_400.0, "3 d 02 h"),
        ] {
            assert_eq!(Lasting(secs).to_string(), written);
        }
        // Whatever an executor writes is shown somehow.
        assert!(!Lasting(1e300).to_string().is_empty());
    }

    fn check(passed: u64, failed: u64, could_not_check: u64) -> CheckContent {
        CheckContent {
            check: Check::Signature,
            tally: Tally {
                passed,
                failed,
                could_not_check,
            },
        }
    }

    #[test]
    fn nothing_unchecked_counts_as_passed() {
        let passed = check(5, 0, 0);
        let all = result_of_all;
        assert_eq!(all(&[]), CheckResult::CouldNotCheck);
        assert_eq!(all(&[check(0, 0, 0)]), CheckResult::CouldNotCheck);
        assert_eq!(all(&[passed]), CheckResult::Passed);
        assert_eq!(all(&[passed, check(9, 0, 1)]), CheckResult::CouldNotCheck);
        assert_eq!(all(&[check(9, 1, 1), passed]), CheckResult::Failed);
    }
}
