//! The body of an incident bundle, section by section, in the order in which it is written.
//!
//! What these types require, `evidence-bundle-v1.schema.json` requires too; a test keeps the two
//! together. Names that are documented as "known" are only a finding when unknown.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::section::Section;
use super::{Refusal, WrittenTime};
use crate::controls::About;
use crate::digest::Sha256;

/// What happened, and what was done about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentBody {
    /// What was detected.
    pub incident: IncidentSection,
    /// By which runbook it was treated.
    pub runbook: Runbook,
    /// How the treatment went as a whole.
    pub execution: Execution,
    /// How it went step by step, in the order given.
    pub actions_taken: Vec<Action>,
    /// What was gathered on the way.
    #[serde(default)]
    pub artifacts: Artifacts,
    /// What came of it.
    pub outputs: Outputs,
    /// Every top-level field of the drop that this format does not know, under its own name.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// The section `incident`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentSection {
    /// The executor's id; unique to the incident, or the bundles are related to each other.
    pub incident_id: String,
    /// Such as `backup_failure`.
    pub event_type: String,
    /// Known: [`crate::findings::SEVERITIES`].
    pub severity: String,
    /// When it was noticed.
    pub detected_at: WrittenTime,
    /// Where.
    pub hostname: String,
    /// Whatever the executor knows of it.
    #[serde(default)]
    pub details: Map<String, Value>,
    /// Citations of 45 CFR Part 164 Subpart C, such as `164.308(a)(7)(ii)(A)`.
    #[serde(default)]
    pub hipaa_controls: Vec<String>,
    /// Unknown fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The section `runbook`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runbook {
    /// Which runbook.
    pub runbook_id: String,
    /// Its version, a string.
    pub runbook_version: String,
    /// `sha256:` and 64 hexadecimal digits; other text is a finding.
    pub runbook_hash: String,
    /// How many steps it has.
    pub steps_total: u64,
    /// How many were executed.
    pub steps_executed: u64,
    /// Unknown fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The section `execution`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// When the treatment started.
    pub timestamp_start: WrittenTime,
    /// When it ended.
    pub timestamp_end: WrittenTime,
    /// Who or what acted.
    pub operator: String,
    /// Time to repair in seconds, not negative; may have decimals.
    pub mttr_seconds: Number,
    /// The time allowed, in seconds, not negative.
    pub sla_target_seconds: Number,
    /// Whether it was kept, as claimed.
    pub sla_met: bool,
    /// Known: [`crate::findings::RESOLUTION_TYPES`].
    pub resolution_type: String,
    /// True if nothing was really done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Unknown fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One step that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Its number, from 1.
    pub step: u64,
    /// What was done, in a word or a sentence.
    pub action: String,
    /// `sha256:` and 64 hexadecimal digits of the script; other text is a finding.
    pub script_hash: String,
    /// Known: [`crate::findings::RESULTS`].
    pub result: String,
    /// The script's exit code; null if it has none, being killed or not run.
    pub exit_code: Option<i64>,
    /// When.
    pub timestamp: WrittenTime,
    /// What it wrote, in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_excerpt: Option<String>,
    /// What it complained of, in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_excerpt: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Unknown fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The section `artifacts`; a drop may leave it out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Artifacts {
    /// Excerpts of logs by name.
    #[serde(default)]
    pub log_excerpts: Map<String, Value>,
    /// Digests by name.
    #[serde(default)]
    pub checksums: Map<String, Value>,
    /// Anything by name.
    #[serde(default)]
    pub outputs: Map<String, Value>,
    /// The files stored with the bundle. The agent's to fill: what a drop says here is moved to
    /// `extra`.
    #[serde(default)]
    pub files: Vec<StoredFile>,
    /// Unknown fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A file stored with the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFile {
    /// Its name in the drop.
    pub name: String,
    /// Size of the stored bytes.
    pub size_bytes: u64,
    /// SHA-256 of the stored bytes.
    pub sha256: Sha256,
}

