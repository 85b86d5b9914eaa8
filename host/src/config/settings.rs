//! Validated settings: what the daemons and the CLI may rely on.

use std::net::SocketAddr;
use std::path::PathBuf;

use evidence::controls::{Addition, ControlMap};
use evidence::findings::Lateness;
use jiff::SignedDuration;
use serde::Serialize;

use super::origin::Origins;

/// Everything in `/etc/msp/evidence.toml`, validated, with defaults and environment applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// The configuration file, for messages.
    #[serde(skip)]
    pub source: PathBuf,
    /// Which setting came from which file or variable.
    #[serde(skip)]
    pub origins: Origins,
    /// SHA-256 of the effective settings, attested in custody.
    #[serde(skip)]
    pub sha256: evidence::digest::Sha256,
    /// The MSP's client (clinic); part of every object key.
    pub client_id: String,
    /// This host; part of every object key.
    pub host_id: String,
    /// Where things live.
    pub paths: Paths,
    /// The key and its password.
    pub signing: Signing,
    /// The drop contract.
    pub drop: DropSettings,
    /// What is taken out before sealing.
    pub screening: ScreeningSettings,
    /// How the agent seals and keeps.
    pub agent: AgentSettings,
    /// What fits which kind of event, beside the built-in map.
    pub controls: ControlSettings,
    /// What `[retention]` says; each destination has its own effective values.
    #[serde(skip)]
    pub retention: RetentionSettings,
    /// Where evidence goes; at least one, ids unique.
    pub destinations: Vec<DestinationSettings>,
    /// How the uploader works.
    pub uploader: UploaderSettings,
    /// What monitoring is told.
    pub metrics: MetricsSettings,
    /// Whom the uploader tells when an operator is needed.
    pub notify: NotifySettings,
    /// Logging.
    pub log: LogSettings,
    /// Things an operator acknowledged or should know, printed at start and by `doctor`.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Folders; all below `state_dir` unless set one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paths {
    /// `/var/lib/msp`.
    pub state_dir: PathBuf,
    /// Incidents come in here.
    pub drop: PathBuf,
    /// `spool.db` (agent only).
    pub spool: PathBuf,
    /// Signed bundles, laid out like the bucket.
    pub evidence: PathBuf,
    /// Orders, agent to uploader.
    pub outbox: PathBuf,
    /// Receipts, uploader to agent.
    pub receipts: PathBuf,
    /// `delivery.db` (uploader only).
    pub delivery: PathBuf,
    /// What could not be sealed, each with a reason file.
    pub quarantine: PathBuf,
    /// What an operator's command asks of the agent (agent only, mode 0700).
    pub requests: PathBuf,
    /// What tells this machine from others, machine-id(5); a chain is bound to it.
    pub machine_id: PathBuf,
}

/// The signing key and the per-client digest key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signing {
    /// cosign private key file (encrypted PEM).
    pub key: PathBuf,
    /// The matching public key; must agree with the private one at start.
    pub public_key: PathBuf,
    /// A file with the password, if no systemd credential or `COSIGN_PASSWORD` gives it.
    pub password_file: Option<PathBuf>,
    /// 32 random bytes (hexadecimal text) for keyed digests; made by the agent when missing.
    pub digest_key: PathBuf,
}

/// What happens to a drop once its bundle is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSealed {
    /// Removed.
    Remove,
    /// Moved to `drop.archive_dir`.
    Archive,
}

/// The drop contract's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DropSettings {
    /// What happens to a sealed drop.
    pub on_sealed: OnSealed,
    /// Where sealed drops go with `archive`.
    pub archive_dir: Option<PathBuf>,
    /// User ids whose drops are accepted; empty means any user that can write to the folder.
    pub allowed_owners: Vec<u32>,
    /// The periodic scan, in seconds; inotify is only a hint.
    pub rescan_secs: u64,
    /// Largest document, in bytes.
    pub max_document_bytes: u64,
    /// Deepest nesting of JSON objects and arrays.
    pub max_depth: usize,
    /// Most artifacts in one folder drop.
    pub max_artifacts: usize,
    /// Largest artifact, in bytes.
    pub max_artifact_bytes: u64,
}

