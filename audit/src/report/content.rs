//! What a report is made of: plain data that an audit has found, and nothing that it only claims.
//!
//! Everything of which there are few is in [`Summary`]; bundles and findings, of which there may be
//! a million, are streamed from a [`Content`], as often as they are needed, always in the same order.
//! What a bundle says is here only once its signature is proven: see [`BundleContent::proven`].

use evidence::bundle::{Kind, TimeSource, VerifiedBundle};
use evidence::custody::IncidentEntry;
use evidence::digest::Sha256;
use evidence::incident::{Action, IncidentBody, StoredFile};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::finding::{Check, Finding, Level, Tally};
use crate::ledger::{LedgerError, TrustedKey};

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// What the audit left could not be read.
    #[error("the audit's results cannot be read")]
    Content(#[from] LedgerError),
    /// As above.
    #[error("the audit's results cannot be read")]
    Sql(#[from] rusqlite::Error),
    /// The report could not be written.
    #[error("the report cannot be written")]
    Write(#[from] std::io::Error),
    /// A part of it has no JSON form.
    #[error("a part of the report cannot be put as JSON")]
    Json(#[from] serde_json::Error),
}

/// Called with each bundle or finding.
pub type Each<'a, T> = &'a mut dyn FnMut(T) -> Result<(), ReportError>;

/// An audit's results. Asked twice, it says the same in the same order: the report is byte for byte
/// the same.
pub trait Content {
    /// Everything of which there are few.
    fn summary(&self) -> &Summary;

    /// Every bundle, by client, host, chain and place in it, numbered from 1 in
    /// [`BundleContent::number`].
    ///
    /// # Errors
    /// When the results cannot be read, and whatever `each` returns.
    fn bundles(&self, each: Each<'_, BundleContent>) -> Result<(), ReportError>;

    /// Every finding of one check and level.
    ///
    /// # Errors
    /// As [`Content::bundles`].
    fn findings(
        &self,
        check: Check,
        level: Level,
        each: Each<'_, FindingContent>,
    ) -> Result<(), ReportError>;
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// It is not as it must be.
    Failed,
    /// Neither proven nor disproven.
    CouldNotCheck,
    /// It is as it must be.
    Passed,
}

impl CheckResult {
    /// The name used in JSON and CSV.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::CouldNotCheck => "could_not_check",
            Self::Passed => "passed",
        }
    }

    /// The name of what came of a bundle: see [`BundleContent::result`].
    #[must_use]
    pub const fn of_bundle(self) -> &'static str {
        match self {
            Self::Passed => "proven",
            other => other.as_str(),
        }
    }
}

/// The title block, and everything else of which there are few.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The program that audited, with its version.
    pub tool: String,
    /// Bucket and prefix, or folder.
    pub source: String,
    /// What below it was looked at: folders of clients or hosts; empty for everything.
    pub scope: String,
    /// The store's clock when it was listed; for a folder, that of the machine that audited.
    pub looked_at: Option<Timestamp>,
    /// From when on the auditor asked for custody.
    pub asked_from: Option<Timestamp>,
    /// Until when the auditor asked for custody.
    pub asked_to: Option<Timestamp>,
    /// Custody bundles of a host that are further apart leave silence between them.
    pub silent_after_secs: i64,
    /// Objects or files that were looked at.
    pub objects: u64,
    /// The keys that were trusted, or followed from one that was.
    pub keys: Vec<TrustedKey>,
    /// Every check that was to be made, in the order in which the report shows them.
    pub checks: Vec<CheckContent>,
}

/// One check, with how often it was made and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CheckContent {
    /// Which.
    pub check: Check,
    /// What came of it, out of how many.
    #[serde(flatten)]
    pub tally: Tally,
}

/// One thing that an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingContent {
    /// What was found.
    #[serde(flatten)]
    pub found: Finding,
    /// What it is about, in one text.
    pub about: String,
    /// [`BundleContent::number`] of the bundle that it is about, if there is one.
    pub bundle: Option<u64>,
}

/// One bundle, as it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BundleContent {
    /// Its place in this report, from 1.
    pub number: u64,
    /// The name that its object bears; proven or not.
    pub name: String,
    /// Where it was found: its key or path, below what was audited.
    pub object: String,
    /// SHA-256 of the bytes that were found.
    pub sha256: Option<Sha256>,
    /// What came of the signature over exactly these bytes.
    pub signature: CheckResult,
    /// What is wrong with it, where its signature or form is.
    pub problem: Option<String>,
    /// What it says; none unless the signature, form and content hash are proven, the key is trusted
    /// for its host, and it lies where it says.
    pub proven: Option<Proven>,
    /// The trusted custody bundle that lists it.
    pub covered_by: Option<String>,
    /// What the audit found about it.
    pub findings: Vec<FindingContent>,
    /// Every stored version of it.
    pub versions: Vec<VersionContent>,
}

impl BundleContent {
    /// When the store got the first that it holds of it, by the store's clock.
    #[must_use]
    pub fn received_at(&self) -> Option<Timestamp> {
        self.versions
            .iter()
            .filter(|version| !version.is_delete_marker && version.object == self.object)
            .filter_map(|version| version.last_modified)
            .min()
    }

