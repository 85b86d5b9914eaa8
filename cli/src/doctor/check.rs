//! One thing that was looked at, and what all of them come to.

use host::exit::ExitCode;
use serde::Serialize;

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Evidence is sealed and stored, and still an operator should know.
    Warning,
    /// Evidence is not sealed, not stored, or not protected as it must be.
    Problem,
    /// It was not seen, so nothing is said of it.
    CouldNotCheck,
}

impl Verdict {
    /// In words, for a terminal.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
            Self::CouldNotCheck => "could not check",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// Of which family, such as `permissions`.
    pub(crate) family: &'static str,
    /// Which, of a closed list in each family (docs/operations.md).
    pub(crate) check: &'static str,
    /// The file, folder, service or destination.
    pub(crate) subject: String,
    /// What came of it.
    pub(crate) verdict: Verdict,
    /// What was seen.
    pub(crate) found: String,
    /// What to do, with the command to run; absent when there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// Checks that belong together; makes them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family(pub(crate) &'static str);

impl Family {
    fn check(
        self,
        check: &'static str,
        subject: impl ToString,
        verdict: Verdict,
        found: impl Into<String>,
        remedy: Option<String>,
    ) -> Check {
        Check {
            family: self.0,
            check,
            subject: subject.to_string(),
            verdict,
            found: found.into(),
            remedy,
        }
    }

    pub(crate) fn ok(
        self,
        check: &'static str,
        subject: impl ToString,
        found: impl Into<String>,
    ) -> Check {
        self.check(check, subject, Verdict::Ok, found, None)
    }

    pub(crate) fn warning(
        self,
        check: &'static str,
        subject: impl ToString,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        self.check(check, subject, Verdict::Warning, found, Some(remedy.into()))
    }

    pub(crate) fn problem(
        self,
        check: &'static str,
        subject: impl ToString,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        self.check(check, subject, Verdict::Problem, found, Some(remedy.into()))
    }

    pub(crate) fn unchecked(
        self,
        check: &'static str,
        subject: impl ToString,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        let remedy = Some(remedy.into());
        self.check(check, subject, Verdict::CouldNotCheck, found, remedy)
    }
}

/// How many came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    pub(crate) ok: usize,
    pub(crate) warnings: usize,
    pub(crate) problems: usize,
    pub(crate) could_not_check: usize,
}

impl Totals {
    pub(crate) fn of(checks: &[Check]) -> Self {
        let mut totals = Self::default();
        for check in checks {
            *match check.verdict {
                Verdict::Ok => &mut totals.ok,
                Verdict::Warning => &mut totals.warnings,
                Verdict::Problem => &mut totals.problems,
                Verdict::CouldNotCheck => &mut totals.could_not_check,
            } += 1;
        }
        totals
    }

    /// Warnings count as good; what was not seen never does.
    pub(crate) const fn exit_code(self) -> ExitCode {
        match (self.problems, self.could_not_check) {
            (0, 0) => ExitCode::Ok,
            (0, _) => ExitCode::CouldNotCheck,
            _ => ExitCode::EvidenceBad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_outweighs_what_was_not_seen_and_that_outweighs_warnings() {
        let family = Family("f");
        let ok = family.ok("c", "s", "f");
        let warning = family.warning("c", "s", "f", "r");
        let problem = family.problem("c", "s", "f", "r");
        let unchecked = family.unchecked("c", "s", "f", "r");
        let code = |checks: &[&Check]| {
            let checks: Vec<Check> = checks.iter().map(|&c| c.clone()).collect();
            Totals::of(&checks).exit_code()
        };
        assert_eq!(code(&[&ok, &warning]), ExitCode::Ok);
        assert_eq!(code(&[&ok, &unchecked, &warning]), ExitCode::CouldNotCheck);
        assert_eq!(code(&[&unchecked, &problem]), ExitCode::EvidenceBad);
    }
}
