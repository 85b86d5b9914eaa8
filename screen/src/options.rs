//! What a client may set: actions, rules of its own, and what is to be left alone.

use std::collections::BTreeMap;

use crate::rule::Action;

/// How to screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// For every rule that has no action of its own.
    pub action: Action,
    /// By rule.
    pub actions: BTreeMap<String, Action>,
    /// More rules.
    pub rules: Vec<CustomRule>,
    /// Values that are to be left alone.
    pub allow: Vec<Allow>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            action: Action::Redact,
            actions: BTreeMap::new(),
            rules: Vec::new(),
            allow: Vec::new(),
        }
    }
}

/// A client's rule.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomRule {
    /// Lower-case letters, digits and hyphens.
    pub id: String,
    /// What it finds.
    pub description: String,
    /// A regular expression over bytes, in the syntax of Rust's `regex` crate. What is taken out is
    /// the first group that took part, or else the whole match.
    pub pattern: String,
    /// Texts, without regard to case, one of which is in whatever matches: with them it is cheaper.
    pub keywords: Vec<String>,
    /// Bits for each byte that a value must exceed; 0 for any.
    pub entropy: f64,
    /// Overrides the general one.
    pub action: Option<Action>,
}

/// A value that is to be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// Of this rule only.
    pub rule: Option<String>,
    /// A regular expression that the whole value must match.
    pub pattern: String,
}

/// Why options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// An id that a marker cannot carry.
    #[error("{id:?} is no name of a rule: 1 to 64 lower-case letters, digits and hyphens")]
    Id {
        /// As given.
        id: String,
    },
    /// Two rules of one name.
    #[error("there are two rules named {id}")]
    Twice {
        /// The name.
        id: String,
    },
    /// An action or an exception for a rule that is not there.
    #[error("there is no rule named {id:?}; `msp-evidence screen --rules` lists them")]
    Unknown {
        /// As given.
        id: String,
    },
    /// A pattern that is none, or too large.
    #[error("the pattern of {of} cannot be used")]
    Pattern {
        /// A rule's name, or `allow`.
        of: String,
        /// What is wrong.
        #[source]
        source: Box<regex::Error>,
    },
    /// A pattern that finds nothing everywhere.
    #[error("the pattern of {of} matches the empty text")]
    Empty {
        /// A rule's name, or `allow`.
        of: String,
    },
}
