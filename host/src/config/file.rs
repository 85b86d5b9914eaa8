//! The raw configuration file: every key there is, each optional, nothing checked but its type.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

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

/// Entries that hold commas themselves.
impl FromText for Vec<String> {
    const EXPECTED: &str = "entries, separated by semicolons";
    fn from_text(text: &str) -> Option<Self> {
        let entries = text.split(';').map(str::trim);
        Some(
            entries
                .filter(|entry| !entry.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
}

/// Texts that may hold any character but a line break.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Lines(pub(super) Vec<String>);

impl FromText for Lines {
    const EXPECTED: &str = "a list of texts; in a variable, one on each line";
    fn from_text(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim);
        Some(Self(
            lines
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect(),
        ))
    }
}

/// Why a variable could not set a key.
pub(super) enum NotSet {
    /// There is no such key.
    UnknownKey,
    /// The key wants something else.
    Expected(&'static str),
}

/// A value as a file writes it.
fn from_toml<T: FromText + for<'de> Deserialize<'de>>(
    value: Spanned<DeValue<'_>>,
) -> Result<T, NotSet> {
    T::deserialize(ValueDeserializer::from(value)).map_err(|_| NotSet::Expected(T::EXPECTED))
}

/// One list of keys, from which both the files' reader and the environment's come, so that no
/// setting can be reached by one and not by the other.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default)]
        pub(super) struct $name {
            $(pub(super) $field: Option<$type>,)*
        }

        impl $name {
            /// The keys of this section.
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

            /// Sets one key from a file's value.
            pub(super) fn set_toml(
                &mut self,
                key: &str,
                value: Spanned<DeValue<'_>>,
            ) -> Result<(), NotSet> {
                match key {
                    $(stringify!($field) => self.$field = Some(from_toml(value)?),)*
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
    /// `[screening]`
    ScreeningSection {
        enabled: bool,
        action: String,
        redact: Vec<String>,
        quarantine: Vec<String>,
        allow: Vec<String>,
        rules: Lines,
        exceptions: Lines,
        binary: String,
        key: PathBuf,
    }
}

section! {
    /// `[agent]`
    AgentSection {
        group_limit: u64,
        min_local_age_days: u32,
        min_free_bytes: u64,
        custody_interval_secs: u64,
        late_after_secs: u64,
        backfilled_after_secs: u64,
    }
}

section! {
    /// `[controls]`
    ControlsSection {
        event_types: Vec<String>,
        runbooks: Vec<String>,
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
    /// `[metrics]`
    MetricsSection {
        textfile_dir: PathBuf,
        interval_secs: u64,
        listen: String,
    }
}

section! {
    /// `[notify]`
    NotifySection {
        webhook_url_file: PathBuf,
        webhook_key_file: PathBuf,
        slack_url_file: PathBuf,
        sns_topic_arn: String,
        sns_profile: String,
        sns_endpoint: String,
        command: Lines,
        ca_file: PathBuf,
        hold_secs: u64,
        outage_secs: u64,
        reminder_secs: u64,
    }
}

section! {
    /// `[log]`
    LogSection {
        filter: String,
        format: String,
    }
}

section! {
    /// What stands above the first section.
    TopSection {
        client_id: String,
        host_id: String,
    }
}

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigFile {
    pub(super) top: TopSection,
    pub(super) paths: PathsSection,
    pub(super) signing: SigningSection,
    pub(super) drop: DropSection,
    pub(super) screening: ScreeningSection,
    pub(super) agent: AgentSection,
    pub(super) controls: ControlsSection,
    pub(super) retention: RetentionSection,
    pub(super) destination: Vec<DestinationSection>,
    pub(super) uploader: UploaderSection,
    pub(super) metrics: MetricsSection,
    pub(super) notify: NotifySection,
    pub(super) log: LogSection,
}

/// Every section in single brackets, in the order of the example.
pub(super) const SECTIONS: [&str; 11] = [
    "paths",
    "signing",
    "drop",
    "screening",
    "agent",
    "controls",
    "retention",
    "uploader",
    "metrics",
    "notify",
    "log",
];

/// The keys of a section; of the top for `""`.
pub(super) fn keys_of(section: &str) -> &'static [&'static str] {
    match section {
        "" => TopSection::KEYS,
        "paths" => PathsSection::KEYS,
        "signing" => SigningSection::KEYS,
        "drop" => DropSection::KEYS,
        "screening" => ScreeningSection::KEYS,
        "agent" => AgentSection::KEYS,
        "controls" => ControlsSection::KEYS,
        "retention" => RetentionSection::KEYS,
        "destination" => DestinationSection::KEYS,
        "uploader" => UploaderSection::KEYS,
        "metrics" => MetricsSection::KEYS,
        "notify" => NotifySection::KEYS,
        "log" => LogSection::KEYS,
        _ => &[],
    }
}

impl ConfigFile {
    /// Sets one key of a section (`""` is the top) from an environment variable's text.
    pub(super) fn set(&mut self, section: &str, key: &str, text: &str) -> Result<(), NotSet> {
        match section {
            "" => self.top.set(key, text),
            "paths" => self.paths.set(key, text),
            "signing" => self.signing.set(key, text),
            "drop" => self.drop.set(key, text),
            "screening" => self.screening.set(key, text),
            "agent" => self.agent.set(key, text),
            "controls" => self.controls.set(key, text),
            "retention" => self.retention.set(key, text),
            "uploader" => self.uploader.set(key, text),
            "metrics" => self.metrics.set(key, text),
            "notify" => self.notify.set(key, text),
            "log" => self.log.set(key, text),
            _ => Err(NotSet::UnknownKey),
        }
    }

    /// Sets one key of a section (`""` is the top) from a file's value.
    pub(super) fn set_toml(
        &mut self,
        section: &str,
        key: &str,
        value: Spanned<DeValue<'_>>,
    ) -> Result<(), NotSet> {
        match section {
            "" => self.top.set_toml(key, value),
            "paths" => self.paths.set_toml(key, value),
            "signing" => self.signing.set_toml(key, value),
            "drop" => self.drop.set_toml(key, value),
            "screening" => self.screening.set_toml(key, value),
            "agent" => self.agent.set_toml(key, value),
            "controls" => self.controls.set_toml(key, value),
            "retention" => self.retention.set_toml(key, value),
            "uploader" => self.uploader.set_toml(key, value),
            "metrics" => self.metrics.set_toml(key, value),
            "notify" => self.notify.set_toml(key, value),
            "log" => self.log.set_toml(key, value),
            _ => Err(NotSet::UnknownKey),
        }
    }
}
