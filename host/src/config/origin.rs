//! Where each setting came from, so that a message names the place an operator must edit.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// Where one setting's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file or of a drop-in.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(tag = "from", rename_all = "snake_case")]
        enum Shown<'o> {
            Default,
            File { path: &'o Path, line: usize },
            Variable { name: &'o str },
        }
        match self {
            Self::Default => Shown::Default,
            Self::File { path, line } => Shown::File { path, line: *line },
            Self::Variable(name) => Shown::Variable { name },
        }
        .serialize(serializer)
    }
}

/// The files that were read, and which setting came from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    files: Vec<PathBuf>,
    set: BTreeMap<String, Origin>,
}

impl Origins {
    /// Nothing set yet; `main` is the configuration file.
    pub(super) fn new(main: &Path) -> Self {
        Self {
            files: vec![main.to_owned()],
            set: BTreeMap::new(),
        }
    }

    /// The configuration file, then its drop-ins in the order in which they count, the last one
    /// the most.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Where the setting with this path, such as `destination.primary.bucket`, comes from.
    #[must_use]
    pub fn of(&self, key: &str) -> Origin {
        self.set.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// What to name in a message about this setting: where it was set, else the configuration
    /// file, where it can be.
    #[must_use]
    pub fn place(&self, key: &str) -> String {
        match (self.set.get(key), self.files.first()) {
            (Some(origin), _) => origin.to_string(),
            (None, Some(main)) => main.display().to_string(),
            (None, None) => Origin::Default.to_string(),
        }
    }

    pub(super) fn read(&mut self, file: &Path) {
        self.files.push(file.to_owned());
    }

    pub(super) fn set(&mut self, key: String, origin: Origin) {
        self.set.insert(key, origin);
    }

    /// The list of destinations is replaced as a whole.
    pub(super) fn forget_destinations(&mut self) {
        self.set.retain(|key, _| !key.starts_with("destination"));
    }
}
