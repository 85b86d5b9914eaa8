//! What looks wrong in evidence that is sealed all the same.
//!
//! A finding is recorded beside the evidence and never corrects it: a verdict is the auditor's.
//! Its message quotes no free text, since whatever it says is locked for years.

pub mod code;
mod consistency;
mod timeliness;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use consistency::{consistency, is_real_sha256, runbook_changed};
pub use timeliness::{Lateness, clock_doubt, timeliness};

/// So many findings of one code are recorded one by one; the rest are counted in one more.
pub const MAX_PER_CODE: usize = 100;

/// The severities this version knows.
pub const SEVERITIES: [&str; 5] = ["critical", "high", "medium", "low", "info"];
/// The results of a step this version knows.
pub const RESULTS: [&str; 6] = ["ok", "success", "failed", "error", "timeout", "skipped"];
/// The ways of resolution this version knows.
pub const RESOLUTION_TYPES: [&str; 5] = ["auto", "manual", "escalated", "partial", "none"];
/// The outcomes this version knows.
pub const RESOLUTION_STATUSES: [&str; 4] = ["success", "partial", "failed", "simulated"];

/// Something noticed about the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// One of [`code`]; stable.
    pub code: Cow<'static, str>,
    /// JSON pointer into the bundle of what it is about; presentable, so it may be cut. Empty for
    /// the whole.
    pub path: String,
    /// What was noticed, in words.
    pub message: Cow<'static, str>,
}

impl Finding {
    /// A finding of one of the codes in [`code`].
    #[must_use]
    pub fn new(
        code: &'static str,
        path: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            code: Cow::Borrowed(code),
            path: path.into(),
            message: message.into(),
        }
    }
}

/// Findings being gathered: no more than [`MAX_PER_CODE`] of each code, so that a hostile drop
/// cannot blow up its bundle.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    listed: Vec<Finding>,
    /// Per code: how many were met, and how many of them listed.
    met: Vec<(&'static str, usize, usize)>,
}

impl Findings {
    pub(crate) fn add(
        &mut self,
        code: &'static str,
        path: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
    ) {
        let counts = self.counts(code);
        counts.1 += 1;
        if counts.2 < MAX_PER_CODE {
            counts.2 += 1;
            self.listed.push(Finding::new(code, path, message));
        }
    }

    /// Counts `number` more that are not listed.
    pub(crate) fn add_unlisted(&mut self, code: &'static str, number: usize) {
        self.counts(code).1 += number;
    }

    fn counts(&mut self, code: &'static str) -> &mut (&'static str, usize, usize) {
        let index = self
            .met
            .iter()
            .position(|m| m.0 == code)
            .unwrap_or_else(|| {
                self.met.push((code, 0, 0));
                self.met.len() - 1
            });
        &mut self.met[index]
    }

    pub(crate) fn into_vec(mut self) -> Vec<Finding> {
        for (code, met, listed) in self.met {
            if met > listed {
                self.listed.push(Finding::new(
                    code,
                    "",
                    format!("and {} more like these", met - listed),
                ));
            }
        }
        self.listed
    }
}

#[cfg(test)]
mod tests;
