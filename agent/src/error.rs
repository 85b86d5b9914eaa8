//! Why the agent cannot go on, or cannot go on just now.

use std::path::PathBuf;

use host::files::FileError;
use spool::SpoolError;

/// One failed pass or start. Drops stay where they are whatever this says.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The spool refused.
    #[error("the spool")]
    Spool(#[from] SpoolError),
    /// A folder or file.
    #[error("in {folder}")]
    File {
        /// Which of the agent's folders.
        folder: PathBuf,
        /// What happened.
        #[source]
        source: FileError,
    },
    /// A folder that the agent needs.
    #[error(
        "{path}: cannot be made or used: create it for the agent's user, or run systemd-tmpfiles --create"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// What tells this machine from others.
    #[error("{path}, to which the chain of evidence is bound, cannot be read")]
    MachineId {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// Another folder lies where one of ours was opened, or none.
    #[error("{path} is not the folder any more that was opened")]
    Replaced {
        /// The folder.
        path: PathBuf,
    },
    /// The signing key.
    #[error("the signing key {path} cannot be opened")]
    SigningKey {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The public key's file.
    #[error("the public key {path} cannot be read")]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// The public key does not belong to the private one.
    #[error(
        "{public} is not the public half of {private}: auditors would be given the wrong key; write the right one with `msp-evidence keys show --key {private}`"
    )]
    KeysDiffer {
        /// The public key's file.
        public: PathBuf,
        /// The private key's file.
        private: PathBuf,
    },
    /// The per-client key for keyed digests.
    #[error("the digest key {path} cannot be read: make it with `msp-evidence keys generate`")]
    DigestKey {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key of the tokens in markers.
    #[error(
        "the screening key {path} cannot be read: it is 64 hexadecimal digits, mode 0400, of the agent's user"
    )]
    ScreeningKey {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The rules of screening.
    #[error("[screening] cannot be used: look at it with `msp-evidence screen --rules`")]
    Screening(#[source] screen::OptionsError),
    /// Another agent runs.
    #[error("a second agent would fork the chain")]
    Instance(#[from] host::instance::InstanceError),
    /// Sealing itself is broken, for every drop: nothing was sealed.
    #[error("sealing does not work, so nothing was sealed; drops wait")]
    Seal(#[source] evidence::bundle::SealError),
    /// The last signed file is not the chain's head.
    #[error(
        "{path} is a signed bundle that the spool does not know; sealing stops rather than fork the chain; restart the agent to begin a new chain that names this one"
    )]
    HeadDiffers {
        /// The file.
        path: PathBuf,
    },
    /// Nowhere for evidence to go.
    #[error("{path}: every configured destination is retired: configure another one")]
    NoDestination {
        /// The configuration file.
        path: PathBuf,
    },
    /// Less room than configured.
    #[error(
        "only {free_bytes} bytes are free below {path}, less than agent.min_free_bytes = {wanted_bytes}: sealing stops and drops wait until there is room"
    )]
    NoRoom {
        /// The state folder.
        path: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What is wanted.
        wanted_bytes: u64,
    },
    /// The kernel's notification of changes.
    #[error("watching the folders failed")]
    Watch(#[from] notify::Error),
}

impl AgentError {
    pub(crate) fn file(folder: impl Into<PathBuf>) -> impl FnOnce(FileError) -> Self {
        let folder = folder.into();
        move |source| Self::File { folder, source }
    }

    /// The disk is full: drops wait, and sealing resumes by itself.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Spool(e) => e.is_disk_full(),
            Self::File { source, .. } => source.is_disk_full(),
            Self::NoRoom { .. } => true,
            _ => false,
        }
    }
}

/// The error with its sources, for an alarm.
pub(crate) fn chain(error: &AgentError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
