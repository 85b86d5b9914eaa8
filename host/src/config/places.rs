//! Where each setting came from, so that an error names the place an operator must edit.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::ConfigError;

/// The file, and the settings that the environment replaced.
pub(super) struct Places {
    file: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Places {
    /// `variables` maps a setting's path to the variable that set it.
    pub(super) fn new(file: &Path, variables: BTreeMap<String, String>) -> Self {
        Self {
            file: file.to_owned(),
            variables,
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// An error about one setting.
    pub(super) fn error(
        &self,
        key: &str,
        value: impl Display,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ConfigError {
        let place = match self.variables.get(key) {
            Some(variable) => format!("environment variable {variable}"),
            None => self.file.display().to_string(),
        };
        ConfigError::Value {
            place,
            key: key.to_owned(),
            value: value.to_string(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// An error about a setting that is missing.
    pub(super) fn missing(&self, key: &str, remedy: impl Into<String>) -> ConfigError {
        self.error(key, "(not set)", "it is required", remedy)
    }
}
