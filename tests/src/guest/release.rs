//! Which system boots.

use std::path::PathBuf;

use crate::tools::{self, Tool};

/// A system that `tests/run` has made the files of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian 11, with systemd 247.
    Bullseye,
    /// Debian 12, with systemd 252 and Python.
    Bookworm,
    /// Debian 13, with systemd 257.
    Trixie,
    /// Debian 12 with rpm and dnf.
    Rpm,
}

impl Release {
    /// The three that .deb packages are installed on.
    pub const DEBIAN: [Self; 3] = [Self::Bullseye, Self::Bookworm, Self::Trixie];

    /// What it is called in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Rpm => "rpm",
        }
    }

    /// The version of its systemd.
    #[must_use]
    pub const fn systemd(self) -> u32 {
        match self {
            Self::Bullseye => 247,
            Self::Bookworm | Self::Rpm => 252,
            Self::Trixie => 257,
        }
    }

    /// Its root folder, which no guest writes to; `None` as [`tools::find`] says.
    pub(super) fn root(self, test: &str) -> Option<PathBuf> {
        let tool = match self {
            Self::Bullseye => Tool::RootfsBullseye,
            Self::Bookworm => Tool::RootfsBookworm,
            Self::Trixie => Tool::RootfsTrixie,
            Self::Rpm => Tool::RootfsRpm,
        };
        Some(tools::find(tool, test)?.with_file_name("root"))
    }
}
