//! What is wrong while settings are validated: collected, so that an operator is told everything
//! at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

use super::ConfigError;
use super::origin::Origins;

/// Collects problems, and names the place of each. Whoever reports one goes on with any value:
/// settings with a problem are never handed out.
pub(super) struct Places<'o> {
    origins: &'o Origins,
    /// Settings whose text was refused before; that they have no value is no second problem.
    refused: &'o BTreeSet<String>,
    problems: RefCell<Vec<ConfigError>>,
}

impl<'o> Places<'o> {
    pub(super) fn new(origins: &'o Origins, refused: &'o BTreeSet<String>) -> Self {
        Self {
            origins,
            refused,
            problems: RefCell::new(Vec::new()),
        }
    }

    /// What was found.
    pub(super) fn into_problems(self) -> Vec<ConfigError> {
        self.problems.into_inner()
    }

    /// A problem with one setting.
    pub(super) fn problem(
        &self,
        key: &str,
        value: impl Display,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if self.refused.contains(key) {
            return;
        }
        let found = ConfigError::Value {
            place: self.origins.place(key),
            key: key.to_owned(),
            value: value.to_string(),
            problem: problem.into(),
            remedy: remedy.into(),
        };
        // Two destinations may inherit the same value.
        let mut problems = self.problems.borrow_mut();
        if !problems.iter().any(|p| p.to_string() == found.to_string()) {
            problems.push(found);
        }
    }

    /// A setting that is missing.
    pub(super) fn missing(&self, key: &str, remedy: impl Into<String>) {
        self.problem(key, "(not set)", "it is required", remedy);
    }
}