    /// The worst that was found about it. [`CheckResult::Passed`] says that it is proven and that
    /// nothing was found about it, not that everything was checked: what could not be checked of the
    /// whole, such as the locks of a folder, is no finding about each bundle.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        self.findings
            .iter()
            .filter_map(|finding| match finding.found.level {
                Level::Failed => Some(CheckResult::Failed),
                Level::CouldNotCheck => Some(CheckResult::CouldNotCheck),
                Level::Note => None,
            })
            .chain([self.signature])
            // Nothing unproven counts as passed.
            .chain(self.proven.is_none().then_some(CheckResult::CouldNotCheck))
            .min()
            .unwrap_or(CheckResult::Passed)
    }

    /// The incident that it proves, if it does.
    #[must_use]
    pub fn incident(&self) -> Option<&IncidentContent> {
        match &self.proven.as_ref()?.body {
            BodyContent::Incident(incident) => Some(incident),
            _ => None,
        }
    }
}

/// What a bundle says, its signature being proven.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proven {
    /// What it attests.
    pub kind: Kind,
    /// Whose evidence.
    pub client_id: String,
    /// The host that sealed it.
    pub host_id: String,
    /// Its chain.
    pub chain_id: String,
    /// Its place in the chain.
    pub sequence: u64,
    /// SHA-256 of the bundle before it.
    pub previous_sha256: Option<Sha256>,
    /// `sha256:` over its canonical content.
    pub evidence_bundle_hash: String,
    /// Fingerprint of the key that signed.
    pub key_id: String,
    /// When it was sealed, by the host's clock.
    pub generated_at: Timestamp,
    /// The rest, by kind.
    pub body: BodyContent,
}

/// What a bundle attests.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyContent {
    /// One remediated incident.
    Incident(Box<IncidentContent>),
    /// A statement of what was sealed, confirmed and refused.
    Custody(CustodyContent),
    /// From one key to the next.
    Rotation {
        /// The key until here.
        from_key_id: String,
        /// The key from here on.
        to_key_id: String,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// A test at set-up, excluded from every count.
    Probe,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentContent {
    /// What the custody index says of it, too.
    #[serde(flatten)]
    pub entry: IncidentEntry,
    /// The rest of what the bundle says; none where the audit had only the index.
    pub detail: Option<IncidentDetail>,
}

/// What only the bundle itself says of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentDetail {
    /// Which runbook.
    pub runbook_id: String,
    /// Its version.
    pub runbook_version: String,
    /// Its digest, as written.
    pub runbook_hash: String,
    /// How many steps it has.
    pub steps_total: u64,
    /// How many were executed.
    pub steps_executed: u64,
    /// When the treatment started, as written.
    pub started: String,
    /// When it ended, as written.
    pub ended: String,
    /// Who or what acted.
    pub operator: String,
    /// True if nothing was really done.
    pub dry_run: bool,
    /// What came of it.
    pub resolution_status: String,
    /// Step by step.
    pub actions: Vec<Action>,
    /// The files stored with it.
    pub artifacts: Vec<StoredFile>,
    /// What was known of the clock when it was sealed.
    #[serde(default)]
    pub clock: Option<TimeSource>,
    /// What the agent noticed when it sealed it.
    pub sealed_findings: Vec<evidence::findings::Finding>,
}

impl IncidentDetail {
    /// That of a verified bundle, if it is of an incident.
    #[must_use]
    pub fn of(bundle: &VerifiedBundle) -> Option<Self> {
        if bundle.header().kind != Kind::Incident {
            return None;
        }
        let body = IncidentBody::deserialize(bundle.document()).ok()?;
        let findings = bundle.document().get("findings");
        Some(Self {
            runbook_id: body.runbook.runbook_id,
            runbook_version: body.runbook.runbook_version,
            runbook_hash: body.runbook.runbook_hash,
            steps_total: body.runbook.steps_total,
            steps_executed: body.runbook.steps_executed,
            started: body.execution.timestamp_start.to_string(),
            ended: body.execution.timestamp_end.to_string(),
            operator: body.execution.operator,
            dry_run: body.execution.dry_run.unwrap_or(false),
            resolution_status: body.outputs.resolution_status,
            actions: body.actions_taken,
            artifacts: body.artifacts.files,
            clock: Some(bundle.header().time.clone()),
            sealed_findings: findings
                .and_then(|findings| Vec::deserialize(findings).ok())
                .unwrap_or_default(),
        })
    }
}

/// What a custody bundle states, in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CustodyContent {
    /// Why it was sealed then.
    pub because: String,
    /// The first place of the chain that it covers.
    pub from_sequence: Option<u64>,
    /// The last.
    pub to_sequence: Option<u64>,
    /// Bundles that it lists as sealed.
    pub sealed: u64,
    /// Objects that it lists as stored and locked: the uploader's word.
    pub confirmed: u64,
    /// Drops that could not be sealed.
    pub quarantined: u64,
    /// Drops that had been sealed before.
    pub duplicates: u64,
    /// Jumps of the host's clock.
    pub clock_jumps: u64,
}

/// One stored version of a bundle's objects, as the store told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionContent {
    /// Its key.
    pub object: String,
    /// The store's version id.
    pub version_id: Option<String>,
    /// `COMPLIANCE`, `GOVERNANCE`; none when it could not be read or there is none.
    pub lock_mode: Option<String>,
    /// Until when it is locked.
    pub retain_until: Option<Timestamp>,
    /// When the store took it.
    pub last_modified: Option<Timestamp>,
    /// Stored size in bytes; none for a delete marker.
    pub size_bytes: Option<u64>,
    /// Whether it is the newest version at its key; none when the source has no versions.
    pub is_latest: Option<bool>,
    /// Whether it is a delete marker.
    pub is_delete_marker: bool,
}
