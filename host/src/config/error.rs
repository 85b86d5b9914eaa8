//! What is wrong with a configuration, always with file, key, value and remedy.

use std::path::PathBuf;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "could not read the configuration {path}; give its path with --config, or copy the \
         example from /usr/share/doc/msp-evidence/evidence.toml",
        path = path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A drop-in, or their folder, cannot be read. What it says is not known, so nothing is.
    #[error(
        "could not read the drop-in {path} ({source}); let every user read it (folder mode 0755, \
         file mode 0644), or remove it",
        path = path.display()
    )]
    DropIn {
        /// The file or folder.
        path: PathBuf,
        /// Why; part of the message, since several problems are told at once.
        source: std::io::Error,
    },
    /// The text is not TOML, has an unknown key, or a value of the wrong type.
    #[error("{path}, line {line}: `{excerpt}`: {problem}; {remedy}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The line itself: key and value; the value is left out where it may be a secret.
        excerpt: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
        /// It is not TOML, so nothing is known of what else the file says.
        is_unparsed: bool,
    },
    /// A variable with our prefix that names no setting.
    #[error(
        "environment variable {variable} = {value}: {problem}; remove it, or write the setting's \
         path in capitals with `__` between the parts, such as MSP_EVIDENCE_SIGNING__PASSWORD_FILE"
    )]
    Variable {
        /// Its name.
        variable: String,
        /// Its value in quotation marks, or that it is hidden.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value that parses and is still not valid.
    #[error("{place}: {key} = {value}: {problem}; {remedy}")]
    Value {
        /// The file and line, or the environment variable that set it.
        place: String,
        /// The setting's path, such as `retention.days`.
        key: String,
        /// As it was given, or `(not set)`.
        value: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// More than one of these.
    #[error("the configuration has {} problems:{}", .0.len(), lines(.0))]
    Several(Vec<ConfigError>),
}

impl ConfigError {
    /// One error for all that was found; `None` for nothing.
    pub(super) fn of(mut problems: Vec<Self>) -> Option<Self> {
        match problems.len() {
            0 | 1 => problems.pop(),
            _ => Some(Self::Several(problems)),
        }
    }

    /// Each problem by itself, in the order of the files, then of the settings.
    #[must_use]
    pub fn problems(&self) -> Vec<&Self> {
        match self {
            Self::Several(problems) => problems.iter().flat_map(Self::problems).collect(),
            one => vec![one],
        }
    }

    /// Whether the values could not be judged because of this, so that correcting it may bring
    /// up more.
    #[must_use]
    pub fn hides_others(&self) -> bool {
        match self {
            Self::Unreadable { .. } | Self::DropIn { .. } => true,
            Self::Syntax { is_unparsed, .. } => *is_unparsed,
            Self::Variable { .. } | Self::Value { .. } => false,
            Self::Several(problems) => problems.iter().any(Self::hides_others),
        }
    }
}

fn lines(problems: &[ConfigError]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}