/// What is done about what a rule of screening finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScreeningAction {
    /// It is replaced by a marker.
    Redact,
    /// The whole drop goes to quarantine.
    Quarantine,
    /// It stays.
    Allow,
}

/// What is done about artifacts that are not text, which cannot be screened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryArtifacts {
    /// They are sealed as they are.
    Allow,
    /// The whole drop goes to quarantine.
    Quarantine,
}

/// What is taken out before sealing. Whether rules of these names exist and patterns can be used is
/// for those who screen; here only their form is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScreeningSettings {
    /// Whether anything is screened at all.
    pub enabled: bool,
    /// For every rule that is in none of the lists.
    pub action: ScreeningAction,
    /// Rules whose finds are redacted.
    pub redact: Vec<String>,
    /// Rules whose finds send the drop to quarantine.
    pub quarantine: Vec<String>,
    /// Rules whose finds stay.
    pub allow: Vec<String>,
    /// The client's own rules, each `NAME = PATTERN`.
    pub rules: Vec<String>,
    /// Values that stay, each `RULE = PATTERN`, with `*` for every rule.
    pub exceptions: Vec<String>,
    /// Artifacts that are not text.
    pub binary: BinaryArtifacts,
    /// 32 bytes (hexadecimal text) for the tokens in markers; destroying them loses correlation only.
    pub key: PathBuf,
}

impl ScreeningSettings {
    /// Name and pattern of one of `rules` or `exceptions`.
    #[must_use]
    pub fn name_and_pattern(line: &str) -> Option<(&str, &str)> {
        let (name, pattern) = line.split_once('=')?;
        let (name, pattern) = (name.trim(), pattern.trim());
        (!name.is_empty() && !pattern.is_empty()).then_some((name, pattern))
    }
}

/// How the agent seals and keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentSettings {
    /// Most drops in one transaction.
    pub group_limit: usize,
    /// Local bytes are kept at least this long after sealing, in days.
    pub min_local_age_days: u32,
    /// Sealing stops when the state folder has fewer free bytes.
    pub min_free_bytes: u64,
    /// A custody bundle is sealed at least this often, in seconds, also when nothing happened.
    pub custody_interval_secs: u64,
    /// What is sealed longer than this after its treatment ended is labelled late, in seconds.
    pub late_after_secs: u64,
    /// And longer than this, filled in afterwards, in seconds.
    pub backfilled_after_secs: u64,
}

impl AgentSettings {
    /// How late evidence may be sealed.
    #[must_use]
    pub fn lateness(&self) -> Lateness {
        let secs = |secs| SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX));
        Lateness {
            late_after: secs(self.late_after_secs),
            backfilled_after: secs(self.backfilled_after_secs),
        }
    }
}

/// What is added to the map of controls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ControlSettings {
    /// By event type.
    pub event_types: Vec<Addition>,
    /// By runbook id.
    pub runbooks: Vec<Addition>,
}

impl ControlSettings {
    /// The map that holds on this host.
    #[must_use]
    pub fn map(&self) -> ControlMap {
        ControlMap::with(&self.event_types, &self.runbooks)
    }
}

/// `[retention]`: what holds for destinations that say nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionSettings {
    /// Lock for so many days.
    pub days: u32,
    /// Added on top, in seconds.
    pub margin_secs: u64,
    /// Less than six years is meant.
    pub acknowledge_shorter_than_six_years: bool,
    /// More than ten years is meant.
    pub acknowledge_longer_than_ten_years: bool,
}

