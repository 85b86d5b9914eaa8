//! What was done of each step, and what remains.

use serde::Serialize;

use crate::output::plain;

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It was done now.
    Done,
    /// It was so already.
    Present,
    /// It was not asked for.
    LeftOut,
    /// It was tried.
    Failed,
    /// It was not come to.
    Remains,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Present => "present",
            Self::LeftOut => "left out",
            Self::Failed => "FAILED",
            Self::Remains => "remains",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// `configuration`, `password`, `keys`, `credentials`, `bucket`, `services` or `probe`.
    pub(crate) step: &'static str,
    pub(crate) outcome: Outcome,
    /// What was found or done, or why not.
    pub(crate) what: String,
    /// What an operator does about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Step {
    fn new(step: &'static str, outcome: Outcome, what: impl Into<String>) -> Self {
        Self {
            step,
            outcome,
            what: what.into(),
            remedy: None,
        }
    }

    pub(crate) fn done(step: &'static str, what: impl Into<String>) -> Self {
        Self::new(step, Outcome::Done, what)
    }

    pub(crate) fn present(step: &'static str, what: impl Into<String>) -> Self {
        Self::new(step, Outcome::Present, what)
    }

    pub(crate) fn left_out(step: &'static str, what: impl Into<String>) -> Self {
        Self::new(step, Outcome::LeftOut, what)
    }

    pub(crate) fn failed(step: &'static str, what: impl Into<String>) -> Self {
        Self::new(step, Outcome::Failed, what)
    }

    pub(crate) fn remains(step: &'static str, what: impl Into<String>) -> Self {
        Self::new(step, Outcome::Remains, what)
    }

    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Whether what follows can be done.
    pub(crate) const fn is_good(&self) -> bool {
        !matches!(self.outcome, Outcome::Failed | Outcome::Remains)
    }

    /// For a person who waits.
    pub(crate) fn print(&self) {
        println!(
            "{:<9} {:<14} {}",
            self.outcome.as_str(),
            self.step,
            plain(&self.what)
        );
        if let Some(remedy) = &self.remedy {
            println!("                         -> {}", plain(remedy));
        }
    }
}
