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
    /// The text is not TOML, has an unknown key, or a value of the wrong type.
    #[error("{path}, line {line}: `{excerpt}`: {problem}; {remedy}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The line itself: key and value.
        excerpt: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A variable with our prefix that names no setting.
    #[error(
        "environment variable {variable} = {value:?}: {problem}; remove it, or write the setting's \
         path in capitals with `__` between the parts, such as MSP_EVIDENCE_SIGNING__PASSWORD_FILE"
    )]
    Variable {
        /// Its name.
        variable: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value that parses and is still not valid.
    #[error("{place}: {key} = {value}: {problem}; {remedy}")]
    Value {
        /// The file, or the environment variable that set it.
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
}
