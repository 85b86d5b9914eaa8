//! What a rule found, and where.

use std::ops::Range;

use crate::rule::{Action, Rule};

/// How a value had to be read to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// As it stands.
    Plain,
    /// After undoing JSON escapes and percent signs (RFC 8259 section 7, RFC 3986 section 2.1), once.
    Escaped,
    /// In base64 (RFC 4648), once; the span is the whole encoded run.
    Base64,
    /// Across a line break.
    Split,
}

impl Found {
    /// In one word, for tables and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Escaped => "escaped",
            Self::Base64 => "base64",
            Self::Split => "split",
        }
    }
}

/// One place that a rule speaks of.
#[derive(Debug, Clone)]
pub struct Hit<'s> {
    /// The rule.
    pub rule: &'s Rule,
    /// The value, in bytes of the text that was looked at.
    pub span: Range<usize>,
    /// How it was read.
    pub found: Found,
}

impl Hit<'_> {
    /// What is to be done.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.rule.action
    }
}