/// One S3 bucket and prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DestinationSettings {
    /// Never changes meaning: spool and uploader refuse an id whose bucket or prefix changed.
    pub destination_id: String,
    /// Bucket name.
    pub bucket: String,
    /// Empty, or ends with `/`.
    pub prefix: String,
    /// AWS region.
    pub region: String,
    /// For stores that are not AWS.
    pub endpoint: Option<String>,
    /// `bucket` in the path instead of the host name.
    pub path_style: bool,
    /// AWS's endpoints with IPv6 addresses too; never with `endpoint`.
    pub use_dual_stack: bool,
    /// AWS's endpoints with validated cryptography; never with `endpoint`.
    pub use_fips: bool,
    /// PEM file of the authorities that may vouch for the store, instead of the system's. Whether
    /// it can be read is for those who use it: the agent never needs it.
    pub ca_file: Option<PathBuf>,
    /// A KMS key that objects are encrypted with.
    pub sse_kms_key_id: Option<String>,
    /// A profile in the AWS config files.
    pub profile: Option<String>,
    /// An AWS credentials file instead of the usual ones.
    pub credentials_file: Option<PathBuf>,
    /// Lock for so many days from the server's date.
    pub retention_days: u32,
    /// Added to retain-until so that a parked upload still keeps the full retention, in seconds.
    pub retention_margin_secs: u64,
}

impl DestinationSettings {
    /// `s3://bucket/prefix`, as planned locations and orders carry it.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }
}

/// How the uploader works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UploaderSettings {
    /// Bundles in flight at once.
    pub in_flight: usize,
    /// Longest backoff, in seconds.
    pub backoff_max_secs: u64,
    /// First backoff, in milliseconds.
    pub backoff_min_ms: u64,
    /// How often a parked destination is probed, in seconds.
    pub park_probe_secs: u64,
    /// Preflight interval, in seconds.
    pub preflight_secs: u64,
    /// Periodic scan of the outbox, in seconds; inotify is only a hint.
    pub rescan_secs: u64,
    /// One request may take so long, in seconds.
    pub request_timeout_secs: u64,
    /// Send Content-MD5 beside SHA-256; off where FIPS forbids MD5.
    pub content_md5: bool,
}

/// What monitoring is told, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MetricsSettings {
    /// Where both daemons write their metrics, for node_exporter's textfile collector; not set:
    /// each in the folder that systemd gives it.
    pub textfile_dir: Option<PathBuf>,
    /// How often they are written, in seconds.
    pub interval_secs: u64,
    /// Where the uploader answers Prometheus: a loopback address.
    pub listen: Option<SocketAddr>,
}

/// Whom the uploader tells when an operator is needed, and how often. Addresses hold tokens, so they
/// are in files, which are read by who uses them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotifySettings {
    /// A file with the address that JSON is posted to.
    pub webhook_url_file: Option<PathBuf>,
    /// A file with the key that such posts are signed with.
    pub webhook_key_file: Option<PathBuf>,
    /// A file with the address of an incoming webhook of Slack, or of what understands the same.
    pub slack_url_file: Option<PathBuf>,
    /// A topic of Amazon SNS.
    pub sns_topic_arn: Option<String>,
    /// A profile in the AWS configuration files; not set: the usual chain of credentials.
    pub sns_profile: Option<String>,
    /// Instead of AWS's own.
    pub sns_endpoint: Option<String>,
    /// A program that gets JSON on its standard input, and its arguments; empty: none.
    pub command: Vec<String>,
    /// PEM file of the authorities that are trusted for all of these, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What has lasted so long is told, in seconds, and its end likewise.
    pub hold_secs: u64,
    /// A destination that has failed for so long is told, in seconds.
    pub outage_secs: u64,
    /// What lasts is told again so often, in seconds.
    pub reminder_secs: u64,
}

impl NotifySettings {
    /// Whether anybody is told anything.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.webhook_url_file.is_some()
            || self.slack_url_file.is_some()
            || self.sns_topic_arn.is_some()
            || !self.command.is_empty()
    }
}

/// Log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// journald when started by systemd, else human.
    Auto,
    /// One line for people.
    Human,
    /// One JSON object a line.
    Json,
    /// journald's native protocol.
    Journald,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogSettings {
    /// A tracing filter, `info` by default.
    pub filter: String,
    /// Format.
    pub format: LogFormat,
}
