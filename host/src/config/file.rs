//! The raw configuration file: every key there is, each optional, nothing checked but its type.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// A user's name or number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Owner {
    /// A numeric uid.
    Uid(u32),
    /// A name, looked up when the settings are validated.
    Name(String),
}

/// A value as an environment variable writes it.
pub(super) trait FromText: Sized {
    /// What is expected, for the message.
    const EXPECTED: &str;
    /// `None` when the text is not such a value.
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! from_text {
    ($($type:ty = $expected:literal),*) => {$(
        impl FromText for $type {
            const EXPECTED: &str = $expected;
            fn from_text(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }
        }
    )*};
}

from_text!(
    bool = "true or false",
    u32 = "a whole number",
    u64 = "a whole number"
);

impl FromText for String {
    const EXPECTED: &str = "text";
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FromText for PathBuf {
    const EXPECTED: &str = "a path";
    fn from_text(text: &str) -> Option<Self> {
        Some(Self::from(text))
    }
}

impl FromText for Vec<Owner> {
    const EXPECTED: &str = "user names or numbers, separated by commas";
    fn from_text(text: &str) -> Option<Self> {
        let words = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        Some(
            words
                .map(|w| {
                    w.parse()
                        .map_or_else(|_| Owner::Name(w.to_owned()), Owner::Uid)
                })
                .collect(),
        )
    }
}

/// Why a variable could not set a key.
pub(super) enum NotSet {
    /// There is no such key.
    UnknownKey,
    /// The key wants something else.
    Expected(&'static str),
}

/// One list of keys, from which both the file's reader and the environment's come, so that no
/// setting can be reached by one and not by the other.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $(pub(super) $field: Option<$type>,)*
        }

        impl $name {
            /// The keys of this section, for the test of the commented example.
            #[cfg(test)]
            pub(super) const KEYS: &[&str] = &[$(stringify!($field)),*];

            /// Sets one key from an environment variable's text.
            pub(super) fn set(&mut self, key: &str, text: &str) -> Result<(), NotSet> {
                match key {
                    $(stringify!($field) => {
                        let value = <$type as FromText>::from_text(text)
                            .ok_or(NotSet::Expected(<$type as FromText>::EXPECTED))?;
                        self.$field = Some(value);
                    })*
                    _ => return Err(NotSet::UnknownKey),
                }
                Ok(())
            }
        }
    };
}

section! {
    /// `[paths]`
    PathsSection {
        state_dir: PathBuf,
        drop: PathBuf,
        spool: PathBuf,
        evidence: PathBuf,
        outbox: PathBuf,
        receipts: PathBuf,
        delivery: PathBuf,
        quarantine: PathBuf,
        requests: PathBuf,
        machine_id: PathBuf,
    }
}

section! {
    /// `[signing]`
    SigningSection {
        key: PathBuf,
        public_key: PathBuf,
        password_file: PathBuf,
        digest_key: PathBuf,
    }
}

section! {
    /// `[drop]`
    DropSection {
        on_sealed: String,
        archive_dir: PathBuf,
        allowed_owners: Vec<Owner>,
        rescan_secs: u64,
        max_document_bytes: u64,
        max_depth: u64,
        max_artifacts: u64,
        max_artifact_bytes: u64,
    }
}

section! {
    /// `[agent]`
    AgentSection {
        group_limit: u64,
        min_local_age_days: u32,
        min_free_bytes: u64,
    }
}

section! {
    /// `[retention]`
    RetentionSection {
        days: u32,
        margin_secs: u64,
        acknowledge_shorter_than_six_years: bool,
        acknowledge_longer_than_ten_years: bool,
    }
}

section! {
    /// `[[destination]]`
    DestinationSection {
        id: String,
        bucket: String,
        prefix: String,
        region: String,
        endpoint: String,
        path_style: bool,
        use_dual_stack: bool,
        use_fips: bool,
        ca_file: PathBuf,
        sse_kms_key_id: String,
        profile: String,
        credentials_file: PathBuf,
        retention_days: u32,
        retention_margin_secs: u64,
    }
}

section! {
    /// `[uploader]`
    UploaderSection {
        in_flight: u64,
        backoff_min_ms: u64,
        backoff_max_secs: u64,
        park_probe_secs: u64,
        preflight_secs: u64,
        rescan_secs: u64,
        request_timeout_secs: u64,
        content_md5: bool,
    }
}

section! {
    /// `[log]`
    LogSection {
        filter: String,
        format: String,
    }
}

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) client_id: Option<String>,
    pub(super) host_id: Option<String>,
    #[serde(default)]
    pub(super) paths: PathsSection,
    #[serde(default)]
    pub(super) signing: SigningSection,
    #[serde(default)]
    pub(super) drop: DropSection,
    #[serde(default)]
    pub(super) agent: AgentSection,
    #[serde(default)]
    pub(super) retention: RetentionSection,
    #[serde(default)]
    pub(super) destination: Vec<DestinationSection>,
    #[serde(default)]
    pub(super) uploader: UploaderSection,
    #[serde(default)]
    pub(super) log: LogSection,
}

impl ConfigFile {
    /// Parses TOML; refuses unknown keys, naming the line.
    pub(super) fn parse(text: &str, source: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text[..start].matches('\n').count() + 1;
            let excerpt = text
                .lines()
                .nth(line - 1)
                .unwrap_or_default()
                .trim()
                .to_owned();
            let problem = error.message().trim().replace('\n', " ");
            let remedy = if problem.starts_with("unknown field") {
                "correct the spelling, or move the key to its section"
            } else {
                "correct the line; the example evidence.toml shows each key with its type"
            };
            ConfigError::Syntax {
                path: source.to_owned(),
                line,
                excerpt,
                problem,
                remedy,
            }
        })
    }
}