/// The section `outputs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// Known: [`crate::findings::RESOLUTION_STATUSES`].
    pub resolution_status: String,
    /// Unknown fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl IncidentBody {
    /// The executor's id of the incident.
    #[must_use]
    pub fn incident_id(&self) -> &str {
        &self.incident.incident_id
    }

    /// What kind of event it was.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.incident.event_type
    }

    /// How severe it was, as claimed.
    #[must_use]
    pub fn severity(&self) -> &str {
        &self.incident.severity
    }

    /// When it was noticed.
    #[must_use]
    pub const fn detected_at(&self) -> &WrittenTime {
        &self.incident.detected_at
    }

    /// The citations, as written.
    #[must_use]
    pub fn hipaa_controls(&self) -> &[String] {
        &self.incident.hipaa_controls
    }

    /// What a map of controls asks of it.
    #[must_use]
    pub fn about(&self) -> About<'_> {
        About {
            event_type: self.event_type(),
            runbook_id: &self.runbook.runbook_id,
            acted: self.executed_actions() > 0,
        }
    }

    /// How many of the listed steps were executed: all that were not skipped.
    #[must_use]
    pub fn executed_actions(&self) -> usize {
        self.actions_taken
            .iter()
            .filter(|action| action.result != "skipped")
            .count()
    }

    /// How it was resolved, as claimed.
    #[must_use]
    pub fn resolution_type(&self) -> &str {
        &self.execution.resolution_type
    }

    /// Whether it was resolved, as claimed.
    #[must_use]
    pub fn resolution_status(&self) -> &str {
        &self.outputs.resolution_status
    }

    /// Whether the SLA was kept, as claimed.
    #[must_use]
    pub const fn sla_met(&self) -> bool {
        self.execution.sla_met
    }
}

// Below, the order of the fields is the order in which they are checked, and `into_rest` comes
// last: struct fields are evaluated as written.

impl IncidentSection {
    pub(super) fn read(mut section: Section) -> Result<Self, Refusal> {
        Ok(Self {
            incident_id: section.name("incident_id")?,
            event_type: section.name("event_type")?,
            severity: section.name("severity")?,
            detected_at: section.time("detected_at")?,
            hostname: section.name("hostname")?,
            details: section.map_or_empty("details")?,
            hipaa_controls: section.texts_or_empty("hipaa_controls")?,
            other: section.into_rest(),
        })
    }
}

impl Runbook {
    pub(super) fn read(mut section: Section) -> Result<Self, Refusal> {
        Ok(Self {
            runbook_id: section.name("runbook_id")?,
            runbook_version: section.name("runbook_version")?,
            runbook_hash: section.text("runbook_hash")?,
            steps_total: section.count("steps_total")?,
            steps_executed: section.count("steps_executed")?,
            other: section.into_rest(),
        })
    }
}

impl Execution {
    pub(super) fn read(mut section: Section) -> Result<Self, Refusal> {
        Ok(Self {
            timestamp_start: section.time("timestamp_start")?,
            timestamp_end: section.time("timestamp_end")?,
            operator: section.name("operator")?,
            mttr_seconds: section.seconds("mttr_seconds")?,
            sla_target_seconds: section.seconds("sla_target_seconds")?,
            sla_met: section.flag("sla_met")?,
            resolution_type: section.name("resolution_type")?,
            dry_run: section.optional_flag("dry_run")?,
            other: section.into_rest(),
        })
    }
}

impl Action {
    pub(super) fn read(mut section: Section) -> Result<Self, Refusal> {
        Ok(Self {
            step: section.count("step")?,
            action: section.text("action")?,
            script_hash: section.text("script_hash")?,
            result: section.name("result")?,
            exit_code: section.whole_or_null("exit_code")?,
            timestamp: section.time("timestamp")?,
            stdout_excerpt: section.optional_text("stdout_excerpt")?,
            stderr_excerpt: section.optional_text("stderr_excerpt")?,
            error_message: section.optional_text("error_message")?,
            other: section.into_rest(),
        })
    }
}

impl Artifacts {
    /// The section, and the drop's own `files`, which are not to be believed.
    pub(super) fn read(mut section: Section) -> Result<(Self, Option<Value>), Refusal> {
        let claimed_files = if section.has("files") {
            Some(section.take("files")?)
        } else {
            None
        };
        let artifacts = Self {
            log_excerpts: section.map_or_empty("log_excerpts")?,
            checksums: section.map_or_empty("checksums")?,
            outputs: section.map_or_empty("outputs")?,
            files: Vec::new(),
            other: section.into_rest(),
        };
        Ok((artifacts, claimed_files))
    }
}

impl Outputs {
    pub(super) fn read(mut section: Section) -> Result<Self, Refusal> {
        Ok(Self {
            resolution_status: section.name("resolution_status")?,
            other: section.into_rest(),
        })
    }
}
